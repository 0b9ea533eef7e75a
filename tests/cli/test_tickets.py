"""`masquerade tickets`: a search, what follows it, and what is said to a mistake."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from tests.cli.command import Masquerade

SMOKE = ("digits", "scale=smoke", "rounds=2", "runtime.accelerator=cpu", "runtime.threads=1")
SHORT = (
    *(f"methods.{m}.train.generations=2" for m in ("snr", "magnitude", "random")),
    "methods.descent.train.epochs=1",
    "problem.network.hidden=[4]",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("searches") / "digits"


@pytest.fixture
def search(place: Path, masquerade: Masquerade) -> Path:
    """A finished search, made by the first test that asks for it."""
    if not place.exists():
        told = masquerade("tickets", *SMOKE, *SHORT, f"out={place}")
        assert told.code == 0, told.err
        lines = told.out.splitlines()
        assert lines[0] == "digits: accuracy, mean over seeds"
        assert lines[1].split() == ["weights", "left", "snr", "magnitude", "random", "descent"]
        assert [line.split()[0] for line in lines[2:4]] == ["100.0%", "50.0%"]
        assert f"masquerade tickets transfer {place}" in told.err
    return place


def test_what_follows_a_search_is_what_it_says(search: Path, masquerade: Masquerade) -> None:
    again = masquerade("tickets", search, "--json")
    assert again.code == 0 and set(again.json["scores"]) >= {"snr", "descent"}
    told = masquerade("tickets", "landscape", search, "points=3")
    assert told.code == 0 and "landscape.json" in told.out
    out = search.parent / "moved"
    words = ("method=snr", "train=descend", "train.epochs=1", "rows=transferred", f"out={out}")
    moved = masquerade("tickets", "transfer", search, *words)
    assert moved.code == 0, moved.err
    assert f"masquerade report {search} {out}" in moved.err
    page = masquerade("report", search, out)
    assert page.code == 0 and (search / "report.html").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("methods.snr.train.strategy=pgpe", "methods.snr.train.strategy.population=7"),
            "population must be even for antithetic pairs, got 7",
        ),
        (("methods.snr.score=size",), "score must be one of magnitude, snr, random"),
        (("rounds=40",), "round 40 would keep none of 2368 prunable weights with keep=0.5"),
        (("methods.snr.train.strategy=open_es",), "methods.snr: score=snr needs a standard"),
        (("methods.snr.train.strategy=snez",), "Did you mean 'snes'?"),
        (("problem=cartpole",), "methods.descent: this problem has no gradient"),
        (("devices=3",), "parts=2 of 8 candidates cannot be shared by 3 processes"),
        (("problem=features", "problem.encoder=nowhere"), "nowhere"),
        (("problem.size=4",), "size"),
    ],
)
def test_a_mistake_is_answered_and_leaves_nothing(
    words: tuple[str, ...], said: str, masquerade: Masquerade, here: Path
) -> None:
    told = masquerade("tickets", *SMOKE, *words, "out=run")
    assert told.code != 0 and said in told.err and "Traceback" not in told.err
    assert not (here / "run" / "config.json").exists()


@pytest.mark.parametrize("problem", ["images", "features"])
def test_images_without_labels_are_refused(
    problem: str, masquerade: Masquerade, here: Path
) -> None:
    np.save("flat.npy", np.zeros((40, 8, 8), np.uint8))
    data = ("problem.data=arrays", "problem.data.path=flat.npy", "problem.train=all")
    told = masquerade("tickets", *SMOKE, f"problem={problem}", *data, "problem.test=all", "out=run")
    assert told.code != 0 and "has no labels" in told.err and "problem.data=" in told.err


def test_without_mujoco_it_says_what_to_install(
    masquerade: Masquerade, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    there = lambda name, *more: None if name == "mujoco" else find(name, *more)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", there)
    told = masquerade("tickets", "hopper", "scale=smoke", "out=run")
    assert told.code != 0 and "pip install 'masquerade[control]'" in told.err


def test_no_name_and_a_wrong_one_are_told_the_recipes(masquerade: Masquerade) -> None:
    told = masquerade("tickets")
    assert told.code != 0 and "evolution_tickets.digits" in told.err
    told = masquerade("tickets", "digitz")
    assert told.code != 0 and "Did you mean 'digits'?" in told.err
    told = masquerade("tickets", "transfer", "nowhere")
    assert told.code != 0 and "is no run" in told.err
