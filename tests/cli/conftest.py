"""The command run inside this process, and a run that is trained once."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.command import TINY, Ended, Masquerade

from masquerade.cli.main import main
from masquerade.engine import runtime


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many pytest workers as cores: two threads each would wait for one another."""
    monkeypatch.setattr(runtime, "cores", lambda: 1)


@pytest.fixture
def masquerade(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Masquerade:
    """Runs `masquerade WORD ...` as a shell would."""

    def run(*words: str | Path) -> Ended:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["masquerade", *(str(w) for w in words)])
        with pytest.raises(SystemExit) as left:
            main()
        told = capsys.readouterr()
        code = left.value.code
        assert isinstance(code, int | None)
        return Ended(code or 0, told.out, told.err)

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Sequential run, trained and measured by the verbs themselves. Not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "a"
    for words in (
        ["pretrain", "sequential", "scale=smoke", *TINY, f"out={folder}"],
        ["evaluate", str(folder), "knn", "linear", "embedding", "embedding.images=40"],
    ):
        before, sys.argv = sys.argv, ["masquerade", *words]
        try:
            main()
        except SystemExit as left:
            assert not left.code
        finally:
            sys.argv = before
    return folder


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    """An empty current folder."""
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)
