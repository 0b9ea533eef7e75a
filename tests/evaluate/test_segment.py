"""Segmentation: scores of maps, views with their masks, mIoU, and a network that learns colours."""

import numpy as np
import pytest
import torch
from tests.evaluate.scene_sets import CLASSES, Drawn, encoder, scenes
from torch.nn import functional as F

from masquerade.core.errors import Interrupted
from masquerade.core.seed import Seed
from masquerade.data.augment.augmenter import Augmenter
from masquerade.data.augment.policy import Policy
from masquerade.data.images import ImageSet
from masquerade.engine.optimizers import sgd
from masquerade.engine.schedule import Schedule
from masquerade.engine.task import Progress
from masquerade.evaluate import dense, segment, training
from masquerade.evaluate.base import Unlabelled
from masquerade.evaluate.frozen import Frozen
from masquerade.evaluate.metrics import confusion
from masquerade.networks.fcn import FCN, READ

QUICK = segment.Config(
    epochs=3, batch=8, optimizer=sgd.Config(lr=0.02, schedule=Schedule(warmup=0))
)


def test_scores_are_added_up_coarse_to_fine():
    backbone, images = encoder(), torch.randn(2, 3, 32, 32)
    maps = backbone.maps(images)
    for form, read in READ.items():
        network = FCN(backbone, 5, form).eval()
        assert len(network.heads) == read
        assert not network(images).any()  # new layers start at 0
        for head in network.heads.parameters():
            torch.nn.init.normal_(head)
        total = network.heads[0](maps[-1])
        for k in range(1, read):
            finer = maps[-1 - k]
            total = F.interpolate(total, size=finer.shape[2:], mode="bilinear")
            total = total + network.heads[k](finer)
        whole = F.interpolate(total, size=(32, 32), mode="bilinear")
        torch.testing.assert_close(network(images), whole)


def test_masks_follow_their_images_through_crops_and_flips():
    label = torch.randint(0, 4, (6, 40, 48), generator=Seed(0).generator())
    label = label.repeat_interleave(8, 1).repeat_interleave(8, 2)[:, :40, :48]
    images = (label * 60).to(torch.uint8)[:, None].repeat(1, 3, 1, 1)
    extent = torch.tensor([[40, 48], [40, 48], [24, 48], [40, 32], [40, 48], [40, 48]])
    policy = Policy(crop_scale=(0.2, 0.6), jitter=0, grey=0, blur=0)
    seed = Seed(3)
    views = Augmenter(policy, 32, (0.0,) * 3, (1.0,) * 3).views(images, extent, seed, 1)[0]
    masks = dense.views(policy, label, extent, 32, seed)
    near = (views[:, 0] * 255 / 60 - masks).abs() < 0.5
    assert near.float().mean() > 0.85  # all but pixels at edges, which are mixtures
    halves = [
        dense.views(policy, label[k : k + 3], extent[k : k + 3], 32, seed, k // 3, 2)
        for k in (0, 3)
    ]
    assert torch.equal(torch.cat(halves), masks)


def test_all_of_an_image_is_shown_and_nothing_of_its_margin():
    image = torch.zeros(1, 3, 16, 24, dtype=torch.uint8)
    image[:, :, :10, :20] = 255
    shown = dense.whole(image, torch.tensor([[10, 20]]), 32, (0.5,) * 3, (0.5,) * 3)
    torch.testing.assert_close(shown, torch.ones(1, 3, 32, 32))
    spot = torch.zeros(1, 3, 10, 20, dtype=torch.uint8)
    spot[:, :, -1, -1] = 255
    shown = dense.whole(spot, torch.tensor([[10, 20]]), 40, (0.0,) * 3, (1.0,) * 3)
    assert shown[0, 0, -1, -1] == 1  # the last corner is still there


def test_miou_is_torchmetrics_own_on_random_answers():
    from torchmetrics.classification import MulticlassJaccardIndex

    stream = Seed(0).generator()
    truth = torch.randint(0, 6, (5, 20, 20), generator=stream)
    said = torch.randint(0, 6, (5, 20, 20), generator=stream)
    said[truth == 2] = 2
    truth[:, :3] = 255
    truth[truth == 4], said[said == 4] = 5, 5  # class 4 is nowhere
    counted = truth != 255
    table = confusion(truth[counted], said[counted], 6)
    each = segment.intersection_over_union(table)
    metric = MulticlassJaccardIndex(6, average="macro", ignore_index=255)
    for one, other in zip(said, truth, strict=True):
        metric.update(one, other)
    assert float(each.nanmean()) == pytest.approx(float(metric.compute()), abs=1e-6)
    assert each.isnan().tolist() == [False] * 4 + [True, False]


def test_colours_are_learned_and_the_encoder_stays_as_it_was():
    frozen = Frozen.of(encoder())
    before = {n: t.clone() for n, t in frozen.encoder.state_dict().items()}
    train, test = scenes(32), scenes(12, "new")
    found = QUICK.replace(epochs=12).build().run(frozen, train, {"test": test}, Seed(0))
    assert found.metrics["test/miou"] > 0.5
    assert found.arrays["classes"].tolist() == ["background", *CLASSES]
    assert found.arrays["pixels/test"].sum() == 12 * 32 * 32  # each pixel of each image once
    assert all(torch.equal(t, before[n]) for n, t in frozen.encoder.state_dict().items())
    assert "FCN-8s with the encoder, 32 images, 12 epochs, batch 8" in found.notes[0]


def test_all_objects_can_count_as_one_class():
    images = scenes(12, "new")
    plain, one = (segment.marks(images, torch.arange(12), a) for a in (False, True))
    assert set(plain.unique().tolist()) >= {0, 1, 2}
    assert torch.equal(one, torch.where(plain == 255, plain, (plain > 0).long()))
    config = QUICK.replace(agnostic=True)
    found = config.build().run(Frozen.of(encoder()), scenes(16), {"test": images}, Seed(0))
    assert found.arrays["classes"].tolist() == ["background", "object"]
    assert found.arrays["pixels/test"].shape == (2, 2)
    assert "2 classes" in found.notes[0]


def test_a_frozen_encoder_is_not_trained():
    job = dense.Job(encoder(), scenes(4), {})
    task = segment.untrained(QUICK.replace(frozen=True), job, Seed(0))
    task.train()
    task.before_step(Progress(0, 1, 1))
    trained = {id(p) for group in task.players()["encoder"] for p in group.params}
    assert trained == {id(p) for p in task.network.heads.parameters()}
    assert not any(p.requires_grad for p in task.network.backbone.parameters())
    assert not any(m.training for m in task.network.backbone.modules())


def test_a_cut_training_ends_in_the_same_figures(tmp_path, monkeypatch):
    train, tests = scenes(16), {"test": scenes(6, "new")}
    whole = QUICK.build().run(Frozen.of(encoder()), train, tests, Seed(0))
    kept = Frozen.of(encoder(), cache=tmp_path)
    before, steps = segment.Segmenting.before_step, []

    def cut(self, progress):
        steps.append(progress.step)
        before(self, progress)
        if progress.step == 3 and len(steps) == 4:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(segment.Segmenting, "before_step", cut)
    with pytest.raises(Interrupted):
        QUICK.build().run(kept, train, tests, Seed(0))
    again = QUICK.build().run(kept, train, tests, Seed(0))
    assert steps == [0, 1, 2, 3, 4, 5]
    assert again.metrics == whole.metrics


def test_mistakes_are_answered():
    frozen, train = Frozen.of(encoder()), scenes(8)
    bare = ImageSet("bare", train.pixels)
    with pytest.raises(Unlabelled, match="bare has none"):
        QUICK.build().run(frozen, bare, {}, Seed(0))
    with pytest.raises(Unlabelled, match="needs a class for each pixel"):
        QUICK.build().run(frozen, scenes(8, masks=False), {}, Seed(0))
    other = ImageSet("other", train.pixels, dense=train.dense, classes=("cat", "dog"))
    with pytest.raises(ValueError, match="other has other classes than drawn: cat, dog"):
        QUICK.build().run(frozen, train, {"test": other}, Seed(0))
    assert train.dense is not None
    objects = [
        train.dense.objects(i)._replace(labels=train.dense.objects(i).labels + 7) for i in range(8)
    ]
    strange = ImageSet("strange", train.pixels, dense=Drawn(objects, (32, 32)), classes=CLASSES)
    with pytest.raises(ValueError, match="a mask of strange holds the number"):
        QUICK.build().run(frozen, strange, {}, Seed(0))
    with pytest.raises(ValueError, match=r"crop=0\.5 is not read"):
        segment.Config(crop=0.5)
    with pytest.raises(ValueError, match="batch=8 cannot be shared equally by devices=3"):
        training.fitting(8, 3, 8)
    assert not QUICK.suits(frozen.pixels())
    notes = dense.comparable(train, {"bare": bare}, masks=True)[1]
    assert notes == ("bare (bare) has no masks, so nothing was measured on it",)


def test_side_shows_larger_images_to_a_network_that_takes_them():
    assert dense.backbone_of(Frozen.of(encoder()), 48).size == 48
    same = dense.backbone_of(Frozen.of(encoder()), 0)
    for one, other in zip(same.parameters(), encoder().parameters(), strict=True):
        assert torch.equal(one, other)
        assert one is not other
    assert np.isclose(float(same.mean.mean()), 0.43)
