"""Attacks on fitted classifiers, and variants of ImageNet in their layouts."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from masquerade.attacks import pgd
from masquerade.attacks.budget import Budget
from masquerade.attacks.measures import against, margin
from masquerade.core.errors import MasqueradeError, MissingData
from masquerade.core.seed import Seed
from masquerade.data.images import ImageSet
from masquerade.evaluate import finetune, knn, linear, shifts
from masquerade.evaluate.base import ProtocolConfig
from masquerade.evaluate.finetune import Tuned
from masquerade.evaluate.frozen import Frozen
from masquerade.evaluate.judged import Judge, spaced
from masquerade.evaluate.mixing import Mixing
from masquerade.evaluate.robustness import Config
from masquerade.evaluate.shifts import Shifted, chosen
from masquerade.evaluate.tuning import CROPS
from masquerade.evaluate.whitebox import Siege, Strike, Target, randomly
from masquerade.networks import backbone

Tinted = Callable[..., ImageSet]
QUICK = Config(linf=(1, 8, 48), strikes=(Strike(attack=pgd.Config(steps=5)),))
WNIDS = ("n01440764", "n01443537", "n01484850")


@pytest.fixture
def judge(pixels: Frozen, tinted: Tinted) -> Judge:
    return Config().judge(pixels, tinted(60, noise=120), Seed(0))


def batch(judge: Judge, images: ImageSet):
    (shown,) = judge.pixels(images)
    labels = images.labels
    assert labels is not None
    return shown, labels


def test_curves_fall_with_the_budget_and_end_at_none(pixels, tinted: Tinted):
    train, test = tinted(60, noise=120), tinted(30, name="new", noise=120)
    result = QUICK.build().run(pixels, train, {"test": test}, Seed(0))
    curve = result.arrays["curve/linf/test"]
    assert (
        curve.shape == (4, 4) and curve[0].tolist() == [0] + [result.metrics["test/clean_top1"]] * 3
    )
    assert (np.diff(curve[:, 1]) <= 0).all() and curve[-1, 1] == 0
    assert curve[1:, 0].tolist() == pytest.approx([1 / 255, 8 / 255, 48 / 255])
    assert (curve[:, 2] > 0.9).all()  # noise of the same size costs next to nothing
    for k, budget in enumerate((1, 8, 48), start=1):
        assert result.metrics[f"test/linf_{budget}_top1"] == pytest.approx(curve[k, 1])
        assert result.metrics[f"test/noise_linf_{budget}_top1"] == pytest.approx(curve[k, 2])
        assert result.metrics[f"test/blind_linf_{budget}_top1"] == pytest.approx(curve[k, 3])
    assert result.metrics["test/top1"] == pytest.approx(curve[1:, 1].mean())
    smallest = result.arrays["smallest/linf/test"]
    for k, budget in enumerate(curve[:, 0]):
        assert (smallest > budget + 1e-9).mean() == pytest.approx(curve[k, 1])
    assert "pgd (ce)" in result.notes[-1]


def test_the_network_that_is_attacked_is_the_one_that_was_measured(pixels, tinted: Tinted):
    train, test = tinted(60, noise=120), tinted(30, name="new", noise=120)
    plain = linear.Config().build().run(pixels, train, {"test": test}, Seed(0))
    result = QUICK.build().run(pixels, train, {"test": test}, Seed(0))
    assert result.metrics["test/clean_top1"] == plain.metrics["test/top1"]


def test_a_linear_probe_on_pixels_falls_where_its_margin_says(judge: Judge, tinted: Tinted):
    images, labels = batch(judge, tinted(12, name="new", noise=120))
    target = Target(judge)
    weight = judge.head.tensors()["weight"].view(3, 3, 8, 8) / target.std
    logits = target.logits(images)
    least = torch.full((12,), torch.inf)  # the nearest boundary: margin / L1 length of the slope
    for other in range(3):
        gap = logits.gather(1, labels[:, None])[:, 0] - logits[:, other]
        slope = (weight[labels] - weight[other]).abs().flatten(1).sum(1)
        least = torch.where(labels == other, least, torch.minimum(least, gap / slope))
    inner = (images > 0.25).all()
    budgets = tuple(float(v) for v in least.sort().values[[2, 6, 10]])
    siege = Siege((Strike(attack=pgd.Config(steps=20), measure="margin"),), False, False)
    steps = tuple(b * f for b in budgets for f in (0.98, 1.05))
    curve = siege.curve(target, [(images, labels)], "linf", steps, Seed(0))
    for epsilon, share in zip(steps, curve.attacked, strict=True):
        assert share >= float((least > epsilon).double().mean()) - 1e-6  # never below the truth
        if inner:
            assert share == pytest.approx(float((least > epsilon).double().mean()))


def test_an_image_that_has_fallen_is_not_attacked_again(judge: Judge, tinted: Tinted, monkeypatch):
    images, labels = batch(judge, tinted(12, name="new", noise=120))
    seen: list[int] = []
    perturb = pgd.Pgd.perturb

    def counted(self, x, *rest):
        seen.append(len(x))
        return perturb(self, x, *rest)

    monkeypatch.setattr(pgd.Pgd, "perturb", counted)
    siege = Siege((Strike(restarts=2), Strike(measure="margin")), False, False)
    curve = siege.curve(Target(judge), [(images, labels)], "linf", (8 / 255, 90 / 255), Seed(0))
    assert seen == sorted(seen, reverse=True) and seen[0] == round(12 * curve.clean)
    assert curve.attacked[1] == 0 and len(seen) < 6 + 1
    assert all(v != v for v in curve.blind)  # not asked for


def test_restarts_and_a_second_attack_only_ever_lower_the_curve(judge: Judge, tinted: Tinted):
    data = [batch(judge, tinted(30, name="new", noise=120))]
    weak = Strike(attack=pgd.Config(steps=1, stride=0.5))
    few, more = (
        Siege(strikes, False, False).curve(
            Target(judge), data, "linf", (12 / 255, 24 / 255), Seed(0)
        )
        for strikes in ((weak,), (weak.replace(restarts=3), Strike(measure="margin")))
    )
    assert more.attacked <= few.attacked and more.attacked[1] < few.attacked[1]


def test_noise_is_as_large_as_the_budget_and_stays_in_range(tinted: Tinted):
    images = torch.rand(4, 3, 8, 8, generator=Seed(0).generator()) / 2 + 0.25
    change = randomly(images, Budget("linf", 0.1), Seed(0)) - images
    assert change.abs().min() == pytest.approx(0.1, rel=1e-4)
    change = randomly(images, Budget("l2", 0.3), Seed(0)) - images
    assert change.flatten(1).norm(dim=1).tolist() == pytest.approx([0.3] * 4, rel=1e-4)
    wide = randomly(images, Budget("linf", 3.0), Seed(0))
    assert set(wide.unique().tolist()) == {0.0, 1.0}


def test_l2_budgets_have_a_curve_of_their_own(pixels, tinted: Tinted):
    config = QUICK.replace(linf=(), l2=(0.1, 3.0), blind=False)
    result = config.build().run(
        pixels, tinted(60, noise=120), {"test": tinted(9, name="n")}, Seed(0)
    )
    keys = {"clean_top1", "l2_0.1_top1", "l2_3_top1", "noise_l2_0.1_top1", "noise_l2_3_top1"}
    keys |= {"median_l2_budget", "top1"}
    assert set(result.metrics) == {f"test/{key}" for key in keys}
    assert result.metrics["test/l2_3_top1"] == 0 < result.metrics["test/noise_l2_3_top1"]


def test_neighbours_can_be_attacked_without_labels_but_not_with(pixels, tinted: Tinted):
    train, test = tinted(60, noise=120), tinted(9, name="new", noise=120)
    with pytest.raises(ValueError, match="knn has no scores with gradients"):
        QUICK.replace(head=knn.Config()).build().run(pixels, train, {"test": test}, Seed(0))
    config = QUICK.replace(head=knn.Config(), strikes=())
    metrics = config.build().run(pixels, train, {"test": test}, Seed(0)).metrics
    assert "test/linf_8_top1" not in metrics and "test/top1" not in metrics
    assert metrics["test/blind_linf_48_top1"] <= metrics["test/blind_linf_1_top1"]


def test_a_fine_tuned_network_is_attacked_through_all_its_layers(tinted: Tinted, tmp_path):
    torch.manual_seed(0)
    options = {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]}
    made = backbone.Config(options=options).build(16, 3, (0.2,) * 3, (0.2,) * 3)
    frozen = Frozen.of(made.eval(), cache=tmp_path)
    head = finetune.Config(
        epochs=12, batch=16, drop_path=0.0, mixing=Mixing(), augment=CROPS.replace(flip=0.0)
    )
    config = QUICK.replace(head=head, linf=(0.1, 64))
    train, test = tinted(60), tinted(9, name="new")
    result = config.build().run(frozen, train, {"test": test}, Seed(0))
    again = config.judge(frozen, train, Seed(0))  # from the cache: trained once
    assert isinstance(again.head, Tuned)
    images, labels = batch(again, test)
    target = Target(again)
    clean = float(target.right(images, labels).double().mean())
    assert result.metrics["test/clean_top1"] == clean > 0.8
    assert result.metrics["test/linf_64_top1"] < result.metrics["test/linf_0.1_top1"]
    loss = against(target.logits, labels, "margin")
    torch.testing.assert_close(loss(images), margin(target.logits(images), labels))
    assert [p.name[:9] for p in tmp_path.iterdir() if p.is_dir()] == ["finetune-"]


def test_only_so_many_images_evenly_spaced_are_attacked(pixels, tinted: Tinted):
    assert spaced(torch.arange(10), 4).tolist() == [0, 3, 6, 9]
    assert spaced(torch.arange(3), 4).tolist() == [0, 1, 2] == spaced(torch.arange(3), 0).tolist()
    result = QUICK.replace(images=10).build().run(pixels, tinted(), {"test": tinted(40)}, Seed(0))
    assert len(result.arrays["smallest/linf/test"]) == 10
    assert "10 of 40 images of test were attacked" in result.notes


def test_equal_seeds_give_equal_curves(pixels, tinted: Tinted):
    first, again = (
        QUICK.build().run(pixels, tinted(60, noise=120), {"test": tinted(9, name="n")}, Seed(2))
        for _ in range(2)
    )
    assert first.metrics == again.metrics


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"linf": (4, 2)}, r"budgets rise from above 0, got \[4.0, 2.0\]"),
        ({"l2": (0.0, 1.0)}, r"budgets rise from above 0"),
        ({"shifts": {"imagenet_q": "x"}}, "no variant is called 'imagenet_q'; there"),
        ({"strikes": [{"attack": "fgsm"}]}, "no attack is called 'fgsm'"),
        ({"head": {"kind": "linear", "layer": "projector"}}, "set layer of robustness itself"),
    ],
)  # fmt: skip
def test_settings_that_mean_nothing_are_refused(settings, text):
    with pytest.raises(ValueError, match=text):
        ProtocolConfig.parse({"kind": "robustness", **settings})


@pytest.mark.skipif(find_spec("pyautoattack") is not None, reason="pyautoattack is installed")
def test_autoattack_without_its_package_says_how_to_get_it(pixels, tinted: Tinted):
    config = QUICK.replace(autoattack=True, strikes=())
    with pytest.raises(MasqueradeError, match=r"pip install masquerade\[robust\]"):
        config.build().run(pixels, tinted(), {"test": tinted(9)}, Seed(0))


def variant(folder: Path, images: ImageSet, names, each=2):
    """A variant's folder: one folder per class, its pictures in the class's own colour."""
    for k, name in enumerate(names):
        for row in range(each):
            place = folder / name / f"{row}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images.pixels[3 * row + k]).save(place)
    return str(folder)


def numbered(images: ImageSet):
    """The same images as if from ImageNet, classes in another order than its folders."""
    wnids = [WNIDS[2 - k] for k in images.targets["label"].tolist()]
    files = tuple(f"{wnid}/{row}.JPEG" for row, wnid in enumerate(wnids))
    label = {"label": images.targets["label"]}
    return ImageSet(
        "in", images.pixels, targets=label, classes=("shark", "fish", "tench"), files=files
    )


def test_a_variant_is_measured_among_its_own_classes(pixels, tinted: Tinted, tmp_path):
    train = numbered(tinted())
    place = variant(tmp_path / "a", tinted(9), (WNIDS[2], WNIDS[0]))
    config = QUICK.replace(shifts={"imagenet_a": place}, linf=())
    result = config.build().run(pixels, train, {"val": train}, Seed(0))
    judge = config.judge(pixels, train, Seed(0))
    known = dict(zip(reversed(WNIDS), range(3), strict=True))
    found = Shifted.load("imagenet_a", place, 8, known, skip=False)
    assert found.among.tolist() == [0, 2]
    assert sorted(found.labels.tolist()) == [0, 0, 2, 2]
    scores = judge.scores(judge.pixels(found.images))
    assert (scores.argmax(1) == 1).any()  # green is "fish": among all three it would be wrong
    want = [0 if row[0] > row[2] else 2 for row in scores.tolist()]
    right = float(np.mean([w == y for w, y in zip(want, found.labels.tolist(), strict=True)]))
    assert result.metrics["imagenet_a/top1"] == right
    assert result.metrics["imagenet_a/val_same_classes_top1"] == 1.0
    note = next(n for n in result.notes if n.startswith("imagenet_a"))
    assert "2 of 200 classes, 4 of 7,500 images; not comparable" in note
    labels = torch.tensor([0, 1, 2] * 3)
    assert chosen(judge, tinted(9), labels, torch.tensor([0, 1]), False) == 1.0
    assert chosen(judge, tinted(9), torch.full((9,), -1), torch.tensor([0, 1]), True) is None


def test_folders_of_v2_are_numbers_and_not_in_alphabetical_order(tinted: Tinted, tmp_path):
    place = variant(tmp_path / "v2", tinted(9), ("0", "10", "2"))
    thousand = [shifts.counted("imagenet_v2", str(k)) for k in (0, 1, 2, 10)]
    assert thousand == ["n01440764", "n01443537", "n01484850", "n01530575"]
    known = {wnid: k for k, wnid in enumerate(thousand)}
    found = Shifted.load("imagenet_v2", place, 8, known, skip=False)
    files = [file.split("/")[0] for file in found.images.files]
    assert dict(zip(files, found.labels.tolist(), strict=True)) == {"0": 0, "2": 2, "10": 3}
    with pytest.raises(ValueError, match="are called 0 to 999, got 'x'"):
        shifts.counted("imagenet_v2", "x")


def test_stylized_imagenet_is_its_val_folder(tinted: Tinted, tmp_path):
    variant(tmp_path / "s" / "train", tinted(12), WNIDS, each=3)
    variant(tmp_path / "s" / "val", tinted(9), WNIDS)
    known = {wnid: k for k, wnid in enumerate(WNIDS)}
    found = Shifted.load("stylized_imagenet", str(tmp_path / "s"), 8, known, skip=False)
    assert len(found.images) == 6


def test_classes_that_do_not_fit_a_variant_are_counted_and_can_be_left_out(
    pixels, tinted: Tinted, tmp_path
):
    place = variant(tmp_path / "r", tinted(9), (*WNIDS[:2], "n09999999"))
    train = numbered(tinted())
    config = QUICK.replace(shifts={"imagenet_r": place}, linf=())
    with pytest.raises(ValueError, match=r"does not know 1: n09999999; skip_classes"):
        config.build().run(pixels, train, {}, Seed(0))
    found = config.replace(skip_classes=True).build().run(pixels, train, {}, Seed(0))
    assert 0 <= found.metrics["imagenet_r/top1"] <= 1
    strangers = variant(tmp_path / "q", tinted(9), ("n09999998", "n09999999"))
    with pytest.raises(ValueError, match=r"does not know 2: n09999998, n09999999$"):
        Shifted.load("imagenet_r", strangers, 8, {WNIDS[0]: 0}, skip=True)
    with pytest.raises(MissingData, match=r"there is no folder .*nowhere"):
        Shifted.load("imagenet_r", str(tmp_path / "nowhere"), 8, {}, skip=False)
