"""corruptions, robustness and finetune as verbs: numbers, files, report, prediction."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.cli.command import Masquerade, photographs

FEW = ('corruptions.kinds=["fog","contrast"]', "corruptions.severities=[1,5]")
SHORT = ("robustness.linf=[1,16]", "robustness.images=12")
TUNED = (
    "finetune.epochs=2",
    "finetune.batch=8",
    "finetune.drop_path=0",
    "finetune.optimizer.lr=0.001",
)


def test_corruptions_and_robustness_are_measured_shown_and_reported(
    masquerade: Masquerade, trained: Path, here: Path
) -> None:
    shutil.copytree(trained, "a")
    told = masquerade("evaluate", "a", "corruptions", "robustness", *FEW, *SHORT)
    assert told.code == 0, told.err
    lines = [line.split("  ")[0].strip() for line in told.out.splitlines()]
    for name in ("test top-1", "test clean top-1", "test fog top-1", "test severity 5 top-1"):
        assert name in lines
    for name in ("test linf 16 top-1", "test noise linf 1 top-1", "test blind linf 16 top-1"):
        assert name in lines
    for name in ("corruptions", "robustness"):
        found = json.loads(Path(f"a/eval/{name}.json").read_text())
        assert set(found["rows"]) == {"trained", "untrained", "pixels"}
        assert found["rows"]["trained"]["test/top1"] <= 1
    with np.load("a/eval/robustness.npz") as arrays:
        assert arrays["trained/curve/linf/test"].shape == (3, 4)
    with np.load("a/eval/corruptions.npz") as arrays:
        assert arrays["trained/kinds/test"].tolist() == ["fog", "contrast"]
    assert masquerade("report", "a").code == 0
    page = Path("a/report.html").read_text()
    assert "Corruptions, test: every number" in page and "Robustness, test: every number" in page
    assert "noise linf 16" in page and "severity 5" in page
    assert "Accuracy under attack, test" in page and "budget in levels of 1/255" in page


def test_a_fine_tuned_network_is_kept_used_to_predict_and_attacked(
    masquerade: Masquerade, trained: Path, here: Path
) -> None:
    shutil.copytree(trained, "a")
    photographs(here / "new", classes=False, count=6)
    told = masquerade("evaluate", "a", "finetune", *TUNED)
    assert told.code == 0, told.err
    found = json.loads(Path("a/eval/finetune.json").read_text())
    assert set(found["rows"]) == {"trained", "untrained"}  # raw pixels have no weights
    labels = masquerade("predict", "a", "new", "with=finetune", "--json").json
    assert len(labels) == 6 and 0 < labels[0]["score"] <= 1
    changes = [f"robustness.head.{word.partition('.')[2]}" for word in TUNED]
    words = ["robustness.head=finetune", *changes, *SHORT, "baselines=false"]
    attacked = masquerade("evaluate", "a", "robustness", *words)
    assert attacked.code == 0, attacked.err
    clean = json.loads(Path("a/eval/robustness.json").read_text())["rows"]["trained"]
    assert set(clean) >= {"test/clean_top1", "test/linf_16_top1"}
    folders = [p.name for p in Path("a/cache").iterdir() if p.name.startswith("finetune-")]
    assert len(folders) == 2  # trained and untrained; the attack found what was there


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["corruptions", "corruptions.released=nowhere"], "neither ImageNet-C nor CIFAR-C lies in"),
        (["robustness", "robustness.shifts.imagenet_a=new"], "lie in no folder such as n01440764"),
        (["corruptions", "corruptions.kinds=[\"frost\"]"], "no corruption ['frost']"),
        (["robustness", "robustness.linf=[2,1]"], "budgets rise from above 0"),
        (["finetune", "finetune.layer=projector"], "layer=projector is not read"),
    ],
)  # fmt: skip
def test_wrong_use_is_one_message(
    masquerade: Masquerade, trained: Path, here: Path, words: list[str], text: str
) -> None:
    shutil.copytree(trained, "a")
    told = masquerade("evaluate", "a", *words, "baselines=false")
    assert told.code in (1, 2) and told.out == "", told
    assert text in told.err and "Traceback" not in told.err
