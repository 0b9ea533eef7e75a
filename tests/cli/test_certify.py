import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file
from tests.cli.command import Masquerade

from masquerade.api import Run
from masquerade.certify import kept
from masquerade.certify.ensemble import Ensemble
from masquerade.data.images import digest
from masquerade.data.sources import toybox


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "a")


def classes_of_files(folder: Path, count: int = 20) -> Path:
    """Some toybox images as files, exact in every pixel."""
    images = toybox.Config(per_class=4, pixels=32).load("train", 32)
    for row in range(count):
        name = images.classes[int(images.targets["label"][row])]
        place = folder / name / f"{row:03d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images.pixels[row]).save(place)
    return folder


def test_rules_stand_beside_each_other_with_the_sentence_they_are_entitled_to(
    masquerade: Masquerade, run: Path
) -> None:
    told = masquerade("certify", run, "parts=5", "budgets=1,3")
    assert told.code == 0
    lines = told.out.splitlines()
    assert lines[0] == "certified accuracy on 40 images; fitted on 40 of toybox things10 train"
    assert lines[1].split()[-8:] == ["R", "=", "1", "R", "=", "3", "half", "at"]
    names = [line.split("  ")[0] for line in lines[2:6]]
    assert names == ["DPA", "DPA + run-off", "FA", "FA + run-off"]
    assert "R changed labels; images and the feature extractor are assumed intact." in told.out
    assert "was trained on 40 of the 40 labelled images" in told.out
    assert "inserted or removed" not in told.out
    content = json.loads((run / "certify/certify.json").read_text())
    assert content["scope"] == "labels"
    assert set(content["rules"]["fa"]["certified"]) == {"1", "3"}
    with (run / "certify/radii.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 40
    curve = content["rules"]["dpa"]["curve"]
    right = [r for r in rows if r["dpa_label"] == r["truth"]]
    assert len(right) / 40 == pytest.approx(curve[0])
    with np.load(run / "certify/radii.npz") as arrays:
        assert arrays["fa/radius"].tolist() == [int(r["fa_radius"]) for r in rows]


def test_pixels_entitle_to_more_than_an_encoder_that_saw_the_images(
    masquerade: Masquerade, run: Path
) -> None:
    told = masquerade("certify", run, "--json", "features=pixels", "rule=dpa", "parts=3")
    assert told.json["scope"] == "general"
    assert list(told.json["rules"]) == ["dpa"]
    assert (run / "certify/plain.safetensors").exists()
    assert not (run / "certify/spread.safetensors").exists()


def test_baselines_stand_beside_the_encoder(masquerade: Masquerade, run: Path) -> None:
    told = masquerade("certify", run, "baselines=true", "rule=dpa", "parts=3", "tests=10")
    assert told.code == 0
    assert "\nraw pixels\n" in told.out and "\nthe same network untrained\n" in told.out
    content = json.loads((run / "certify/certify.json").read_text())
    assert set(content["baselines"]) == {"untrained", "pixels"}
    assert content["scope"] == "labels"  # what is claimed is about the trained encoder
    heads, about = kept.load(run / "certify/plain.safetensors")
    assert (about["features"], len(heads.labels)) == ("trained", 40)


def test_heads_of_another_encoder_are_refused(
    masquerade: Masquerade, run: Path, tmp_path: Path
) -> None:
    masquerade("certify", run, "parts=3", "rule=dpa")
    place = run / "encoder.safetensors"
    tensors = load_file(place)
    name = next(n for n in tensors if n.endswith("weight"))
    save_file({**tensors, name: tensors[name] + 1}, place)
    photos = classes_of_files(tmp_path / "new", 2)
    told = masquerade("certify", "predict", run, photos)
    assert told.code == 2 and "is not the one these heads were fitted on" in told.err


def test_new_images_get_label_radius_and_sentence(
    masquerade: Masquerade, run: Path, tmp_path: Path
) -> None:
    masquerade("certify", run, "parts=3", "rule=dpa,roe_dpa")
    photos = classes_of_files(tmp_path / "new", 2)
    told = masquerade("certify", "predict", run, photos, "--json")
    assert told.code == 0
    assert [set(row) for row in told.json] == [{"file", "label", "radius", "sentence"}] * 2
    assert all(f"at most {row['radius']} changed label" in row["sentence"] for row in told.json)
    out = tmp_path / "labels.csv"
    assert masquerade("certify", "predict", run, photos, "rule=roe_dpa", f"out={out}").code == 0
    assert len(out.read_text().splitlines()) == 3
    wrong = masquerade("certify", "predict", run, photos, "rule=fa")
    assert wrong.code == 1 and "masquerade certify makes one" in wrong.err


def heads_of(place: Path) -> Ensemble:
    heads = kept.load(place)[0]
    assert isinstance(heads, Ensemble)
    return heads


def test_images_are_forgotten_and_learnt_exactly(
    masquerade: Masquerade, run: Path, tmp_path: Path
) -> None:
    masquerade("certify", run, "parts=4")
    heads = [run / f"certify/{kind}.safetensors" for kind in ("plain", "spread")]
    before = [heads_of(place) for place in heads]
    photos = classes_of_files(tmp_path / "gone", 6)
    told = masquerade("certify", "unlearn", run, photos, "split=all")
    assert told.code == 0, told.err
    assert told.out.startswith("6 images forgotten: ")
    fewer = [heads_of(place) for place in heads]
    assert all(len(f.labels) == 34 for f in fewer)
    assert not any((f.weights == b.weights).all() for f, b in zip(fewer, before, strict=True))
    assert masquerade("certify", "unlearn", run, photos, "split=all").code == 2  # gone already
    told = masquerade("certify", "add", run, photos, "split=all", "--json")
    assert told.json["images"] == 6
    for place, old in zip(heads, before, strict=True):
        again = heads_of(place)
        assert again.digests == old.digests
        assert (again.weights == old.weights).all()
        assert (again.labels == old.labels).all()
    assert "stale" in json.loads((run / "certify/certify.json").read_text())


def test_features_of_unknown_origin(masquerade: Masquerade, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    label = np.arange(90) % 3
    features = (np.eye(3, 6)[label] * 4 + draw.normal(size=(90, 6))).astype(np.float32)
    place, out = tmp_path / "f.npz", tmp_path / "out"
    old, new = slice(0, 60), slice(60, 90)
    np.savez(
        place,
        features=features[old],
        labels=label[old],
        test_features=features[new],
        test_labels=label[new],
    )
    told = masquerade("certify", place, f"out={out}", "parts=5", "spread=2")
    assert told.code == 0
    assert "Nothing is certified" in told.out
    told = masquerade(
        "certify", place, f"out={out}", "parts=5", "asserted=label_free,unreachable", "--json"
    )
    assert told.json["scope"] == "general"
    assert [a["status"] for a in told.json["assumptions"]][:3] == ["asserted", "open", "asserted"]
    assert told.json["rules"]["dpa"]["clean"] > 0.8
    rows = masquerade("certify", "predict", out, place, "--json").json
    assert len(rows) == 60
    told = masquerade("certify", "unlearn", out, place)  # of all images, nothing is left
    assert told.out.startswith("60 images forgotten: ")


def test_mistakes_are_told_in_words(masquerade: Masquerade, run: Path, tmp_path: Path) -> None:
    assert "name the folder of a run" in masquerade("certify").err
    assert "name the run and the images" in masquerade("certify", "predict", run).err
    assert "no rule is called 'dap'" in masquerade("certify", run, "rule=dap").err
    assert "parts must be at least 1" in masquerade("certify", run, "parts=0").err
    told = masquerade("certify", "predict", tmp_path, run)
    assert told.code == 1 and "keeps no certified models" in told.err
    assert "spread must be at least 2" in masquerade("certify", run, "spread=1").err


def test_the_same_in_python(run: Path) -> None:
    found = Run(run).certify(parts=3, rule="dpa", asserted=["unreachable"], features="trained")
    assert found["scope"] == "general"  # somebody answers for it
    assert list(found["rules"]) == ["dpa"]
    assert (run / "certify/radii.csv").exists()


def words(*more: str) -> list[str]:
    """Tiny networks on tiny images."""
    tiny = "network=nin network.width=6 epochs=1 batch=16 pad=1"
    return [
        *("learner=networks", *(f"learner.{w}" for w in tiny.split())),
        *("size=8", "parts=3", "tests=20", "runtime.accelerator=cpu", *more),
    ]


def test_networks_on_raw_images_get_the_strongest_sentence_and_forget_exactly(
    masquerade: Masquerade, here: Path
) -> None:
    photos = classes_of_files(here / "photos", 40)
    told = masquerade("certify", photos, *words("out=a"))
    assert told.code == 0, told.err
    sentence = (
        "differs from the one used by at most R inserted or removed images (a changed image "
        "counts twice, a changed label once).\n"
    )
    assert sentence in told.out and "feature extractor" not in told.out
    assert "3 models see " in told.out and "\nFA" not in told.out
    content = json.loads(Path("a/certify/certify.json").read_text())
    assert (content["scope"], list(content["rules"])) == ("general", ["dpa", "roe_dpa"])
    assert content["rules"]["dpa"]["curve"][-1] == 0
    assert Path("a/certify/report.html").read_text().count('class="voted"') >= 1
    weights = {p.name: p.read_bytes() for p in Path("a/certify/plain").iterdir()}
    assert len(weights) == 3
    rows = masquerade("certify", "predict", "a", photos, "split=test", "--json").json
    assert "inserted or removed image" in rows[0]["sentence"]
    learnt = kept.load(Path("a/certify/plain.safetensors"))[0].digests
    pictures = {p: digest(np.array(Image.open(p))) for p in photos.glob("*/*.png")}
    names = sorted({p.parent.name for p in pictures})[:2]
    mine = [p for p, name in pictures.items() if name in learnt and p.parent.name in names]
    for path in mine:
        place = here / "gone" / path.parent.name / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    told = masquerade("certify", "unlearn", "a", here / "gone", "split=all")
    assert told.code == 0, told.err
    gone = {p.name: p.read_bytes() for p in Path("a/certify/plain").iterdir()}
    hit = sum(gone.get(n) != w for n, w in weights.items())
    assert hit >= 1
    told = masquerade("certify", "add", "a", here / "gone", "split=all")
    assert told.out.startswith(f"{len(mine)} images learnt: {hit} of 3 models fitted anew")
    assert {p.name: p.read_bytes() for p in Path("a/certify/plain").iterdir()} == weights


def test_pixels_of_images_need_no_run(masquerade: Masquerade, here: Path) -> None:
    told = masquerade("certify", "digits", "size=8", "parts=9", "rule=dpa", "tests=50", "out=a")
    assert told.code == 0, told.err
    assert "inserted or removed" in told.out and "feature extractor" not in told.out
    assert masquerade("certify", "predict", "a", "digits", "split=test").code == 0
    told = masquerade("certify", "unlearn", "a", "digits", "split=train")
    assert told.out.startswith("1,438 images forgotten: 9 of 9 models")


def test_labelled_images_that_the_encoder_saw_can_be_left_out(
    masquerade: Masquerade, run: Path
) -> None:
    told = masquerade("certify", run, "overlap=drop", "parts=3", "rule=dpa")
    assert told.code == 2 and "was trained on all 40 images" in told.err
    told = masquerade(
        "certify", run, "overlap=drop", "parts=3", "rule=dpa", "train=seen", "asserted=unreachable"
    )
    assert told.code == 0, told.err
    assert "at most R inserted or removed images" in told.out


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (["digits", "features=trained"], "features=trained needs a run"),
        (["digits", "baselines=true"], "baselines=true compares with a run's encoder"),
        (["digits", "overlap=drop"], "overlap=drop is about a run's encoder"),
        (["digits", "data=toybox"], "names the images already"),
        (["digits", "learner=networks", "features=untrained"], "networks learn from raw images"),
        (["digits", "workers=2"], "workers= train networks"),
        (["digits", "learner=networks", "learner.network=vgg"], "no base network is called 'vgg'"),
        (["digits", "learner=networks", "learner.drops=[2]"], "shares of the training"),
        (["nowhere"], "no run, no file and no source of images"),
    ],
)
def test_settings_that_make_no_sense_for_images_are_told(
    masquerade: Masquerade, here: Path, more: list[str], text: str
) -> None:
    told = masquerade("certify", *more)
    assert told.code == 2 and text in told.err, told.err
    assert not Path("runs").exists()


def test_networks_are_refused_on_a_run(masquerade: Masquerade, run: Path) -> None:
    told = masquerade("certify", run, "learner=networks", "features=pixels")
    assert told.code == 2
    assert "masquerade certify toybox learner=networks" in told.err


@pytest.mark.parametrize("parts", ["1", "3000"])
def test_any_number_of_partitions_is_certified(
    masquerade: Masquerade, here: Path, parts: str
) -> None:
    told = masquerade(
        "certify", "digits", "size=8", f"parts={parts}", "rule=dpa,roe_dpa", "tests=40", "--json"
    )
    assert told.code == 0, told.err
    content = told.json
    radii = [len(r["curve"]) - 2 for r in content["rules"].values()]
    if parts == "1":
        assert radii == [0, 0]  # one poison reaches the only model
    else:
        health = content["rules"]["dpa"]["health"]
        assert health["empty"] > 0.3 and all(r <= 1500 for r in radii)
        assert any("see no image at all" in text for text in content["advice"])


def test_a_file_with_a_number_that_is_none_is_refused(masquerade: Masquerade, here: Path) -> None:
    features = np.ones((6, 3), np.float32)
    features[4, 1] = np.nan
    label = np.arange(6) % 2
    np.savez("f.npz", features=features, labels=label, test_features=features, test_labels=label)
    told = masquerade("certify", "f.npz", "parts=2")
    assert told.code == 2 and "the features of image 4 are nan" in told.err
