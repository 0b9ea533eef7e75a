"""What every objective keeps."""

import json

import pytest
import torch

from masquerade.core import plugins
from masquerade.core.seed import Seed
from masquerade.networks import backbone
from masquerade.objectives.base import ObjectiveConfig

NAMES = plugins.names("masquerade.objectives")
every_objective = pytest.mark.parametrize("name", NAMES)
ENCODER = backbone.Config(options={"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8]})


def built(name):
    torch.manual_seed(0)
    config = ObjectiveConfig.parse({"kind": name})
    return config.build(ENCODER.build(32, 3, (0.5,) * 3, (0.2,) * 3))


def embeddings(name, size=6):
    length = built(name).config.projector.length(8)
    drawn = torch.randn(2, size, length, generator=Seed(1).generator())
    return drawn[0].requires_grad_(), drawn[1].requires_grad_()


def own(size=6):
    return torch.arange(size)[:, None], torch.ones(size, 1)


@every_objective
def test_settings_survive_json(name):
    config = ObjectiveConfig.parse({"kind": name})
    assert ObjectiveConfig.parse(json.loads(json.dumps(config.tree()))) == config


@every_objective
@pytest.mark.parametrize("masked", [False, True])
def test_a_plan_masks_what_it_is_asked_to_and_weighs_it_as_the_clean_one(name, masked):
    objective = built(name)
    plan = objective.plan(masked)
    copies = {b.copy for pair in plan for b in (pair.query, pair.key)} - {None}
    assert copies == ({0} if masked else set())
    assert all(b.view in (0, 1) for pair in plan for b in (pair.query, pair.key))
    clean = sum(pair.weight for pair in objective.plan(masked=False))
    assert sum(pair.weight for pair in plan) == pytest.approx(clean)


@every_objective
def test_images_become_embeddings_of_one_length(name):
    objective, images = built(name), torch.randn(4, 3, 32, 32, generator=Seed(2).generator())
    query = objective.predict(objective.query(objective.query_features(images)))
    key = objective.key(objective.key_features(images, Seed(4)))
    assert query.shape == key.shape
    assert len(query) == 4


@every_objective
def test_there_is_one_finite_loss_for_each_query_and_a_gradient_to_it(name):
    query, key = embeddings(name)
    losses = built(name).compare(query, key, *own())
    assert losses.shape == (6,)
    assert losses.dtype == torch.float32
    assert losses.isfinite().all()
    losses.mean().backward()
    assert query.grad.isfinite().all()
    assert (query.grad.abs().sum(1) > 0).all()


@every_objective
def test_permuting_the_batch_permutes_the_losses(name):
    objective, (query, key) = built(name), embeddings(name)
    order = torch.randperm(6, generator=Seed(3).generator())
    losses = objective.compare(query, key, *own())
    torch.testing.assert_close(objective.compare(query[order], key[order], *own()), losses[order])


@every_objective
def test_two_positives_count_by_their_shares(name):
    objective, (query, key) = built(name), embeddings(name)
    first, second = torch.arange(6), torch.arange(6).roll(1)
    one = torch.ones(6, 1)
    both = objective.compare(
        query, key, torch.stack([first, second], 1), torch.tensor([[0.7, 0.3]]).expand(6, 2)
    )
    parts = [objective.compare(query, key, p[:, None], one) for p in (first, second)]
    torch.testing.assert_close(both, 0.7 * parts[0] + 0.3 * parts[1])


@every_objective
def test_every_trained_parameter_is_in_one_group(name):
    objective = built(name)
    grouped = [p for group in objective.groups() for p in group.params]
    assert len({id(p) for p in grouped}) == len(grouped)
    assert {id(p) for p in objective.backbone.parameters()} <= {id(p) for p in grouped}
    trained = {id(p) for p in objective.parameters() if p.requires_grad}
    assert {id(p) for p in grouped} == trained


@every_objective
def test_queries_give_the_encoder_a_gradient_and_keys_only_where_it_says_so(name):
    objective = built(name)
    images = torch.randn(2, 4, 3, 32, 32, generator=Seed(2).generator()).requires_grad_()
    key = objective.key(objective.key_features(images[1], Seed(4)))
    query = objective.predict(objective.query(objective.query_features(images[0])))
    held = key if objective.key_gradient else key.detach()
    objective.compare(query, held, *own(4)).mean().backward()
    assert images.grad is not None
    assert images.grad[0].abs().sum() > 0
    assert (images.grad[1].abs().sum() > 0) == objective.key_gradient
    assert not (objective.follows and key.requires_grad)
