"""The protocol on images made here, on tiny releases in their real layouts, and mCE."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image

from masquerade.core.errors import BadImages, WrongPath
from masquerade.core.seed import Seed
from masquerade.data.images import ImageSet
from masquerade.evaluate import corruptions, knn, mce
from masquerade.evaluate.base import ProtocolConfig
from masquerade.evaluate.classifier import aligned
from masquerade.evaluate.corrupting.kinds import corrupted
from masquerade.evaluate.corruptions import Config, incomparable
from masquerade.evaluate.released import Release

Tinted = Callable[..., ImageSet]
FEW = ("gaussian_noise", "contrast", "fog")


def test_alexnets_own_errors_are_an_mce_of_one_and_a_relative_one_of_one():
    own = {kind: [percent / 100] * 5 for kind, percent in mce.ALEXNET.items()}
    assert len(own) == 15
    assert mce.mce(own) == pytest.approx(1)
    assert mce.relative_mce(own, mce.ALEXNET_CLEAN / 100) == pytest.approx(1)
    half = {kind: [error / 2 for error in errors] for kind, errors in own.items()}
    assert mce.mce(half) == pytest.approx(0.5)
    assert mce.ce("fog", [0.1, 0.2, 0.3, 0.4, 0.5]) == pytest.approx(0.3 / 0.819324)


def test_mce_of_some_kinds_only_is_refused_with_the_missing_ones():
    own = {kind: [0.5] * 5 for kind in mce.ALEXNET}
    del own["frost"]
    own["snow"] = [0.5] * 4
    with pytest.raises(ValueError, match="missing: snow, frost"):
        mce.mce(own)


def test_accuracies_are_those_of_the_fitted_head_on_each_corrupted_set(pixels, tinted: Tinted):
    config = Config(kinds=FEW, severities=(1, 5), constants="imagenet", head=knn.Config(k=3))
    train, test = tinted(60, noise=190), tinted(30, name="new", noise=190)
    result = config.build().run(pixels, train, {"test": test}, Seed(0))
    head = knn.Config(k=3).build().run(pixels, train, {"test": test}, Seed(0))
    assert head.head is not None
    assert result.metrics["test/clean_top1"] == head.metrics["test/top1"]
    table = result.arrays["accuracy/test"]
    assert result.arrays["kinds/test"].tolist() == list(FEW)
    for row, kind in enumerate(FEW):
        for column, severity in enumerate((1, 5)):
            seed = Seed(0).fold("corruptions", "test")
            changed = corrupted(test.read(range(30)), kind, severity, "imagenet", seed)
            made = ImageSet("made", changed.permute(0, 2, 3, 1).numpy(), classes=test.classes)
            told = head.head.predict(pixels.features(made)).label
            want = float(torch.eq(told, aligned(test, test.classes)).double().mean())
            assert table[row, column] == pytest.approx(want)
    assert result.metrics["test/top1"] == pytest.approx(table.mean())
    assert result.metrics["test/contrast_top1"] == pytest.approx(table[1].mean())
    assert result.metrics["test/severity_5_top1"] == pytest.approx(table[:, 1].mean())
    assert table.min() < result.metrics["test/clean_top1"]
    assert not any("mce" in key for key in result.metrics)
    assert "not comparable with published ones" in result.notes[-1]


def test_extra_kinds_enter_no_mean(pixels, tinted: Tinted):
    config = Config(kinds=("gaussian_noise", "saturate"), severities=(5,), head=knn.Config(k=3))
    found = config.build().run(pixels, tinted(), {"test": tinted(30, name="new")}, Seed(0))
    assert found.metrics["test/top1"] == found.metrics["test/gaussian_noise_top1"]
    assert "test/saturate_top1" in found.metrics


def test_only_so_many_images_evenly_spaced_are_corrupted(pixels, tinted: Tinted):
    config = Config(kinds=("contrast",), severities=(5,), images=10, head=knn.Config(k=3))
    train, test = tinted(60, noise=190), tinted(40, name="new", noise=190)
    some = config.build().run(pixels, train, {"test": test}, Seed(0))
    chosen = test.subset(torch.linspace(0, 39, 10).round().long())
    whole = config.replace(images=0).build().run(pixels, train, {"test": chosen}, Seed(0))
    assert some.metrics == whole.metrics
    assert "at most 10 images of a set" in some.notes[-1]


def test_a_set_without_labels_is_said_and_left_out(pixels, tinted: Tinted):
    bare = ImageSet("bare", tinted(9).pixels)
    config = Config(kinds=("contrast",), severities=(1,))
    found = config.build().run(pixels, tinted(), {"test": bare}, Seed(0))
    assert found.metrics == {}
    assert "test (bare) has no labels, so nothing was measured on it" in found.notes


@pytest.mark.parametrize(("size", "want"), [(32, "cifar"), (64, "cifar"), (96, "imagenet")])
def test_small_images_get_the_strengths_of_cifar(size, want):
    assert Config().strength(size) == want
    assert Config(constants="imagenet").strength(size) == "imagenet"


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"kinds": ("frost",)}, r"no corruption \['frost'\]; there are: gaussian_noise"),
        ({"kinds": ()}, "there are: gaussian_noise"),
        ({"severities": (0, 1)}, r"severities are 1 to 5, got \[0, 1\]"),
        ({"head": {"kind": "linear", "crop": 0.5}}, "set crop of corruptions itself"),
        ({"head": "corruptions"}, "corruptions leaves no classifier"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, text):
    with pytest.raises(ValueError, match=text):
        ProtocolConfig.parse({"kind": "corruptions", **settings})


def cifar(folder, images: ImageSet, kinds, per=6):
    """A tiny CIFAR-C: five severities one after the other, each darker."""
    folder.mkdir()
    rows = np.arange(per)
    steps = [images.pixels[rows] // (1 + s) for s in range(5)]
    for kind in kinds:
        np.save(folder / f"{kind}.npy", np.concatenate(steps))
    np.save(folder / "labels.npy", np.tile(images.targets["label"][rows], 5).astype(np.uint8))
    return steps


def test_cifar_c_is_read_severity_by_severity(pixels, tinted: Tinted, tmp_path):
    train, test = tinted(), tinted(30, name="new")
    steps = cifar(tmp_path / "c", test, ("fog", "spatter"))
    config = Config(released=str(tmp_path / "c"), head=knn.Config(k=3))
    found = config.build().run(pixels, train, {"test": test}, Seed(0))
    head = knn.Config(k=3).build().run(pixels, train, {}, Seed(0)).head
    assert head is not None
    labels = aligned(test, test.classes)[:6]
    told = [head.predict(pixels.features(ImageSet("s", step))).label for step in steps]
    want = [float(torch.eq(label, labels).double().mean()) for label in told]
    assert found.arrays["accuracy/cifar_c"].tolist() == [want, want]
    assert found.metrics["cifar_c/top1"] == pytest.approx(np.mean(want))
    assert "no mCE: it is defined by AlexNet's errors on ImageNet-C" in found.notes
    with pytest.raises(ValueError, match="has 3 classes, the classifier was fitted on 2"):
        config.build().run(pixels, tinted(20, classes=("blue", "red")), {}, Seed(0))


def imagenet(folder, images: ImageSet, wnids, kinds, group="noise"):
    """A tiny ImageNet-C: kind / severity / class / JPEG, in its archive's group."""
    for kind in kinds:
        for severity in range(1, 6):
            for row, wnid in enumerate(wnids):
                place = folder / group / kind / str(severity) / wnid / f"val_{row}.JPEG"
                place.parent.mkdir(parents=True, exist_ok=True)
                dark = images.pixels[row] // severity**3
                Image.fromarray(dark).save(place, quality=95)


def numbered(images: ImageSet, wnids):
    """The same images as if from class folders named by WordNet numbers."""
    label = images.targets["label"]
    files = tuple(f"{wnids[k]}/{row}.JPEG" for row, k in enumerate(label.tolist()))
    named = ("tench", "goldfish", "shark")
    return ImageSet("in", images.pixels, targets={"label": label}, classes=named, files=files)


WNIDS = ("n01440764", "n01443537", "n01484850")


def test_imagenet_c_is_read_by_the_numbers_of_its_class_folders(pixels, tinted: Tinted, tmp_path):
    train = numbered(tinted(), WNIDS)
    imagenet(tmp_path, tinted(9), WNIDS, ("shot_noise",))
    release = Release.at(str(tmp_path))
    assert release.kinds == ("shot_noise",)
    known = {wnid: 2 - k for k, wnid in enumerate(WNIDS)}
    condition = release.condition("shot_noise", 2, known, skip=False)
    assert condition.labels.tolist() == [2, 1, 0]
    shown = torch.cat(list(condition.pixels(8, 2)))
    want = torch.from_numpy(tinted(9).pixels[:3] // 8).permute(0, 3, 1, 2) / 255
    assert (shown - want).abs().max() < 0.12 and (shown - want).abs().mean() < 0.03  # JPEG
    config = Config(released=str(tmp_path), head=knn.Config(k=3))
    found = config.build().run(pixels, train, {"val": train}, Seed(0))
    assert found.metrics["imagenet_c/severity_1_top1"] == 1.0
    assert "imagenet_c/mce" not in found.metrics
    assert any(
        "gaussian_noise, impulse_noise" in note and "missing" in note for note in found.notes
    )


def test_classes_that_do_not_fit_a_release_are_counted_and_named(pixels, tinted: Tinted, tmp_path):
    imagenet(tmp_path, tinted(9), ("n01440764", "n99999999"), ("fog",), group="weather")
    train = numbered(tinted(), WNIDS)
    config = Config(released=str(tmp_path))
    with pytest.raises(
        ValueError, match=r"2 class folders.*does not know 1: n99999999; skip_classes"
    ):
        config.build().run(pixels, train, {}, Seed(0))
    found = config.replace(skip_classes=True).build().run(pixels, train, {}, Seed(0))
    assert found.metrics["imagenet_c/severity_1_top1"] == 1.0
    with pytest.raises(ValueError, match="lie in no folder such as n01440764"):
        config.build().run(pixels, tinted(), {}, Seed(0))


def test_a_missing_release_severity_or_pixel_is_said_with_the_place(tinted: Tinted, tmp_path):
    with pytest.raises(WrongPath, match=r"neither ImageNet-C nor CIFAR-C lies in .*nowhere"):
        Release.at(str(tmp_path / "nowhere"))
    imagenet(tmp_path, tinted(9), WNIDS, ("fog",), group="")
    release, known = Release.at(str(tmp_path)), {wnid: k for k, wnid in enumerate(WNIDS)}
    for file in (tmp_path / "fog" / "4").rglob("*.JPEG"):
        file.write_bytes(file.read_bytes()[:90])
    with pytest.raises(BadImages, match=r"val_0\.JPEG"):
        list(release.condition("fog", 4, known, skip=False).pixels(8, 4))
    (tmp_path / "fog" / "5").rename(tmp_path / "five")
    with pytest.raises(WrongPath, match="lacks fog/5"):
        release.condition("fog", 5, known, skip=False)


def test_mce_is_given_for_whole_imagenet_c_at_224_and_1000_classes_only(tmp_path):
    whole = Release("imagenet_c", tmp_path, tuple(mce.ALEXNET))
    assert incomparable(whole, 224, 1000) == ""
    assert "AlexNet" in incomparable(whole._replace(layout="cifar_c"), 224, 1000)
    assert "gaussian_noise missing" in incomparable(
        whole._replace(kinds=whole.kinds[1:]), 224, 1000
    )
    assert "sees 192 px" in incomparable(whole, 192, 1000)
    assert "100 classes" in incomparable(whole, 224, 100)


def test_a_whole_release_gives_mce_of_its_errors(pixels, tinted: Tinted, tmp_path, monkeypatch):
    imagenet(tmp_path, tinted(9), WNIDS, tuple(mce.ALEXNET), group="")
    monkeypatch.setattr(corruptions, "incomparable", lambda *_: "")  # three classes at 8 pixels
    train = numbered(tinted(), WNIDS)
    config = Config(released=str(tmp_path), head=knn.Config(k=1, metric="euclidean"))
    found = config.build().run(pixels, train, {"val": train}, Seed(0))
    right = found.arrays["accuracy/imagenet_c"]
    errors = {kind: (1 - right[k]).tolist() for k, kind in enumerate(mce.ALEXNET)}
    assert 0 < right.mean() < 1
    assert found.metrics["imagenet_c/mce"] == pytest.approx(mce.mce(errors))
    clean = 1 - found.metrics["imagenet_c/clean_top1"]
    assert found.metrics["imagenet_c/relative_mce"] == pytest.approx(
        mce.relative_mce(errors, clean)
    )
