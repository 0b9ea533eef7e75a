"""A folder for the Hugging Face hub, and the model card that stands in it."""

import json
from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import ModelCard
from tests.export.test_weights import MODELS, PLAIN, images, run
from tests.jobs.small import MASKED

from masquerade.core.rundir import RunDir
from masquerade.export import hub, modelcard, weights
from masquerade.jobs import pretrain

ROWS = {
    "trained": {"test/top1": 0.5, "test/balanced": 0.4},
    "untrained": {"test/top1": 0.25},
    "pixels": {"test/top1": 0.75},
}


def scored(folder: Path) -> None:
    """Writes what evaluate would."""
    content = {"data": "toybox things10 train", "labelled": True, "rows": ROWS, "notes": []}
    RunDir(folder).write_json("eval/knn.json", content)


@pytest.mark.parametrize(("name", "size", "channels", "options"), [PLAIN[1]])
def test_timm_loads_the_folder_as_it_would_from_the_hub(
    name: str, size: int, channels: int, options: dict[str, object], tmp_path: Path
) -> None:
    net = run(tmp_path, name, size, channels, options)
    out = hub.export(RunDir(tmp_path), tmp_path / "out")
    theirs = timm.create_model(f"local-dir:{out}", pretrained=True).eval()
    torch.testing.assert_close(theirs(images(channels, size)), net(images(channels, size)))
    assert "*.safetensors filter=lfs" in (out / ".gitattributes").read_text()
    keys = json.loads((out / "config.json").read_text())
    assert {"architecture", "num_classes", "num_features", "pretrained_cfg"} < set(keys)


def test_the_hub_reads_licence_library_task_and_numbers_from_the_card(tmp_path: Path) -> None:
    run(tmp_path, *MODELS[0])
    scored(tmp_path)
    out = hub.export(RunDir(tmp_path), tmp_path / "out", "cc-by-4.0")
    data = ModelCard.load(out / "README.md").data
    assert (data.library_name, data.license) == ("timm", "cc-by-4.0")
    assert data.pipeline_tag == "image-feature-extraction" and "timm" in data.tags
    (result,) = data.eval_results
    assert (result.metric_value, result.metric_name) == (0.5, "knn top-1")
    assert result.dataset_name == "toybox things10 train, test"
    (tmp_path / "eval" / "knn.json").unlink()
    bare = ModelCard.load(hub.export(RunDir(tmp_path), out) / "README.md").data
    assert bare.license is None and bare.eval_results is None


def test_the_card_says_how_it_was_trained_what_was_measured_and_what_it_is_not(
    tmp_path: Path,
) -> None:
    trained = pretrain.run(MASKED.replace(epochs=1), tmp_path / "a", quiet=True)
    scored(trained.path)
    text = (weights.export(trained, tmp_path / "out") / "README.md").read_text()
    for line in (
        "| Method | simclr, sequential |",
        "of toybox things10 train |",
        "| Length | 1 epoch of batch 8, 5 steps |",
        "| knn | toybox things10 train | test/top1 | 0.5 | 0.25 | 0.75 |",
        "- Raw pixels did as well or better in knn, test/top1: 0.75 against 0.5.",
        "- It has seen toybox things10 train at 32 px.",
        "rendered objects on real photo tiles",
        "LICENSES.txt",
        "for whoever trained the encoder to choose",
    ):
        assert line in text, line
    assert "untrained did as well" not in text.lower()


def test_without_numbers_the_card_says_how_to_get_some(tmp_path: Path) -> None:
    run(tmp_path, *MODELS[0])
    text = (weights.export(RunDir(tmp_path), tmp_path / "out") / "README.md").read_text()
    assert "Nothing yet: `masquerade evaluate RUN` measures it." in text
    many = {"trained": {f"test/{i}": i / 20 for i in range(12)}}
    RunDir(tmp_path).write_json("eval/x.json", {"data": "d", "rows": many})
    assert "4 more in the run's folder" in modelcard.results(modelcard.measured(RunDir(tmp_path)))
