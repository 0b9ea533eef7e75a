"""Two processes train to the weights of one, stop together and fail in one sentence.

In float64 that holds with the recipes' own optimizers to eight digits or more. In float32 it holds
to 1e-5 for SimCLR and erase with LARS at the published rates. Two players, and AdamW, which makes
tiny gradients as large as the others, blow rounding up beyond that within five steps: the losses of
one process in float32 and in float64 then differ at least as much as those of one and of two.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.jobs import lives, members
from tests.jobs.small import PLAIN

from masquerade.core.errors import Diverged
from masquerade.core.rundir import RunDir
from masquerade.data.sources import toybox
from masquerade.engine import checkpoint
from masquerade.engine.launch import launched
from masquerade.engine.optimizers import lars, sgd
from masquerade.engine.runtime import Runtime
from masquerade.jobs import pretrain
from masquerade.jobs.settings import Optimizers
from masquerade.maskers import adios, erase, mixmask, sequential, unmix
from masquerade.networks.heads import PredictorConfig, ProjectorConfig
from masquerade.objectives import byol, moco, simsiam

LEARNED = ("shared", "reversal")
FLOAT32 = ("simclr float32", "erase float32")
HEAD = ProjectorConfig(hidden=16, out=8, norm="hidden", bias=True)
SLOTS = adios.Config(masks=3, width=8, norm="gn", shown=2, budget="held")
OTHERS = {
    "moco": moco.Config(projector=HEAD, queue=128, symmetric=True, groups=4),
    "byol": byol.Config(projector=HEAD, predictor=PredictorConfig(hidden=16)),
    "simsiam": simsiam.Config(projector=HEAD, predictor=PredictorConfig(hidden=16)),
}
FILLED = (  # mixtures are keys, too, and partners come from the other process
    unmix.Config(partners_from="batch"),
    mixmask.Config(partners="random", partners_from="batch", per_image=True),
)
VARIANTS = ["simclr", "erase", "filled", *LEARNED, *OTHERS, *FLOAT32]
PAPER = Optimizers(
    encoder=lars.Config(lr=0.11, decay=1e-4),
    masker=lars.Config(lr=0.014515, decay=1e-4),
    probe=sgd.Config(lr=0.1),
)
MASKS = sequential.Config(masks=2, width=8, norm="gn")


def five_steps(name, devices):
    maskers = {"simclr": (), "erase": (erase.Config(grid=4, masks=2),)}.get(
        name.split()[0], (MASKS,)
    )
    changes = {"maskers": maskers} | ({"step": name} if name in LEARNED else {})
    if name in OTHERS:
        changes = {"objective": OTHERS[name], "maskers": (SLOTS,)}
    if name == "filled":
        changes = {"objective": OTHERS["byol"], "maskers": FILLED}
    changes |= {"optimizers": PAPER} if name in FLOAT32 else {}
    precision = "float32" if name in FLOAT32 else "float64"
    runtime = Runtime(accelerator="cpu", threads=1, precision=precision, devices=devices)
    data = toybox.Config(per_class=16, pixels=32)
    return PLAIN.replace(data=data, batch=32, epochs=1, runtime=runtime, **changes)


class Together(NamedTuple):
    """What two processes left: runs beside those of one process, an exchange, their end."""

    runs: Path
    exchanged: dict[str, Any]
    raised: Exception


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    place = tmp_path_factory.mktemp("runs")
    todo: dict[str, list[Any]] = {"float64": [], "float32": []}
    for name in VARIANTS:
        pretrain.run(five_steps(name, 1), place / name / "one", quiet=True)
        config, folder = five_steps(name, 2), RunDir(place / name / "two")
        folder.start(config.tree())
        pretrain.settled(config.runtime, folder)
        todo[config.runtime.precision].append((config.tree(), str(folder.path)))
    found = place / "found.json"
    double = five_steps("simclr", 2).runtime.resolved()
    single = double.replace(precision="float32")
    launched(double, members.several, todo["float64"], two_players=True)
    with pytest.raises(Diverged) as raised:
        launched(single, members.all_of_it, todo["float32"], str(found), two_players=False)
    return Together(place, json.loads(found.read_text()), raised.value)


@pytest.fixture
def runs(together):
    """Each variant in one process and in two."""
    return together.runs


def largest(one, two):
    """The largest difference, relative where the values are larger than 1."""
    return float(((one - two).abs() / one.abs().clamp(min=1)).max())


@pytest.mark.parametrize("name", VARIANTS)
def test_two_processes_train_to_the_weights_of_one(name, runs):
    one, two = lives.weights(runs / name / "one"), lives.weights(runs / name / "two")
    assert one.keys() == two.keys()
    near = 1e-5 if name in FLOAT32 else 1e-8
    off = {key: largest(one[key], two[key]) for key in one}
    assert max(off.values()) < near, off


@pytest.mark.parametrize("name", VARIANTS)
def test_the_five_steps_move_weights_far_more_than_that(name, runs):
    config = five_steps(name, 1)
    start, end = config.task(config.images()).state_dict(), lives.weights(runs / name / "two")
    learned = name in (*LEARNED, *OTHERS)
    keys = ["objective.projector.0.weight"] + learned * ["maskers.0.head.weight"]
    for key in keys:
        assert (start[key] - end[key]).abs().max() > 1e-4


@pytest.mark.parametrize("name", VARIANTS)
def test_metrics_are_those_of_the_whole_batch(name, runs):
    one, two = (RunDir(runs / name / n).lines() for n in ("one", "two"))
    assert len(one) == len(two)
    watched = ["encoder/loss", "health/std", "health/rankme", "health/images"]
    watched += [] if name not in LEARNED else ["masker/loss", "masker/price", "masker/size/1"]
    for key in watched:
        values = [[row[key] for row in rows if key in row] for rows in (one, two)]
        assert len(values[0]) == 5, key
        assert values[1] == pytest.approx(values[0], rel=1e-4), key


def test_rows_gradients_and_numbers_are_joined(together):
    assert together.exchanged == {
        "world": 2,
        "joined": [[0, 1], [2, 3], [4, 5], [10, 11], [12, 13], [14, 15]],
        "grad": [[3, 6], [9, 12], [15, 18]],  # asked once by rank 0, twice by rank 1
        "own": [0, 1, 2],  # rank 0 tells
        "everyone": [["rank", 0], ["rank", 1]],
        "averaged": {"both": 1.5, "one": 7.0},
    }


def test_what_one_process_raises_is_raised_in_the_parent_as_it_is(together):
    assert str(together.raised) == "the loss of rank 1 became nan"
    assert together.raised.__cause__ is None


@pytest.fixture
def long_run(tmp_path):
    """A run on two devices in a process group of its own, as a terminal starts it."""
    here = str(Path(__file__).parents[2])
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from tests.jobs import small\n"
        "from masquerade.cli.calling import told\n"
        "from masquerade.engine.runtime import Runtime\n"
        "from masquerade.jobs import pretrain\n"
        "if __name__ == '__main__':\n"
        "    two = Runtime(accelerator='cpu', threads=1, devices=2)\n"
        "    config = small.variant('shared', epochs=2000, runtime=two)\n"
        "    told(lambda: pretrain.run(config, sys.argv[2], quiet=True))()\n"
    )
    (tmp_path / "long.py").write_text(code)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "long.py"), here, str(tmp_path / "run")],
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=dict(os.environ),
        text=True,
    )
    deadline = time.monotonic() + 300  # seconds; three imports of torch on a busy machine
    while len(RunDir(tmp_path / "run").lines()) < 4:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "the run does not move"
        time.sleep(0.05)
    yield process, tmp_path / "run"
    if process.poll() is None:
        process.kill()
    process.communicate()


def alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def step_of(folder):
    state = checkpoint.load(RunDir(folder))
    return state.step if state else 0


def gone(group):
    """Whether no process of a group is left, soon."""
    for _ in range(2000):
        if not alive(group):
            return True
        time.sleep(0.05)
    return False


def test_ctrl_c_on_a_terminal_saves_and_ends_all_processes(long_run):
    process, folder = long_run
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to every process
    text = process.communicate(timeout=300)[1]
    assert process.returncode == 130
    assert text.strip().endswith("the run is saved. Repeat the command to go on")
    assert "Traceback" not in text
    assert gone(process.pid)
    assert step_of(folder) == 1 + RunDir(folder).lines()[-1]["step"]


@pytest.mark.slow
def test_sigterm_to_the_parent_alone_saves_and_ends_all_processes(long_run):
    process, folder = long_run
    process.send_signal(signal.SIGTERM)
    text = process.communicate(timeout=300)[1]
    assert process.returncode == 143
    assert text.strip().endswith("the run is saved. Repeat the command to go on")
    assert gone(process.pid)
    assert step_of(folder) > 0


@pytest.mark.slow
def test_no_process_outlives_a_parent_that_is_killed(long_run):
    process, _ = long_run
    process.kill()
    process.wait()
    assert gone(process.pid)


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_run_in_one_sentence(long_run):
    process, _ = long_run
    members_ = subprocess.run(
        ["pgrep", "-P", str(process.pid), "-f", "spawn_main"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    os.kill(int(members_[-1]), signal.SIGKILL)
    text = process.communicate(timeout=300)[1]
    assert process.returncode == 1
    assert "process 1 terminated with signal SIGKILL" in text
    assert "Traceback" not in text
    assert gone(process.pid)
