"""Heads and metrics on frozen features, and the convex baseline."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from masquerade.core.errors import MissingData
from masquerade.core.seed import Seed
from masquerade.data.sources import arrays
from masquerade.networks import backbone, encoder_file
from masquerade.tickets import evolve
from masquerade.tickets.base import Bookmark
from masquerade.tickets.logistic import l1_regression
from masquerade.tickets.problems import features
from masquerade.tickets.strategies import snes

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Unequal classes told by three of 64 pixels."""
    drawn = np.random.default_rng(0)
    parts: dict[str, Any] = {}
    for name, count in (("train", 200), ("test", 120)):
        label = drawn.choice(3, count, p=(0.7, 0.2, 0.1))
        image = drawn.integers(90, 165, (count, 8, 8)).astype(np.uint8)
        for c in range(3):
            image[label == c, c, 0] = drawn.integers(150, 200, (label == c).sum())
        parts |= {f"{name}_images": image, f"{name}_labels": label}
    place = tmp_path_factory.mktemp("data") / "x.npz"
    np.savez(place, **parts)
    return arrays.Config(path=str(place))


def built(source, **changes):
    return features.Config(data=source, **changes).build(CPU)


def test_top1_and_balanced_accuracy_are_what_their_names_say(source):
    for goal in ("top1", "balanced"):
        problem = built(source, goal=goal)
        weights = problem.start(Seed(1))
        told = problem.network.forward(weights[None], problem._test.rows)[0].argmax(dim=1)
        right, labels = told == problem._test.labels, problem._test.labels
        share = right.double().mean()
        if goal == "balanced":
            share = torch.stack([right[labels == c].double().mean() for c in range(3)]).mean()
        assert float(problem.test(weights[None], {})[0]) == pytest.approx(float(share))


def test_a_neighbour_is_another_image_that_is_near_under_the_metric(source):
    problem = built(source, goal="knn", k=3, batch=50)
    metric = torch.rand(64, generator=Seed(0).generator())
    rows = torch.randperm(200, generator=Seed(5).generator())[:50]
    x, labels = problem._train.rows[rows] * metric, problem._train.labels[rows]
    right = 0
    for i in range(50):
        away = (x - x[i]).square().sum(dim=1)
        away[i] = torch.inf
        votes = torch.bincount(labels[away.argsort()[:3]], minlength=3)
        right += int(votes.argmax() == labels[i])
    found = problem.fitness(metric[None], Seed(5), {}).fitness
    assert float(found[0]) == pytest.approx(right / 50)
    assert (problem.start(Seed(0)) == 1).all()


def test_evolution_finds_a_metric_that_forgets_useless_features(source):
    problem = built(source, goal="knn", batch=200)
    config = evolve.Config(
        strategy=snes.Config(population=16, sigma=0.3), generations=30, test_every=30
    )
    start = problem.start(Seed(0))
    end = config.build()(problem, start, torch.ones(64, dtype=torch.bool), Seed(0), Bookmark())
    assert end.final.test > float(problem.test(start[None], {})[0]) + 0.05


def test_the_baseline_is_l1_logistic_regression(source):
    problem = built(source)
    train = problem._train
    for strength in (0.1, 1.0):
        penalty = 1 / (strength * 200)
        kernel, bias = l1_regression(train.rows, train.labels, 3, penalty, steps=3000)
        solver = LogisticRegression(
            C=strength, l1_ratio=1.0, solver="saga", tol=1e-6, max_iter=5000, random_state=0
        ).fit(train.rows.numpy(), train.labels.numpy())
        torch.testing.assert_close(
            kernel.T, torch.from_numpy(solver.coef_).float(), atol=5e-3, rtol=0
        )
        shifted = bias - bias.mean()
        wanted = torch.from_numpy(solver.intercept_ - solver.intercept_.mean()).float()
        torch.testing.assert_close(shifted, wanted, atol=2e-2, rtol=0)


@pytest.mark.parametrize("goal", ["top1", "knn"])
def test_the_baseline_goes_from_sparse_to_dense(source, goal):
    name, levels = built(source, goal=goal).baseline()
    shares = [share for share, _ in levels]
    assert name == "L1 logistic regression"
    assert shares == sorted(shares) and shares[0] < 0.1 and shares[-1] > 0.25
    assert max(score for _, score in levels) > 0.9


def test_an_encoders_features_are_taken_from_its_folder(source, tmp_path):
    encoder = backbone.Config(options={"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]})
    encoder_file.save(encoder.build(32, 1, (0.5,), (0.25,)), tmp_path, {})
    problem = built(source, encoder=str(tmp_path))
    assert problem.layout.size == 16 * 3 + 3
    assert float(problem._train.rows.mean()) == pytest.approx(0, abs=1e-4)
    with pytest.raises(MissingData):
        built(source, encoder=str(tmp_path / "nothing"))


def test_images_without_labels_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((4, 8, 8), np.uint8))
    source = arrays.Config(path=str(tmp_path / "x.npy"))
    with pytest.raises(ValueError, match="has no labels, and a head needs them"):
        built(source, train="all", test="all")
