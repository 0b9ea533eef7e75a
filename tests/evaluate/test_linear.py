import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from masquerade.core.seed import Seed
from masquerade.data.images import ImageSet
from masquerade.evaluate import linear, logistic
from masquerade.evaluate.classifier import Examples
from masquerade.evaluate.frozen import Frozen
from masquerade.evaluate.linear import Config, Probe, Sgd

Tinted = Callable[..., ImageSet]


def examples(count: int = 300, width: int = 12, classes: int = 4, noise: float = 1.0) -> Examples:
    """Overlapping classes; features of very different scales, one of them constant."""
    labels = torch.arange(count) % classes
    centres = torch.randn(classes, width, generator=Seed(0).fold("centres").generator())
    spread = torch.randn(count, width, generator=Seed(0).fold("noise").generator())
    features = (centres[labels] + noise * spread) * torch.logspace(-2, 2, width) + 3
    features[:, 0] = 7.0
    return Examples(features, labels, tuple("abcdefghij"[:classes]))


def parted(every: Examples) -> tuple[Examples, Examples]:
    rows = np.arange(len(every.labels))
    return every.picked(rows[::2]), every.picked(rows[1::2])


@pytest.mark.parametrize("penalty", [1.0, 0.01])
def test_quick_finds_the_minimum_that_scikit_learn_finds(penalty: float) -> None:
    some = examples()
    solved = list(logistic.path(some, penalty))[-1]
    assert solved.penalty == penalty
    x = StandardScaler().fit_transform(some.features.double().numpy())
    theirs = LogisticRegression(C=1 / (penalty * len(x)), tol=1e-10, max_iter=10_000)
    want = theirs.fit(x, some.labels.numpy()).predict_proba(x)
    probe = Probe(Config(), some.classes, solved.solution)
    np.testing.assert_allclose(probe.predict(some.features).score.numpy(), want, atol=2e-3)


def test_quick_chooses_the_penalty_on_held_out_training_images_only() -> None:
    some = examples(noise=3.0)
    fitted = Config().build().fit(some, Seed(0))
    parts = some.parted(Seed(0))
    assert parts is not None
    rest, held = parts
    losses = {}
    for solved in logistic.path(rest, logistic.PENALTIES[-1]):
        scores = held.features @ solved.solution.weight.T + solved.solution.bias
        losses[solved.penalty] = float(torch.nn.functional.cross_entropy(scores, held.labels))
    best = min(losses, key=lambda penalty: losses[penalty])
    for penalty, loss in fitted.arrays["penalties"].tolist():
        assert losses[penalty] == pytest.approx(loss)
    assert f"penalty {best:g}: the best" in fitted.notes[0]
    assert logistic.PENALTIES[-1] < best < logistic.PENALTIES[0]


def test_quick_refits_on_all_training_images() -> None:
    some = examples()
    fitted = Config().build().fit(some, Seed(0))
    penalty = min(fitted.arrays["penalties"].tolist(), key=lambda row: row[1])[0]
    (*_, last) = logistic.path(some, penalty)
    assert isinstance(fitted.head, Probe)
    assert torch.equal(fitted.head.solution.weight, last.solution.weight)


def test_scales_and_constant_features_change_no_answer() -> None:
    train, test = parted(examples())
    head = Config().build().fit(train, Seed(0)).head
    scales = torch.logspace(3, -3, 12)
    moved = train._replace(features=train.features * scales - 5)
    other = Config().build().fit(moved, Seed(0)).head
    same = head.predict(test.features).label == other.predict(test.features * scales - 5).label
    assert same.double().mean() > 0.98


@pytest.mark.parametrize("config", [Config(), Config(mode="sgd", sgd=Sgd(epochs=10, drops=(5,)))])
def test_equal_seeds_give_equal_bits(config: Config) -> None:
    first, again = (config.build().fit(examples(), Seed(3)).head for _ in range(2))
    assert all(torch.equal(t, again.tensors()[n]) for n, t in first.tensors().items())


def test_sgd_takes_the_steps_of_a_torch_layer() -> None:
    some = examples(50, classes=3)
    some = some._replace(features=some.features / 100)
    how = Sgd(batch=16, epochs=4, drops=(2, 3), decay=0.01)
    *_, solution = linear.descended(some, how, Seed(0))
    *_, start = linear.descended(some, how.replace(lr=1e-12, decay=0), Seed(0))
    layer = torch.nn.Linear(12, 3)
    with torch.no_grad():
        layer.weight.copy_(start.weight)
        layer.bias.copy_(start.bias)
    velocity = {name: torch.zeros_like(p) for name, p in layer.named_parameters()}
    for epoch in range(4):
        rate = 0.1 * 0.1 ** ((epoch >= 2) + (epoch >= 3))
        order = torch.randperm(50, generator=Seed(0).fold("epoch", epoch).generator())
        for first in (0, 16, 32):  # the last two images of the order are left out
            rows = order[first : first + 16]
            loss = torch.nn.functional.cross_entropy(layer(some.features[rows]), some.labels[rows])
            layer.zero_grad()
            loss.backward()
            with torch.no_grad():
                for name, p in layer.named_parameters():
                    assert p.grad is not None
                    velocity[name] = 0.9 * velocity[name] + p.grad + 0.01 * p
                    p.sub_(rate * velocity[name])
    torch.testing.assert_close(solution.weight, layer.weight.detach(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(solution.bias, layer.bias.detach(), rtol=1e-4, atol=1e-6)


def test_sgd_draws_its_start_as_torch_does() -> None:
    start = linear.started(4, 100, Sgd(), Seed(0))
    assert 0.09 < float(start.abs().max()) <= 0.1  # uniform in +- 1 / sqrt(100)


def test_a_normal_start_has_a_deviation_of_a_hundredth_and_no_bias() -> None:
    start = linear.started(10, 1000, Sgd(init="normal"), Seed(0))
    assert float(start[:, :-1].std()) == pytest.approx(0.01, rel=0.03)
    assert (start[:, -1] == 0).all()


def test_adam_takes_the_steps_of_w_mses_code() -> None:
    some = examples(50, classes=3)
    some = some._replace(features=some.features / 100)
    how = linear.wmse().sgd.replace(epochs=5, batch=16)
    *_, solution = linear.descended(some, how, Seed(0))
    start = linear.started(3, 12, how, Seed(0))
    layer = torch.nn.Linear(12, 3)
    with torch.no_grad():
        layer.weight.copy_(start[:, :-1])
        layer.bias.copy_(start[:, -1])
    solver = torch.optim.Adam(layer.parameters(), lr=1e-2, weight_decay=5e-6)
    fall = torch.optim.lr_scheduler.ExponentialLR(solver, (1e-6 / 1e-2) ** (1 / 5))
    for epoch in range(5):
        order = torch.randperm(50, generator=Seed(0).fold("epoch", epoch).generator())
        for rows in order[:48].view(-1, 16):
            solver.zero_grad()
            scores = layer(some.features[rows])
            torch.nn.functional.cross_entropy(scores, some.labels[rows]).backward()
            solver.step()
        fall.step()
    torch.testing.assert_close(solution.weight, layer.weight.detach(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(solution.bias, layer.bias.detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("how", "rates"),
    [
        (Sgd(), {0: 0.1, 599: 0.1, 600: 0.01, 799: 0.01, 800: 0.001, 999: 0.001}),
        (linear.moco().sgd, {0: 30, 599: 30, 600: 3, 800: 0.3, 999: 0.3}),
        (linear.simsiam().sgd, {0: 30, 250: 15 + 15 * 0.5**0.5, 500: 15, 999: 30 * 2.4674e-6}),
        (linear.wmse().sgd, {0: 1e-2, 9: 1e-2, 10: 1e-2 * 1e-4 ** (1 / 500), 2500: 1e-4}),
    ],
)
def test_rates_fall_as_in_each_code_base(how: Sgd, rates: dict[int, float]) -> None:
    assert {step: how.rate(step, 10) for step in rates} == pytest.approx(rates, rel=1e-4)


def test_the_protocols_are_those_of_section_7_of_the_paper_file() -> None:
    moco, simsiam, wmse = linear.moco(), linear.simsiam(), linear.wmse()
    for sgd in (moco.sgd, simsiam.sgd):
        assert (sgd.optimizer, sgd.lr, sgd.momentum, sgd.decay) == ("sgd", 30, 0.9, 0)
        assert (sgd.batch, sgd.epochs) == (256, 100)
    assert (moco.sgd.shape, moco.sgd.drops, moco.sgd.best) == ("drops", (60, 80), True)
    assert simsiam.sgd.shape == "cosine"
    assert (wmse.sgd.optimizer, wmse.sgd.epochs, wmse.sgd.batch) == ("adam", 500, 1000)
    assert (wmse.sgd.lr, wmse.sgd.end, wmse.sgd.decay) == (1e-2, 1e-6, 5e-6)
    assert [round(s / c.crop) for s, c in ((224, moco), (32, simsiam), (32, wmse))] == [256, 36, 32]


def test_the_best_epoch_stands_beside_the_last(pixels: Frozen, tinted: Tinted) -> None:
    tests = {"test": tinted(30, name="new", noise=200), "bare": bare(tinted(6, name="bare"))}
    how = Sgd(epochs=6, drops=(), batch=20)
    run = Config(mode="sgd", sgd=how.replace(best=True)).build().run
    result = run(pixels, tinted(noise=200), tests, Seed(0))
    each = result.arrays["epochs/test"]
    assert len(each) == 6 and each[-1] == result.metrics["test/top1"]
    assert result.metrics["test/best_top1"] == each.max()
    assert f"epoch {each.argmax() + 1} of 6, chosen on these images" in result.notes[-1]
    plain = Config(mode="sgd", sgd=how).build().run(pixels, tinted(noise=200), tests, Seed(0))
    assert plain.metrics["test/top1"] == result.metrics["test/top1"]
    assert not {"test/best_top1", "bare/best_top1"} & set(plain.metrics)
    shorter = Config(mode="sgd", sgd=how.replace(epochs=3)).build()
    after = shorter.run(pixels, tinted(noise=200), tests, Seed(0)).metrics["test/top1"]
    assert after == each[2]


def bare(images: ImageSet) -> ImageSet:
    return ImageSet("bare", images.pixels)


def test_settings_that_would_not_be_read_are_refused() -> None:
    with pytest.raises(ValueError, match="mode=sgd only"):
        Config(sgd=Sgd(lr=1.0))
    changed = Config().override(["mode=sgd", "sgd.lr=1.0"])
    assert changed.sgd.lr == 1.0
    with pytest.raises(ValueError, match=r"momentum=0.5 is not read with optimizer=adam"):
        Sgd(optimizer="adam", momentum=0.5)
    with pytest.raises(ValueError, match=r"drops=\[5\] is not read with shape=cosine"):
        Sgd(shape="cosine", drops=(5,))
    for wrong in ({"shape": "exponential"}, {"end": 1e-3}, {"shape": "cosine", "end": 1e-3}):
        with pytest.raises(ValueError, match="exponential needs an end above 0"):
            Sgd.parse(wrong)


@pytest.mark.parametrize("mode", ["quick", "sgd"])
def test_a_run_measures_each_test_set(mode: str, pixels: Frozen, tinted: Tinted) -> None:
    tests = {"test": tinted(30, name="new")}
    config = Config.parse({"mode": mode})
    result = config.build().run(pixels, tinted(), tests, Seed(0))
    assert result.metrics == {"test/top1": 1.0, "test/balanced": 1.0}


def test_one_image_per_class_is_enough_for_a_probe(pixels: Frozen, tinted: Tinted) -> None:
    tests = {"test": tinted(30, name="new")}
    result = Config().build().run(pixels, tinted(3), tests, Seed(0))
    assert "too few training images to hold some out" in result.notes[0]
    assert result.metrics["test/top1"] > 0.9


def test_features_of_another_length_are_refused() -> None:
    head = Config().build().fit(examples(), Seed(0)).head
    with pytest.raises(ValueError, match="length 12, got 6"):
        head.predict(torch.zeros(2, 6))


def test_four_thousand_images_take_seconds() -> None:
    some = examples(4000, 512, 10, noise=4.0)
    start = time.process_time()
    Config().build().fit(some, Seed(0))
    assert time.process_time() - start < 20  # about 1 s; the bound is for busy machines
