"""The tutorials are run as they stand there, and the site is built without a warning."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.cli.command import Masquerade
from tests.cli.conftest import here, masquerade, one_thread  # noqa: F401  # fixtures of the verbs
from tests.cli.test_documents import ROOT

from masquerade.cli.words import KEY

TUTORIALS = ("own_folder", "certify")


def blocks(name: str) -> list[tuple[str, str]]:
    """The fenced blocks of a tutorial, in order: language and text."""
    text = (ROOT / "docs" / "tutorials" / f"{name}.md").read_text(encoding="utf-8")
    parts = text.split("```")[1::2]
    return [(part.partition("\n")[0], part.partition("\n")[2]) for part in parts]


@pytest.mark.slow
@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_works_as_printed(
    name: str,
    masquerade: Masquerade,  # noqa: F811
    here: Path,  # noqa: F811
) -> None:
    names: dict[str, Any] = {"images": torch.rand(8, 3, 32, 32)}
    done = 0
    for language, text in blocks(name):
        if language == "python":
            exec(text, names)
            done += 1
            continue
        assert language == "sh"
        for line in text.splitlines():
            program, *words = line.split()
            assert program == "masquerade"
            told = masquerade(*words)
            assert told.code == 0, (line, told.err)
            done += 1
    assert done > 8
    if name == "own_folder":
        assert names["vectors"].shape == (8, 256) and names["file"] == Path("again.npz")
        assert len(names["found"]["files"]) == 300
        assert Path("runs/photos/report.html").exists()
    else:
        assert "inserted or removed image" in names["told"]["sentence"]
        assert len(Path("certified.csv").read_text().splitlines()) > 50


@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_holds_only_commands_and_python_that_can_be_run(name: str) -> None:
    found = blocks(name)
    assert {language for language, _ in found} == {"sh", "python"}
    for language, text in found:
        if language == "python":
            compile(text, name, "exec")
        for line in text.splitlines() if language == "sh" else ():
            words = line.split()
            assert words[0] == "masquerade" and not any(w.startswith("-") for w in words)
            assert all(KEY.match(w) for w in words if "=" in w)


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_names_what_is_public(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    told = subprocess.run(
        [*command, str(ROOT / "docs"), str(tmp_path)], capture_output=True, text=True, timeout=600
    )
    assert told.returncode == 0, told.stderr
    python = (tmp_path / "reference" / "python.html").read_text(encoding="utf-8")
    for name in ("Run", "Run.certify", "Run.embed", "pretrain", "import_encoder"):
        assert f'id="masquerade.api.{name}"' in python, name
    for page in ("tutorials/own_folder", "tutorials/certify", "reference/extending", "take_away"):
        assert (tmp_path / f"{page}.html").exists()
