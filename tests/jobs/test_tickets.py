"""Searches for tickets and transfers as runs: cut, resumed, refused."""

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from masquerade.core.errors import CannotResume, Interrupted, MissingData
from masquerade.core.rundir import RunDir
from masquerade.data.sources import arrays, digits
from masquerade.jobs import tickets, transfer
from masquerade.jobs.tickets import Method, Tickets
from masquerade.jobs.transfer import Transfer
from masquerade.tickets import descend, evolve
from masquerade.tickets.problems import cartpole, features, images
from masquerade.tickets.shelf import Folder
from masquerade.tickets.strategies import open_es, snes

FORKS = multiprocessing.get_context("forkserver")
TRAIN = evolve.Config(strategy=snes.Config(population=8), generations=12, test_every=4)
SMALL = Tickets(
    problem=images.Config(batch=64, network={"hidden": [8]}),
    methods={"snr": Method(train=TRAIN), "random": Method(train=TRAIN, score="random")},
    rounds=4,
    keep=0.5,
    seeds=(0, 1),
    runtime={"accelerator": "cpu", "threads": 1, "precision": "float32"},
    checkpoint_seconds=0,
)


def life(tree: dict[str, Any], folder: str) -> None:
    """One process of a run."""
    torch.set_num_threads(1)
    tickets.run(Tickets.parse(tree), folder)


def content(folder: Path) -> dict[str, bytes]:
    """Every file that a run leaves but those that name the machine."""
    other = (".lock", "environment.json")
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name not in other]
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A search that nobody disturbs."""
    place = tmp_path_factory.mktemp("whole") / "run"
    tickets.run(SMALL, place)
    return place


def test_killed_in_the_middle_of_the_third_round_it_ends_in_the_same_bits(whole, tmp_path):
    run = tmp_path / "run"
    process = FORKS.Process(target=life, args=(SMALL.tree(), str(run)))
    process.start()
    here = run / "snr" / "seed-0"
    while process.is_alive() and not (here / "02.json").exists():
        time.sleep(0.001)
    while process.is_alive() and not (here / "bookmark.pt").exists():
        time.sleep(0.0005)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL and not (here / "04.json").exists()
    assert not (run / "tickets.json").exists()
    told: list[str] = []
    tickets.run(SMALL, run, told.append)
    assert f"going on with {run}" in told
    assert content(run) == content(whole)


def test_ctrl_c_is_a_wish_that_is_granted_after_a_generation(whole, tmp_path):
    def press(text: str) -> None:
        if "round 2" in text:
            os.kill(os.getpid(), signal.SIGINT)

    run = tmp_path / "run"
    with pytest.raises(Interrupted, match="stopped in round 3 of snr, seed 0; the run is saved"):
        tickets.run(SMALL, run, press)
    assert (run / "snr" / "seed-0" / "bookmark.pt").exists()
    tickets.run(SMALL, run)
    assert content(run) == content(whole)


def test_the_summary_has_every_score(whole):
    found = RunDir(whole).read_json(tickets.CONTENT)
    assert found["weights"] == 610 and found["prunable"] == 592 and found["measure"] == "accuracy"
    assert found["baseline"] is None
    assert {name: list(seeds) for name, seeds in found["scores"].items()} == {
        "snr": ["0", "1"],
        "random": ["0", "1"],
    }
    for name, seeds in found["scores"].items():
        for seed, rows in seeds.items():
            assert [round(592 * row["remaining"]) for row in rows] == [592, 296, 148, 74]
            for number, row in enumerate(rows, 1):
                file = whole / name / f"seed-{seed}" / f"{number:02}.json"
                assert json.loads(file.read_text())["final"] == row["final"]


def test_methods_of_one_seed_begin_at_equal_weights_and_seeds_do_not(whole):
    def dense(method, seed):
        return Folder(RunDir(whole / method / f"seed-{seed}"), torch.device("cpu")).tensors(1)

    assert torch.equal(dense("snr", 0)["start"], dense("random", 0)["start"])
    assert not torch.equal(dense("snr", 0)["start"], dense("snr", 1)["start"])


def test_other_settings_and_finished_runs_are_told(whole):
    told: list[str] = []
    tickets.run(SMALL, whole, told.append)
    assert told == [f"{whole} is finished already"]
    with pytest.raises(CannotResume, match=r"keep: there 0.5, now 0.6"):
        tickets.run(SMALL.replace(keep=0.6), whole)


def test_what_cannot_be_done_leaves_no_folder(tmp_path):
    run = tmp_path / "run"
    one = Method(train=TRAIN.replace(strategy=open_es.Config(population=8)))
    for config, said in (
        (SMALL.replace(rounds=20), "would keep none of 592 prunable weights"),
        (SMALL.replace(methods={"a": one}), "methods.a: score=snr needs a standard deviation"),
        (
            SMALL.replace(problem=cartpole.Config(), methods={"a": Method(train=descend.Config())}),
            "methods.a: this problem has no gradient",
        ),
    ):
        with pytest.raises(ValueError, match=said):
            tickets.run(config, run)
        assert not (run / "config.json").exists()
    with pytest.raises(ValueError, match="methods are named by letters"):
        SMALL.replace(methods={"../a": one})


def moved(source, folder, **changes):
    config = Transfer.of(RunDir(source), "snr").replace(**changes)
    return transfer.run(config, folder).read_json(tickets.CONTENT)


def test_tickets_of_evolution_are_trained_by_descent(whole, tmp_path):
    train = descend.Config(epochs=2, batch=64)
    found = moved(whole, tmp_path / "run", train=train)
    assert list(found["scores"]) == ["transferred", "native", "random"]
    source = Folder(RunDir(whole / "snr" / "seed-1"), torch.device("cpu"))
    ours = Folder(RunDir(tmp_path / "run" / "transferred" / "seed-1"), torch.device("cpu"))
    for number in (1, 2, 3, 4):
        given, taken = source.tensors(number), ours.tensors(number)
        assert torch.equal(given["start"], taken["start"])
        assert torch.equal(given["kept"], taken["kept"])
        assert (taken["final/weights"][~taken["kept"]] == 0).all()
    before = content(tmp_path / "run")
    moved(whole, tmp_path / "run", train=train)
    assert content(tmp_path / "run") == before


def test_tickets_of_one_task_are_trained_on_another(whole, tmp_path):
    upside_down: dict[str, Any] = {}
    for split in ("train", "test"):
        images_there = digits.Config().load(split, 8)
        upside_down[f"{split}_images"] = images_there.pixels[:, ::-1, :, 0]
        upside_down[f"{split}_labels"] = images_there.targets["label"]
    np.savez(tmp_path / "other.npz", **upside_down)
    other = images.Config(
        data=arrays.Config(path=str(tmp_path / "other.npz")), batch=64, network={"hidden": [8]}
    )
    found = moved(whole, tmp_path / "run", problem=other, rows=("transferred",))
    assert list(found["scores"]) == ["transferred"]
    source = RunDir(whole).read_json(tickets.CONTENT)["scores"]["snr"]["0"]
    rows = found["scores"]["transferred"]["0"]
    assert [r["remaining"] for r in rows] == [r["remaining"] for r in source]
    given = Folder(RunDir(whole / "snr" / "seed-0"), torch.device("cpu")).tensors(4)
    taken = Folder(RunDir(tmp_path / "run/transferred/seed-0"), torch.device("cpu")).tensors(4)
    assert torch.equal(given["kept"], taken["kept"])
    assert not torch.equal(given["final/weights"], taken["final/weights"])


def test_a_head_stands_beside_logistic_regression(tmp_path):
    config = SMALL.replace(
        problem=features.Config(goal="balanced", batch=64),
        methods={"snr": Method(train=TRAIN)},
        rounds=2,
        seeds=(0,),
    )
    found = tickets.run(config, tmp_path / "run").read_json(tickets.CONTENT)
    assert found["measure"] == "balanced accuracy"
    assert found["baseline"]["name"] == "L1 logistic regression"
    best = max(score for _, score in found["baseline"]["levels"])
    assert best > 0.9 > found["scores"]["snr"]["0"][0]["final"]


def test_more_outputs_take_a_ticket_into_the_first_columns_if_told(whole, tmp_path):
    wide = images.Config(batch=64, network={"hidden": [12]})
    with pytest.raises(ValueError, match=r"dense_1/bias is 8 in the source and 12 in the target"):
        moved(whole, tmp_path / "run", problem=wide, rows=("transferred",))
    with pytest.raises(ValueError, match=r"dense_2/kernel is 8 x 10 in the source and 12 x 10"):
        moved(whole, tmp_path / "run", problem=wide, rows=("transferred",), embed="columns")


def test_a_transfer_without_tickets_is_refused(whole, tmp_path):
    with pytest.raises(ValueError, match="has no method 'size'; it has: snr, random"):
        Transfer.of(RunDir(whole), "size")
    with pytest.raises(MissingData, match=r"holds no config\.json"):
        Transfer.of(RunDir(tmp_path), "snr")
    RunDir(tmp_path).write_json("config.json", SMALL.tree())
    with pytest.raises(MissingData, match=r"is not finished; masquerade tickets .* goes on"):
        Transfer.of(RunDir(tmp_path), "snr")
