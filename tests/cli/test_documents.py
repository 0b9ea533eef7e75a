"""What README.md and CONTRIBUTING.md print is run as it stands there."""

import json
import re
import shlex
from pathlib import Path

import pytest
import torch
from benchmarks import readme_table
from tests.cli.command import TINY, Masquerade, photographs

from masquerade.cli.settings import keys
from masquerade.jobs.settings import Pretrain
from masquerade.recipes.base import recipe

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(block: str) -> list[list[str]]:
    """The words of each line after `masquerade`, comments left out."""
    lines = [shlex.split(line, comments=True) for line in block.splitlines()]
    assert all(words[0] == "masquerade" for words in lines if words)
    return [words[1:] for words in lines if words]


def test_the_readme_works_as_printed_on_a_folder_of_forty_photographs(
    masquerade: Masquerade, here: Path
) -> None:
    photographs(here / "photos")
    first, then = blocks(README, "sh")
    assert len(commands(first)) == 3  # "your own folder in three lines"
    for words in commands(first + then):
        told = masquerade(*words)
        assert told.code == 0, (words, told.err)
        assert told.out
    assert Path("runs/photos/report.html").exists()
    assert Path("runs/photos/timm/model.safetensors").exists()
    assert Path("features.npz").exists()
    (python,) = blocks(README, "python")
    names = {"images": torch.rand(8, 3, 64, 64)}
    exec(python, names)
    assert names["vectors"].shape == (8, 256)
    assert len(names["labels"]) == 40
    assert str(names["page"]) == "runs/photos/report.html"


def test_the_masker_of_contributing_is_listed_and_trained_from_the_users_own_file(
    masquerade: Masquerade, here: Path
) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (code,) = blocks(text, "python")
    Path("stripes.py").write_text(code)
    assert len(code.splitlines()) <= 40
    listed, trained = commands(blocks(text, "sh")[0])
    assert "maskers\tstripes\thide whole columns, as a scanner" in masquerade(*listed).out
    tiny = [w for w in TINY if not w.startswith("maskers")]
    told = masquerade(*trained, *tiny)
    assert told.code == 0, told.err
    config = json.loads(Path("runs/stripes/config.json").read_text())
    assert config["maskers"] == [{"kind": "stripes", "ratio": 0.4}]
    package = Path("my_package")
    package.mkdir()
    (package / "bands.py").write_text(code)
    told = masquerade("list", "maskers")
    assert "maskers\tmy_package.bands\t" in told.out
    told = masquerade("pretrain", "simclr", "maskers=my_package.bands", *tiny, "out=b")
    assert told.code == 0, told.err
    assert masquerade("pretrain", "b").code == 0
    assert masquerade("report", "b").code == 0


def test_every_setting_is_listed_with_its_meaning_and_can_be_typed_as_listed(
    masquerade: Masquerade, here: Path
) -> None:
    found = keys("sequential")
    assert [k.key for k in found if not k.meaning] == []
    assert {k.key.partition(".")[0] for k in found} == set(Pretrain.model_fields)
    config = recipe("sequential")
    assert config.override([f"{k.key}={k.value}" for k in found]) == config
    told = masquerade("list", "settings")
    assert "maskers.0.masks\t" in told.out
    assert masquerade("list", "settings", "nothing").code == 2
    rows = masquerade("list", "settings", "simclr", "--json").json
    assert {"key", "value", "meaning"} == set(rows[0])


def test_no_link_of_a_text_leads_nowhere() -> None:
    made_later = {"docs/demo.png"}
    for name in (
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "docs/data.md",
        "docs/recipes.md",
        "docs/settings.md",
        "docs/take_away.md",
        "docs/tickets.md",
        "docs/tutorials/own_folder.md",
        "docs/tutorials/certify.md",
    ):
        text = (ROOT / name).read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)#]+)\)", text):
            known = link.startswith("http") or link in made_later
            assert known or ((ROOT / name).parent / link).exists(), (name, link)


def test_the_tables_of_the_readme_come_from_the_results() -> None:
    goal = {"text": "fast", "figure": "3 times", "met": False}
    names = ("raw pixels", "untrained encoder", "SimCLR", "Sequential", "SimCLR, same CPU time")
    rows = [
        {"name": n, "steps": 10, "knn_test": 0.5, "linear_test": 0.4 - k / 10}
        for k, n in enumerate(names)
    ]
    columns = ["name", "steps", "knn_test", "linear_test"]
    demo = {"table": {"columns": columns, "rows": rows}, "masks": {}}
    where = {"device": "a CPU", "gpu": None, "utc": "today"}
    found = {"foundation": {"toybox": [demo, demo], "machine": where, "goals": [goal]}}
    text = readme_table.filled(README, found)
    assert "| SimCLR | 10 | 50.0 | 20.0 |" in text
    assert "Sequential lost to SimCLR at equal steps (10.0 against 20.0)" in text
    assert "Sequential beat SimCLR at equal time (10.0 against 0.0)" in text
    assert "no encoder beat raw pixels (20.0 against 40.0)" in text
    assert "Measured on a CPU, no GPU, today." in text
    assert "](docs/results/foundation.md) | 0 of 1 | fast |" in text
    assert readme_table.filled(text, found) == text
    empty = readme_table.filled(text, {})
    assert empty.count("Not measured yet") == 2
    with pytest.raises(ValueError, match="0 places for results:demo"):
        readme_table.filled("", found)
