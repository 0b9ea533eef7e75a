"""Networks on raw images: functions of their own partitions, bit for bit."""

import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from masquerade.certify import kept, raw, school
from masquerade.certify.base import RuleConfig
from masquerade.certify.ensemble import Labelled
from masquerade.certify.learners import networks
from masquerade.certify.nets import nin, resnet
from masquerade.certify.partition import Parts
from masquerade.certify.school import Machine
from masquerade.certify.several import Lesson, Several
from masquerade.certify.views import Scale, shifted, square
from masquerade.core.errors import Interrupted, MissingData
from masquerade.core.seed import Seed
from masquerade.data.images import ImageSet
from masquerade.engine.task import Progress

CPU = Machine("cpu", "float32")
CLASSES = ("dark", "light")
TINY = networks.Config(network=nin.Config(width=6), epochs=2, batch=4, pad=1, lr=0.05)


def silent(text: str) -> None:
    pass


def pictured(seed: int, count: int) -> ImageSet:
    """Noisy images of 8 pixels, dark or light."""
    draw = np.random.Generator(np.random.PCG64(seed))
    label = np.arange(count) % 2
    pixels = draw.integers(0, 120, (count, 8, 8, 1)) + 120 * label[:, None, None, None]
    return ImageSet("noise", pixels.astype(np.uint8), targets={"label": label.astype(np.int64)})


def training(images: ImageSet, parts: Parts) -> Labelled:
    labels = images.labels
    assert labels is not None
    return Labelled(square(images, 8), labels, images.digests(), parts.of(images).own)


def fitted(images: ImageSet, place: Path, parts: Parts, learner: networks.Config = TINY):
    return raw.fit(training(images, parts), CLASSES, parts, learner, CPU, place, 1, silent)


def files(place: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in place.glob("*.safetensors")}


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return pictured(0, 30)


@pytest.mark.parametrize("together", [1, 2])
def test_one_poison_changes_no_network_that_its_partition_does_not_reach(
    tmp_path: Path, images: ImageSet, together: int
) -> None:
    parts, learner = Parts(parts=5), TINY.replace(together=together)
    fitted(images, tmp_path / "a", parts, learner)
    before = files(tmp_path / "a")
    own = parts.of(images).own
    one = int(own[0])
    rest = np.arange(1, 30)
    flipped = images.labelled(
        np.where(np.arange(30) == 0, 1 - images.targets["label"], images.targets["label"]), ()
    )
    moved = images.subset(np.random.Generator(np.random.PCG64(1)).permutation(rest))
    # A partition that becomes empty, and all the others in another order.
    emptied = images.subset(np.flatnonzero((own != one).numpy())[::-1])
    for name, poisoned in (("deleted", moved), ("flipped", flipped), ("emptied", emptied)):
        fitted(poisoned, tmp_path / name, parts, learner)
        after = files(tmp_path / name)
        hit = f"{one:05d}-0.safetensors"
        assert {n: b for n, b in after.items() if n != hit} == {
            n: b for n, b in before.items() if n != hit
        }
        assert after.get(hit) != before[hit]


def test_no_ensemble_trained_on_poisons_changes_a_certified_prediction(
    tmp_path: Path, images: ImageSet
) -> None:
    parts, rule = Parts(parts=5), RuleConfig.called("dpa")()
    tests = square(pictured(11, 20), 8)
    longer = TINY.replace(epochs=12)  # so that networks agree
    model = fitted(images, tmp_path / "clean", parts, longer)
    clean = rule.certify(model.ballots(tests))
    own, label = parts.of(images).own, images.targets["label"]
    changed = 0
    for trial, hit in enumerate(([0], [1], [3])):
        inside = torch.isin(own, torch.tensor(hit)).numpy()
        poisoned = images.labelled(np.where(inside, 1 - label, label), ())
        after = rule.certify(fitted(poisoned, tmp_path / str(trial), parts, longer).ballots(tests))
        safe = clean.radius >= len(hit)
        assert safe.any()
        assert torch.equal(after.label[safe], clean.label[safe])
        changed += int((after.label != clean.label).sum() + (after.radius != clean.radius).sum())
    assert changed  # or the poisons were too weak to test anything


def test_what_is_trained_is_not_trained_again_and_a_new_training_has_the_same_bits(
    tmp_path: Path, images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = Parts(parts=4)
    whole = fitted(images, tmp_path / "a", parts)
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "a").iterdir()}
    gone = images.digests()[:2]
    hit = sorted(set(parts.of(images).own[:2].tolist()))
    fewer = raw.remove(whole, gone, 1, silent)
    touched = {int(p.name[:5]) for p, t in times.items() if p.stat().st_mtime_ns != t}
    assert touched == set(hit)
    fitted(images.subset(np.arange(2, 30)), tmp_path / "b", parts)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    again = raw.add(fewer, training(images.subset([0, 1]), parts), 1, silent)
    fitted(images, tmp_path / "c", parts)
    assert files(tmp_path / "a") == files(tmp_path / "c")
    tests = square(pictured(7, 9), 8)
    assert torch.equal(again.logits(tests), whole.logits(tests))
    monkeypatch.setattr(raw, "learn", lambda unit: pytest.fail("everything is there"))
    fitted(images, tmp_path / "a", parts)


def test_a_cut_training_goes_on_to_the_same_bits(
    tmp_path: Path, images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = Parts(parts=2)
    fitted(images, tmp_path / "whole", parts)
    asked = iter([False] * 5 + [True])

    def cut(task: Several, progress: Progress) -> None:
        if next(asked, False):
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Several, "after_step", cut)
        with pytest.raises(Interrupted):
            fitted(images, tmp_path / "cut", parts)
    assert list((tmp_path / "cut").glob("cut-*/checkpoint.pt"))
    fitted(images, tmp_path / "cut", parts)
    assert files(tmp_path / "cut") == files(tmp_path / "whole")
    assert not list((tmp_path / "cut").glob("cut-*"))


def test_networks_trained_as_one_are_those_trained_alone_to_rounding(
    tmp_path: Path, images: ImageSet
) -> None:
    parts = Parts(parts=3)
    learner = TINY.replace(epochs=1)
    fitted(images, tmp_path / "alone", parts, learner)
    fitted(images, tmp_path / "group", parts, learner.replace(together=2))
    for name in files(tmp_path / "alone"):
        one, other = load_file(tmp_path / "alone" / name), load_file(tmp_path / "group" / name)
        assert one.keys() == other.keys()
        for key, value in one.items():
            assert torch.allclose(value.double(), other[key].double(), atol=1e-4), key


def test_scores_of_boosted_networks_are_added_up_and_unseen_classes_get_none(
    tmp_path: Path, images: ImageSet
) -> None:
    parts = Parts(parts=40)  # more than images: some are empty, some see one class
    few = images.subset(np.arange(12))
    both = fitted(few, tmp_path, parts, TINY.replace(boost=2, epochs=1))
    assert len(files(tmp_path)) == 2 * int(both.seen.any(1).sum())
    found = both.logits(square(pictured(3, 5), 8))
    assert (found.isfinite() == both.seen).all()
    certificate = RuleConfig.called("dpa")().certify(both.ballots(square(few, 8)))
    assert (certificate.radius >= 0).all()


def test_a_network_that_diverges_abstains_and_the_others_do_not_notice() -> None:
    lesson = Lesson(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1, 0, 1]), 0, 0)
    unit = school.Unit(TINY, [lesson, lesson._replace(model=1)], 2, CPU, Path("nowhere"))
    task = Several(unit.nets(), [5, 5])
    kept_before = {n: t.clone() for n, t in task.nets[1].state_dict().items()}
    with torch.no_grad():
        next(task.nets[0].parameters()).fill_(torch.nan)
    task.after_step(Progress(0, 5, 1))
    assert task.alive.tolist() == [False, True]
    assert task.rounds(Progress(1, 5, 1)) == (("1",),)
    assert all((t == 0).all() for t in task.nets[0].state_dict().values())
    assert all(torch.equal(t, kept_before[n]) for n, t in task.nets[1].state_dict().items())


def test_a_diverged_network_is_written_and_abstains(tmp_path: Path, images: ImageSet) -> None:
    model = fitted(images, tmp_path, Parts(parts=2), TINY.replace(lr=1e30, epochs=1))
    assert len(files(tmp_path)) == 2
    assert (model.logits(square(images, 8)) == -torch.inf).all()


def test_an_image_has_the_same_scores_alone_and_among_others(
    tmp_path: Path, images: ImageSet
) -> None:
    model = fitted(images, tmp_path, Parts(parts=2), TINY.replace(epochs=1))
    tests = square(pictured(5, 300), 8)
    together = model.logits(tests)
    for i in (0, 255, 256, 299):
        assert torch.equal(model.logits(tests[i : i + 1])[0], together[i])


def test_networks_survive_their_file_and_miss_their_weights(
    tmp_path: Path, images: ImageSet
) -> None:
    place = tmp_path / "plain.safetensors"
    model = fitted(images, kept.folder(place), Parts(parts=2), TINY.replace(epochs=1))
    kept.save(model, place, {"data": "noise"})
    back, about = kept.load(place)
    assert about == {"data": "noise"}
    tests = square(pictured(5, 4), 8)
    assert isinstance(back, raw.Networks)
    assert torch.equal(back.logits(tests), model.logits(tests))
    with pytest.raises(ValueError, match=r"trained on images of \[1, 8, 8\]"):
        back.logits(tests.expand(-1, 3, -1, -1))
    next(kept.folder(place).iterdir()).unlink()
    with pytest.raises(MissingData, match="repeat masquerade certify"):
        back.logits(tests)


def test_every_image_of_a_partition_is_in_every_epoch_and_a_step_is_always_full() -> None:
    for count in (1, 3, 4, 9):
        lesson = Lesson(torch.zeros(count, 1, 8, 8), torch.zeros(count, dtype=torch.int64), 3, 1)
        steps = TINY.epoch_steps(count)
        drawn = [lesson.rows(step, 4) for step in range(steps)]
        assert all(len(rows) == 4 for rows in drawn)
        assert set(torch.cat(drawn).tolist()) == set(range(count))


def test_the_rate_drops_where_the_published_schedule_drops_it() -> None:
    config = networks.Config()
    optimizer = config.optimizer(1000)  # 8 steps of 128 an epoch
    for epoch, rate in ((0, 0.1), (59, 0.1), (60, 0.02), (120, 0.004), (160, 0.0008)):
        assert optimizer.schedule.rate(0.1, Progress(8 * epoch, 1600, 1)) == pytest.approx(rate)
    assert config.steps(1000) == 1600


@pytest.mark.parametrize("flip", [False, True])
def test_a_shift_moves_an_image_over_black(flip: bool) -> None:
    pixels = torch.randint(1, 256, (40, 2, 6, 6), generator=Seed(0).generator()).byte()
    moved = shifted(pixels, 2, flip, Seed(4))
    seen = set()
    for before, after in zip(pixels, moved, strict=True):
        wide = torch.zeros(2, 10, 10, dtype=torch.uint8)
        wide[:, 2:8, 2:8] = before
        ways = {
            (y, x, mirrored)
            for y in range(5)
            for x in range(5)
            for mirrored in ((False, True) if flip else (False,))
            if torch.equal(wide[:, y : y + 6, x : x + 6].flip(2) if mirrored else
                           wide[:, y : y + 6, x : x + 6], after)
        }  # fmt: skip
        assert len(ways) == 1
        seen |= ways
    assert {y for y, _, _ in seen} == set(range(5)) == {x for _, x, _ in seen}
    assert {m for _, _, m in seen} == ({False, True} if flip else {False})


def test_a_partition_is_standardised_by_itself_in_any_order() -> None:
    pixels = torch.randint(256, (700, 3, 5, 5), generator=Seed(1).generator()).byte()
    scale = Scale.of(pixels)
    values = pixels.double() / 255
    assert torch.allclose(scale.mean.double(), values.mean((0, 2, 3)), atol=1e-7)
    assert torch.allclose(scale.std.double(), values.std((0, 2, 3), correction=0), atol=1e-6)
    turned = Scale.of(pixels[torch.randperm(700, generator=Seed(2).generator())])
    assert torch.equal(scale.mean, turned.mean) and torch.equal(scale.std, turned.std)


def test_an_image_has_the_same_bytes_alone_or_among_others_of_other_sizes() -> None:
    draw = np.random.Generator(np.random.PCG64(0))
    pixels = draw.integers(0, 256, (300, 20, 24, 3)).astype(np.uint8)
    extent = np.stack([draw.integers(9, 21, 300), draw.integers(9, 25, 300)], 1).astype(np.int32)
    images = ImageSet("mixed", pixels, extent=extent)
    together = square(images, 16)
    for i in (0, 255, 256, 299):
        assert torch.equal(square(images.subset([i]), 16)[0], together[i])
    same = ImageSet("same", pixels[:, :16, :16])
    assert torch.equal(square(same, 16), same.read(range(300)))


@pytest.mark.parametrize("config", [nin.Config(width=12), resnet.Config(width=4)])
@pytest.mark.parametrize(("size", "channels"), [(8, 1), (28, 1), (32, 3)])
def test_base_networks_take_any_small_image(config, size: int, channels: int) -> None:
    net = config.build(size, channels, 7)
    assert net(torch.zeros(2, channels, size, size)).shape == (2, 7)


def test_network_in_network_has_the_published_layers() -> None:
    net = nin.Config().build(32, 3, 10)
    convs = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [(c.in_channels, c.out_channels, c.kernel_size[0]) for c in convs] == [
        (3, 192, 5), (192, 160, 1), (160, 96, 1),
        (96, 192, 5), (192, 192, 1), (192, 192, 1),
        (192, 192, 3), (192, 192, 1), (192, 192, 1),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="8 px or more, got 4"):
        nin.Config().build(4, 3, 10)


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import builtins

    real = builtins.__import__

    def without(name, *rest, **named):
        if name == "ray":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    yield


@pytest.mark.usefixtures("no_ray")
def test_workers_without_ray_say_what_to_install(tmp_path: Path, images: ImageSet) -> None:
    parts = Parts(parts=2)
    known = training(images, parts)
    with pytest.raises(MissingData, match=r"pip install 'masquerade\[cluster\]'"):
        raw.fit(known, CLASSES, parts, TINY, CPU, tmp_path, 2, silent)
