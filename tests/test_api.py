"""The package from Python: what README.md promises about `import masquerade as mq`."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.cli.command import photographs
from tests.jobs.small import MASKED, PLAIN

import masquerade as mq
from masquerade.core.errors import MissingData
from masquerade.jobs.settings import Pretrain


def silent(text: str) -> None:
    """Says nothing."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> mq.Run:
    place = tmp_path_factory.mktemp("runs") / "a"
    return mq.pretrain(MASKED, out=place, epochs=1, say=silent, data__per_class_test=4)


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, masquerade; print('torch' in sys.modules, masquerade.__version__)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert told.stdout == f"False {mq.__version__}\n"


def test_only_what_is_listed_can_be_asked_for() -> None:
    assert all(callable(getattr(mq, name)) for name in mq.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'pretrian'"):
        _ = mq.pretrian


def test_a_run_gives_its_encoder_its_numbers_and_its_page(run: mq.Run) -> None:
    vectors = run.encoder.from_pixels(torch.rand(3, 3, 32, 32))
    assert vectors.shape == (3, run.encoder.dim)
    assert not run.encoder.training
    assert [row["step"] for row in run.metrics] == list(range(5))
    assert "encoder/loss" in run.metrics[0] and "health/std" in run.metrics[-1]
    assert run.summary["steps"] == 5
    assert isinstance(run.settings, Pretrain) and run.settings.epochs == 1
    assert run.report == run.path / "report.html"


def test_evaluate_and_predict_go_together(run: mq.Run, tmp_path: Path) -> None:
    photos = photographs(tmp_path / "photos")
    with pytest.raises(MissingData, match="keeps no fitted knn"):
        run.predict(photos, "knn")
    found = run.evaluate("knn", knn__k=3, baselines=False)
    assert found["knn"]["protocol"]["k"] == 3
    assert set(found["knn"]["rows"]) == {"trained"}
    rows = run.predict(photos)
    assert len(rows) == 40 and 0 <= rows[0].score <= 1
    assert "test/iou" in run.evaluate("masks")["masks"]


def test_a_run_is_opened_again_by_its_folder(run: mq.Run, tmp_path: Path) -> None:
    again = mq.Run(str(run.path))
    assert again.settings == run.settings
    with pytest.raises(MissingData, match="does not exist"):
        mq.Run(tmp_path / "b")


def test_a_recipe_by_name_takes_changes_as_arguments(tmp_path: Path) -> None:
    lines: list[str] = []
    run = mq.pretrain(
        "simclr",
        out=tmp_path / "a",
        scale="smoke",
        say=lines.append,
        data={"kind": "toybox", "per_class": 2, "pixels": 32},
        changes={"backbone.options": {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]}},
        epochs=1,
        runtime__threads=1,
    )
    assert run.settings.data.tree()["per_class"] == 2
    assert any(line.startswith("batch=16, because toybox") for line in lines)
    assert run.summary["images"] == 20


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"epcohs": 1}, "Did you mean 'epochs'"),
        ({"runtime__thread": 1}, "Did you mean 'threads'"),
        ({"batch": 64}, "batch=64 is more than the 40 images"),
    ],
)
def test_a_wrong_argument_is_a_value_error_with_the_right_one(
    changes: dict[str, Any], text: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=text):
        mq.pretrain(PLAIN, out=tmp_path / "a", say=silent, **changes)
    assert not (tmp_path / "a" / "config.json").exists()
