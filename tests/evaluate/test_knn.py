import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from masquerade.core.seed import Seed
from masquerade.data.images import ImageSet
from masquerade.evaluate import knn
from masquerade.evaluate.classifier import Examples
from masquerade.evaluate.frozen import Frozen
from masquerade.evaluate.knn import Config, Index
from masquerade.evaluate.metrics import top

Tinted = Callable[..., ImageSet]
ORACLE = np.load(Path(__file__).parents[1] / "oracles" / "adios_knn.npz")
MIXMASK = np.load(Path(__file__).parents[1] / "oracles" / "mixmask" / "knn.npz")


def drawn(count: int, name: str, width: int = 5) -> Tensor:
    return torch.randn(count, width, generator=Seed(0).fold(name).generator())


def index(config: Config, count: int = 40, classes: int = 4) -> Index:
    labels = torch.arange(count) % classes
    return Index(config, tuple("abcdef"[:classes]), drawn(count, "train"), labels)


@pytest.mark.parametrize("name", [key for key in ORACLE if key.startswith("acc_")])
def test_accuracy_is_exactly_that_of_the_official_code(name: str) -> None:
    _, metric, temperature, k = name.split("_")
    t = 0.07 if temperature == "None" else float(temperature)
    config = Config.parse({"k": int(k), "metric": metric, "temperature": t})
    train, test, ytrain, ytest = (
        torch.from_numpy(ORACLE[n]) for n in ("train", "test", "ytrain", "ytest")
    )
    told = Index(config, tuple("abcdef"), train, ytrain).predict(test)
    found = [100 * float(top(told.score, ytest, n).double().mean()) for n in (1, 5)]
    assert found == ORACLE[name].tolist()


@pytest.mark.parametrize("name", [n for n in MIXMASK if n.startswith(("moco/", "wmse/"))])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_prediction_is_that_of_mixmasks_code_bases(name: str, dtype: torch.dtype) -> None:
    kind, k, *temperature = name.split("/")
    config = (knn.moco() if kind == "moco" else knn.wmse()).replace(k=int(k[1:]))
    if temperature:
        config = config.replace(temperature=float(temperature[0][1:]))
    train, test, ytrain, ytest = (
        torch.from_numpy(MIXMASK[n]) for n in ("train", "test", "ytrain", "ytest")
    )
    classes = tuple(str(i) for i in range(int(ytrain.max()) + 1))
    told = Index(config, classes, train.to(dtype), ytrain).predict(test.to(dtype))
    assert told.label.tolist() == MIXMASK[name].tolist()
    share = float((told.label == ytest).double().mean())
    percent = kind == "moco"
    assert float(MIXMASK[name.replace("/", "_acc/", 1)]) == pytest.approx(
        100 * share if percent else share, rel=1e-7
    )


def test_the_protocols_of_mixmasks_tables_are_named_in_full() -> None:
    said = "kNN, k = 200, cosine, weighted by exp(cosine/0.1), projector features"
    assert knn.moco().described() == said
    simsiam = knn.moco("backbone", crop=32 / 36)
    assert simsiam.described() == said.replace("projector", "backbone")
    assert round(32 / simsiam.crop) == 36
    assert knn.wmse().described() == "kNN, k = 5, euclidean, majority, backbone features"


@pytest.mark.parametrize("vote", ["weighted", "majority"])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_votes_are_those_of_a_slow_loop(metric: str, vote: str) -> None:
    config = Config.parse({"k": 7, "metric": metric, "vote": vote})
    head = index(config)
    queries = drawn(9, "test")
    told = head.predict(queries)
    train = drawn(40, "train")
    for query, score, label in zip(queries, told.score, told.label, strict=True):
        close = []
        for row in train:
            if metric == "cosine":
                close.append(float(normalize(query, dim=0) @ normalize(row, dim=0)))
            else:
                close.append(-math.dist(query.tolist(), row.tolist()))
        votes = [0.0] * 4
        for i in sorted(range(40), key=lambda i: -close[i])[:7]:
            weight = math.exp(close[i] / 0.07) if metric == "cosine" else 1 / (1e-5 - close[i])
            votes[i % 4] += 1 if vote == "majority" else weight
        np.testing.assert_allclose(score, np.array(votes) / sum(votes), rtol=1e-4, atol=1e-9)
        assert int(label) == max(range(4), key=lambda c: votes[c])


def test_of_equally_near_images_the_earlier_ones_vote() -> None:
    closeness = torch.tensor([[0.5, 0.9, 0.5, 0.5, 0.9], [0.1, 0.2, 0.3, 0.4, 0.5]])
    _, column = knn.nearest(closeness, 3)
    assert column.tolist() == [[1, 4, 0], [4, 3, 2]]


def test_of_equal_votes_the_lower_class_wins() -> None:
    head = Index(Config(k=2, vote="majority"), ("a", "b"), torch.eye(2), torch.tensor([1, 0]))
    assert head.predict(torch.ones(1, 2)).label.tolist() == [0]


def test_low_temperatures_do_not_overflow() -> None:
    score = index(Config(temperature=1e-4)).predict(drawn(9, "test")).score
    assert score.isfinite().all()
    torch.testing.assert_close(score.sum(dim=1), torch.ones(9))


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = index(Config(k=5)).near(drawn(9, "test"))
    monkeypatch.setattr(knn, "CHUNK", 100)
    parts = index(Config(k=5)).near(drawn(9, "test"))
    assert torch.equal(whole.row, parts.row)


def test_an_image_of_the_index_is_its_own_nearest() -> None:
    for metric in ("cosine", "euclidean"):
        near = index(Config.parse({"metric": metric})).near(drawn(40, "train"), 1)
        assert near.row[:, 0].tolist() == list(range(40))


def test_features_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="length 5, got 6"):
        index(Config()).predict(drawn(2, "test", 6))


def test_the_protocol_says_its_whole_name() -> None:
    said = "kNN, k = 20, cosine, weighted by exp(cosine/0.07), backbone features"
    assert Config().described() == said
    said = "kNN, k = 5, euclidean, majority, projector features"
    assert Config(k=5, metric="euclidean", vote="majority", layer="projector").described() == said


def test_a_run_measures_each_test_set(pixels: Frozen, tinted: Tinted) -> None:
    train = tinted()
    tests = {"test": tinted(30, name="new"), "seen": tinted(9, name="seen")}
    result = Config().build().run(pixels, train, tests, Seed(0))
    assert result.metrics == dict.fromkeys(
        ["test/top1", "test/balanced", "seen/top1", "seen/balanced"], 1.0
    )
    assert result.arrays["confusion/test"].tolist() == [[10, 0, 0], [0, 10, 0], [0, 0, 10]]
    assert result.arrays["predicted/seen"].tolist() == [0, 1, 2] * 3


def test_more_neighbours_than_images_are_said(pixels: Frozen, tinted: Tinted) -> None:
    result = Config(k=100).build().run(pixels, tinted(12), {}, Seed(0))
    assert "only 12 labelled training images: all of them vote" in result.notes


def test_the_grid_is_chosen_on_held_out_training_images() -> None:
    config = Config(grid=True)
    count = 200
    labels = torch.arange(count) % 4
    centres = drawn(4, "centres", 8)
    features = centres[labels] + 1.5 * drawn(count, "noise", 8)
    examples = Examples(features, labels, tuple("abcd"))
    fitted = config.build().fit(examples, Seed(0))
    extra = fitted.extras["grid"]
    assert isinstance(extra, Index)
    parts = examples.parted(Seed(0))
    assert parts is not None
    rest, held = parts
    assert len(held.labels) == 40
    best = 0.0
    for euclidean, k, temperature, share in fitted.arrays["grid"].tolist():
        one = Config.parse(
            {
                "k": int(k),
                "temperature": temperature,
                "metric": "euclidean" if euclidean else "cosine",
            }
        )
        told = Index(one, rest.classes, rest.features, rest.labels).predict(held.features)
        assert float((told.label == held.labels).double().mean()) == pytest.approx(share)
        best = max(best, share)
    told = Index(extra.config, rest.classes, rest.features, rest.labels).predict(held.features)
    assert float((told.label == held.labels).double().mean()) == pytest.approx(best)
    ks = {int(row[1]) for row in fitted.arrays["grid"]}
    assert ks == {1, 2, 5, 10, 20, 50, 100}  # 200 neighbours are more than the rest has


def test_the_grid_stands_beside_the_headline(pixels: Frozen, tinted: Tinted) -> None:
    run = Config(grid=True).build().run
    result = run(pixels, tinted(), {"test": tinted(9)}, Seed(0))
    assert result.metrics["test/grid_top1"] == result.metrics["test/top1"] == 1.0
    assert result.head is not None
    assert result.head.config == Config(grid=True)


def test_a_grid_that_cannot_be_chosen_from_is_said(pixels: Frozen, tinted: Tinted) -> None:
    result = Config(grid=True).build().run(pixels, tinted(3), {"test": tinted(9)}, Seed(0))
    assert "too few training images" in result.notes[-1]
    assert "test/grid_top1" not in result.metrics
