"""Classification of images as a problem."""

import numpy as np
import pytest
import torch

from masquerade.core.seed import Seed
from masquerade.data.sources import arrays
from masquerade.tickets.problems import images

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def problem():
    return images.Config(batch=64, network={"hidden": [8]}).build(CPU)


def test_fitness_is_minus_the_mean_cross_entropy_on_a_batch_all_share(problem):
    population = torch.stack([problem.start(Seed(k)) for k in range(3)])
    seed = Seed(4)
    found = problem.fitness(population, seed, {}).fitness
    rows = torch.randperm(problem.examples, generator=seed.generator())[:64]
    for weights, fitness in zip(population, found, strict=True):
        torch.testing.assert_close(fitness, -problem.loss(weights, rows))
    assert not torch.allclose(problem.fitness(population, Seed(5), {}).fitness, found)


def test_the_score_is_the_accuracy_on_the_test_split(problem):
    weights = problem.start(Seed(0))
    logits = problem.network.forward(weights[None], problem._test.images)[0]
    wanted = (logits.argmax(dim=1) == problem._test.labels).double().mean()
    assert float(problem.test(weights[None], {})[0]) == pytest.approx(float(wanted))


def test_candidates_in_several_groups_are_judged_as_in_one(problem, monkeypatch):
    population = torch.stack([problem.start(Seed(k)) for k in range(5)])
    whole = problem.fitness(population, Seed(1), {}).fitness
    monkeypatch.setattr(images, "ROOM", 64 * problem.network.widest * 2)
    torch.testing.assert_close(problem.fitness(population, Seed(1), {}).fitness, whole)


def test_images_are_standardised_by_the_training_split_or_as_published():
    plain, mnist = (images.Config(normalise=n).build(CPU) for n in ("data", "mnist"))
    assert abs(float(plain._train.images.mean())) < 0.01
    assert float(plain._train.images.std()) == pytest.approx(1, abs=0.01)
    assert float(mnist._train.images.min()) == pytest.approx(-0.1307 / 0.3081)
    assert float(mnist._train.images.max()) == pytest.approx((1 - 0.1307) / 0.3081)


def test_images_without_labels_are_refused_with_a_way_on(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((4, 8, 8), np.uint8))
    source = arrays.Config(path=str(tmp_path / "x.npy"))
    with pytest.raises(ValueError, match=r"has no labels.*problem.data=.*cartpole"):
        images.Config(data=source, train="all", test="all").build(CPU)


def test_images_without_a_label_are_left_out(tmp_path):
    label = np.array([0, 1, -1, 1, 0, -1])
    np.savez(
        tmp_path / "x.npz",
        train_images=np.zeros((6, 8, 8), np.uint8),
        train_labels=label,
        test_images=np.zeros((6, 8, 8), np.uint8),
        test_labels=label,
    )
    problem = images.Config(data=arrays.Config(path=str(tmp_path / "x.npz"))).build(CPU)
    assert problem.examples == 4
