"""`masquerade export`, `embed` and `import` as a shell runs them."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.cli.command import Masquerade, photographs
from tests.networks import checkpoints


def test_a_checkpoint_becomes_a_run_that_is_measured_embedded_and_taken_away(
    masquerade: Masquerade, here: Path
) -> None:
    photographs(here / "photos")
    checkpoints.solo_learn(here / "solo.ckpt", checkpoints.cnn(), checkpoints.cnn(seed=8))
    options = f"backbone.options={json.dumps(checkpoints.CNN)}"
    words = ("import", "solo.ckpt", "backbone.name=resnet18", options, "size=32", "data=photos")
    told = masquerade(*words, "runtime.threads=1")
    assert (told.code, told.out) == (0, "runs/solo\n"), told.err
    assert "as in solo-learn" in told.err and "unknown training images" in told.err
    assert (
        "masquerade pretrain simclr backbone.name=resnet18 backbone.weights=runs/solo" in told.err
    )
    assert masquerade("evaluate", "runs/solo", "knn", "knn.k=3").code == 0
    told = masquerade("embed", "runs/solo", "photos", "split=train,test", "out=f.npz")
    assert told.out == "f.npz\n" and "next: masquerade certify f.npz" in told.err
    told = masquerade("certify", "f.npz", "parts=3", "rule=dpa", "out=certified")
    assert told.code == 0, told.err
    assert masquerade("export", "timm", "runs/solo").out == "runs/solo/timm\n"
    assert masquerade("export", "hub", "runs/solo", "licence=mit", "--json").json["folder"]
    told = masquerade("pretrain", "runs/solo")
    assert told.code == 2 and "runs/solo was imported, not trained here" in told.err


def test_certify_of_embedded_features_says_what_certify_of_the_run_says(
    masquerade: Masquerade, trained: Path, here: Path
) -> None:
    told = masquerade("embed", trained, "split=train,test", "out=f.npz")
    assert told.code == 0, told.err
    with np.load("f.npz") as arrays:
        assert {"features", "labels", "test_features", "test_labels", "digests"} < set(arrays.files)
    words = ("parts=3", "rule=dpa,fa", "--json")
    by_run = masquerade("certify", trained, "out=a", *words).json["rules"]
    by_file = masquerade("certify", "f.npz", "out=b", *words).json["rules"]
    assert set(by_run) == {"dpa", "fa"}
    for rule, told in by_run.items():
        assert by_file[rule]["clean"] == told["clean"]
        assert by_file[rule]["certified"] == told["certified"]
    with np.load("a/certify/radii.npz") as a, np.load("b/certify/radii.npz") as b:
        assert set(a.files) == set(b.files)
        assert all(np.array_equal(a[key], b[key]) for key in a.files if key != "files")


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["import"], 2, "name the file of weights"),
        (["import", "a.pth"], 2, "say what the weights are of: backbone.name=resnet50"),
        (["import", "a.pth", "backbone.name=resnet18"], 2, "no weights at a.pth"),
        (["import", "a.pth", "backbone.name=resnet19"], 2, "Did you mean resnet18"),
        (["import", "a.pth", "backbone.name=resnet18", "sise=32"], 2, "Did you mean 'size'"),
        (["import", "a.pth", "b.pth", "backbone.name=resnet18"], 2, "'b.pth' is one name too many"),
        (["embed"], 2, "name the folder of a run"),
        (["embed", "RUN", "photos", "out=f.txt"], 2, "out= must end in .npz, .parquet, .csv"),
        (["embed", "RUN", "nowhere/x"], 2, "there is nothing at nowhere/x"),
        (["embed", "RUN", "photos", "split=half"], 2, "no split 'half'"),
        (["embed", "RUN", "digits"], 2, "the encoder takes images of 3 channels"),
        (["export", "torchvision", "RUN"], 2, "masquerade export timm"),
        (["export", "onnx", "RUN", "license=mit"], 2, "Did you mean licence=?"),
        (["export", "tflite", "RUN"], 2, "There are: timm, torchvision, hub, onnx, masker"),
    ],
)
def test_what_cannot_be_done_is_one_message_and_an_exit_code(
    masquerade: Masquerade, trained: Path, here: Path, words: list[str], code: int, text: str
) -> None:
    photographs(here / "photos", classes=False, count=3)
    told = masquerade(*[str(trained) if word == "RUN" else word for word in words])
    assert (told.code, told.out) == (code, ""), told
    assert text in told.err
