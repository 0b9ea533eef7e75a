"""Somebody else's checkpoint as a run: measured, certified, taken away, trained on from."""

import json
from pathlib import Path

import pytest
import torch
from tests.networks import checkpoints

import masquerade as mq
from masquerade.certify import provenance
from masquerade.core.errors import CannotResume, WrongPath
from masquerade.core.rundir import RunDir
from masquerade.export import weights
from masquerade.jobs import finished, importing, pretrain
from masquerade.jobs.importing import Import
from masquerade.jobs.settings import Pretrain
from masquerade.networks import encoder_file

DATA = {"kind": "toybox", "per_class": 4, "per_class_test": 4, "pixels": 32}
ONE = {"accelerator": "cpu", "threads": 1}
SMALL = Import.parse(
    {
        "data": DATA,
        "size": 32,
        "runtime": ONE,
        "backbone": {"name": "resnet18", "options": checkpoints.CNN},
    }
)


def silent(text: str) -> None:
    """Says nothing."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    folder = tmp_path_factory.mktemp("runs")
    place = checkpoints.moco(folder / "moco.pth", checkpoints.cnn(), checkpoints.cnn(seed=8))
    return importing.run(SMALL, str(place), folder / "run", silent)


def test_an_imported_encoder_gives_the_features_of_the_network_it_came_from(run: RunDir) -> None:
    ours, theirs = finished.encoder(run), checkpoints.cnn()
    images = torch.rand(3, 3, 32, 32)
    torch.testing.assert_close(ours.from_pixels(images), theirs.from_pixels(images))
    assert tuple(ours.mean.flatten().tolist()) == pytest.approx((0.485, 0.456, 0.406))


def test_what_it_was_trained_on_is_said_to_be_unknown(run: RunDir) -> None:
    card = encoder_file.card(run.path)
    assert card.about["trained_on"] == "unknown training images"
    assert len(card.about["sha256"]) == 64 and "digests" not in card.about
    assert card.origin.startswith("65 of 65 tensors from moco.pth (the query encoder of MoCo")
    source = provenance.manifest(run.path)
    assert (source.digests, source.labels, source.learnt) == (None, None, True)


def test_its_certificates_are_never_verified_against_inserted_images(run: RunDir) -> None:
    source = provenance.manifest(run.path)
    told = provenance.claim(source, ["00"])
    assert told.scope == "nothing" and "not known whether labels influenced" in told.why
    weaker = provenance.claim(source, ["00"], ["label_free"])
    assert weaker.scope == "labels" and "not known which images" in weaker.why
    strong = provenance.claim(source, ["00"], ["label_free", "unreachable"])
    own = [
        one.status for one in strong.assumptions if "training" in one.text or "label" in one.text
    ]
    assert own[:3] == ["asserted", "open", "asserted"]  # only on the user's word


def test_it_is_measured_and_certified_as_a_run_is(run: RunDir) -> None:
    opened = mq.Run(run.path)
    found = opened.evaluate("knn", knn__k=3)
    assert set(found["knn"]["rows"]) == {"trained", "untrained", "pixels"}
    told = opened.certify(parts=3, rule="dpa")
    assert told["scope"] == "nothing" and told["sentence"].startswith("Nothing is certified")
    with pytest.raises(ValueError, match="comes without its projector"):
        opened.evaluate("knn", knn__layer="projector")


def test_its_model_card_and_its_page_say_where_it_comes_from(run: RunDir, tmp_path: Path) -> None:
    text = (weights.export(run, tmp_path / "timm") / "README.md").read_text()
    assert "An image encoder imported by masquerade from moco.pth." in text
    assert "| Images | unknown training images |" in text
    assert "The training images: not known here" in text
    page = mq.Run(run.path).report.read_text()
    assert "An image network, imported, trained on unknown training images" in page
    assert "unknown; imported: 65 of 65 tensors from" in page
    assert "passes over the images" not in page


def test_training_goes_on_from_it_and_not_in_its_folder(run: RunDir, tmp_path: Path) -> None:
    lines: list[str] = []
    same = pretrain.run(finished.settings(run), run.path, lines.append)
    assert same.path == run.path and f"{run.path} is finished already" in lines
    config = Pretrain.parse(
        {
            "data": DATA,
            "backbone": {**SMALL.backbone.tree(), "weights": str(run.path)},
            "batch": 16,
            "epochs": 1,
            "runtime": ONE,
        }
    )
    began = config.task(config.images()).encoder()
    assert "65 of 65 tensors" in began.origin
    theirs = checkpoints.cnn().body.state_dict()
    assert torch.equal(
        began.body.state_dict()["layer4.0.conv2.weight"], theirs["layer4.0.conv2.weight"]
    )
    after = pretrain.run(config, tmp_path / "on", quiet=True)
    assert provenance.manifest(after.path).digests is None  # still nobody knows them all


def test_what_cannot_be_imported_is_a_sentence_and_leaves_no_folder(tmp_path: Path) -> None:
    place = checkpoints.mae(tmp_path / "mae.pth", checkpoints.vit())
    for settings, text in (
        (SMALL, "weights of another model: only 0 of 65"),
        (SMALL.override(["backbone.weights=public"]), "the file is the weights"),
        (SMALL.override(["channels=4"]), "known for 3 channels, these are 4"),
        (
            SMALL.override(["normalise=model", "backbone.name=torchvision:resnet18"]),
            "known for timm's models",
        ),
    ):
        with pytest.raises(ValueError, match=text):
            importing.run(settings, str(place), tmp_path / "run", silent)
    with pytest.raises(WrongPath, match="no weights at"):
        importing.run(SMALL, str(tmp_path / "none.pth"), tmp_path / "run", silent)
    assert not (tmp_path / "run").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    with pytest.raises(CannotResume, match="holds a run that was trained"):
        importing.run(SMALL, str(place), tmp_path / "mine", silent)


def test_mae_is_imported_from_python_with_the_statistics_that_are_named(tmp_path: Path) -> None:
    place = checkpoints.mae(tmp_path / "mae.pth", checkpoints.vit())
    run = mq.import_encoder(
        place,
        "vit_tiny_patch16_224",
        tmp_path / "run",
        silent,
        size=32,
        normalise="model",
        backbone__options=checkpoints.VIT,
        data=DATA,
    )
    assert run.encoder.mean.flatten().tolist() == [0.5, 0.5, 0.5]  # timm's for this model
    record = json.loads((run.path / "imported.json").read_text())
    assert record["imported"] == "mae.pth" and "a masked autoencoder" in record["origin"]
    again = mq.import_encoder(
        place,
        "vit_tiny_patch16_224",
        tmp_path / "run",
        silent,
        size=32,
        normalise="model",
        backbone__options=checkpoints.VIT,
        data=DATA,
    )
    assert again.settings == run.settings
