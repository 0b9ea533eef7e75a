import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.command import Masquerade

from masquerade import __version__

HEAVY = ("torch", "timm", "sklearn", "matplotlib", "numpy", "PIL")
VERBS = (
    "pretrain",
    "evaluate",
    "predict",
    "masks",
    "report",
    "doctor",
    "list",
    "cache",
    "demo",
    "export",
    "embed",
    "import",
)
EXPORTS = ("timm", "torchvision", "hub", "onnx", "masker")


def shell(*words: str, code: str = "from masquerade.cli.main import main; main()") -> str:
    """The command in a process of its own; returns what it wrote to stdout."""
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("words", "heavy"),
    [
        (("--help",), (*HEAVY, "pydantic")),
        (("--version",), (*HEAVY, "pydantic")),
        (("pretrain", "--help"), HEAVY),  # typer takes pydantic itself once a verb is known
        (("list",), HEAVY),
    ],
)
def test_help_and_list_import_nothing_heavy(words: tuple[str, ...], heavy: tuple[str, ...]) -> None:
    code = (
        "import atexit, sys; from masquerade.cli.main import main; "
        f"atexit.register(lambda: print('HEAVY', [m for m in {heavy!r} if m in sys.modules])); "
        "main()"
    )
    assert shell(*words, code=code).splitlines()[-1] == "HEAVY []"


def test_help_names_every_verb_in_whole_sentences(masquerade: Masquerade) -> None:
    told = masquerade("--help")
    assert told.code == 0
    for verb in VERBS:
        (line,) = [row for row in told.out.splitlines() if row.startswith(f"  {verb} ")]
        assert line.endswith(".") and not line.endswith("...")
    assert "130 Ctrl-C" in told.out


@pytest.mark.parametrize("verb", [*VERBS, *(f"export {kind}" for kind in EXPORTS)])
def test_every_verb_explains_itself(masquerade: Masquerade, verb: str) -> None:
    told = masquerade(*verb.split(), "--help")
    assert told.code == 0
    assert "masquerade" in told.out


def test_version(masquerade: Masquerade) -> None:
    assert masquerade("--version") == (0, f"masquerade {__version__}\n", "")


def test_no_verb_is_a_mistake_answered_with_the_help(masquerade: Masquerade) -> None:
    told = masquerade()
    assert told.code == 2
    assert "pretrain" in told.out + told.err


def test_an_unknown_verb_gets_the_nearest(masquerade: Masquerade) -> None:
    told = masquerade("pretrian")
    assert told.code == 2
    assert "Did you mean 'pretrain'?" in told.err


def test_a_reader_that_leaves_early_is_no_error() -> None:
    code = f"{sys.executable} -m masquerade list | head -1 >/dev/null; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, 141)  # 0 where everything was written before head left
    assert done.stderr == ""


def test_a_traceback_is_there_for_who_asks(here: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "masquerade", "report", "nowhere"],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "MASQUERADE_TRACEBACK": "1"},
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr and "WrongPath: nowhere does not exist" in done.stderr
