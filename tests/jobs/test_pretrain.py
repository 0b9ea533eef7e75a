import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.jobs.small import MASKED, PLAIN, variant

from masquerade.api import settled
from masquerade.core.errors import CannotResume, Diverged, MasqueradeError
from masquerade.core.rundir import RunDir
from masquerade.engine import checkpoint
from masquerade.engine.optimizers import sgd
from masquerade.engine.schedule import Schedule
from masquerade.jobs import pretrain

VARIANTS = ["simclr", "shared", "reversal"]
WEIGHTS = ("encoder.safetensors", "heads.safetensors")


def weights(folder):
    return {n: t for f in WEIGHTS for n, t in load_file(Path(folder) / f).items()}


def assert_equal_runs(one, two):
    a, b = weights(one), weights(two)
    assert a.keys() == b.keys()
    assert [n for n in a if not torch.equal(a[n], b[n])] == []
    drop = ("cpu_seconds", "images_per_s")
    rows = [
        [
            {k: v for k, v in row.items() if k not in drop and not k.startswith("time/")}
            for row in RunDir(f).lines()
        ]
        for f in (one, two)
    ]
    assert rows[0] == rows[1]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Uninterrupted runs, one of each variant."""
    place = tmp_path_factory.mktemp("whole")
    for name in VARIANTS:
        pretrain.run(variant(name), place / name, quiet=True)
    return place


def test_a_run_leaves_what_the_other_verbs_need(whole):
    run = RunDir(whole / "reversal")
    assert run.read_json("encoder.json")["about"]["labels_used"] is False
    assert len((run.path / "digests.txt").read_text().split()) == 40
    summary = run.read_json("summary.json")
    assert (summary["steps"], summary["images"]) == (15, 40)
    assert summary["verdict"]["text"]
    assert len(list((run.path / "masks").glob("*.npz"))) >= 2
    logged = {key for row in run.lines() for key in row}
    assert {"encoder/loss", "masker/loss", "masker/size/1", "probe/top1", "health/std"} <= logged
    assert {"time/data", "time/augmentation", "time/encoder", "time/masker"} <= logged


def test_equal_settings_give_equal_bits(whole, tmp_path):
    pretrain.run(variant("reversal"), tmp_path / "again", quiet=True)
    assert_equal_runs(whole / "reversal", tmp_path / "again")


def test_another_seed_gives_other_weights(whole, tmp_path):
    pretrain.run(variant("simclr", seed=1), tmp_path / "b", quiet=True)
    a, b = weights(whole / "simclr"), weights(tmp_path / "b")
    assert not all(torch.equal(a[n], b[n]) for n in a)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("cut", [1, 7])
def test_a_run_cut_between_two_steps_ends_in_the_same_bits(name, cut, whole, tmp_path, monkeypatch):
    save = checkpoint.Checkpoints.save

    def save_and_stop(self, state):
        save(self, state)
        if state.step == cut:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.Checkpoints, "save", save_and_stop)
    monkeypatch.setattr(checkpoint.Checkpoints, "due", lambda self: True)
    with pytest.raises(KeyboardInterrupt):
        pretrain.run(variant(name), tmp_path / "cut", quiet=True)
    monkeypatch.undo()
    assert not (tmp_path / "cut" / "encoder.safetensors").exists()
    pretrain.run(variant(name), tmp_path / "cut", quiet=True)
    assert_equal_runs(whole / name, tmp_path / "cut")


def step_of(folder):
    """Steps that a run's checkpoint holds."""
    state = checkpoint.load(RunDir(folder))
    assert state is not None
    return state.step


def started(folder, name, epochs):
    """A run in a process of its own."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); "
        "from tests.jobs import small; from masquerade.jobs import pretrain; "
        "pretrain.run(small.variant(sys.argv[2], epochs=int(sys.argv[4])), sys.argv[3], quiet=True)"
    )
    here = str(Path(__file__).parents[2])
    return subprocess.Popen(
        [sys.executable, "-c", code, here, name, str(folder), str(epochs)],
        stderr=subprocess.PIPE,
        env=dict(os.environ),
    )


def wait_for_step(folder, step, process):
    """Until metrics.jsonl says so many steps are done."""
    for _ in range(6000):
        if len(RunDir(folder).lines()) > step:
            return
        assert process.poll() is None, process.stderr.read().decode()
        time.sleep(0.01)
    raise AssertionError("the run does not move")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_run_and_it_goes_on_to_the_same_bits(number, tmp_path):
    epochs = 25
    pretrain.run(variant("reversal", epochs=epochs), tmp_path / "whole", quiet=True)
    process = started(tmp_path / "cut", "reversal", epochs)
    wait_for_step(tmp_path / "cut", 20, process)
    process.send_signal(number)
    text = process.communicate(timeout=60)[1].decode()
    assert "the run is saved. Repeat the command to go on" in text
    assert step_of(tmp_path / "cut") >= 10
    pretrain.run(variant("reversal", epochs=epochs), tmp_path / "cut", quiet=True)
    assert_equal_runs(tmp_path / "whole", tmp_path / "cut")


def test_a_changed_setting_is_refused_by_its_name(whole):
    with pytest.raises(CannotResume, match=r"optimizers.encoder.lr: there 0.002, now 0.001"):
        pretrain.run(PLAIN.override(["optimizers.encoder.lr=0.001"]), whole / "simclr", quiet=True)


def test_a_finished_run_is_not_run_again(whole):
    before = (whole / "simclr" / "encoder.safetensors").stat().st_mtime_ns
    lines: list[str] = []
    pretrain.run(PLAIN, whole / "simclr", lines.append, quiet=True)
    assert (whole / "simclr" / "encoder.safetensors").stat().st_mtime_ns == before
    assert "finished already" in lines[0]


def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint.Checkpoints, "due", lambda self: True)
    real = torch.save
    written: list[int] = []

    def full(content, out):
        if len(written) == 3:
            out.write(b"half")
            raise OSError(28, "No space left on device")
        written.append(content["step"])
        real(content, out)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(MasqueradeError, match="is full: the checkpoint of step 4 was not written"):
        pretrain.run(PLAIN, tmp_path / "a", quiet=True)
    assert step_of(tmp_path / "a") == 3
    assert not list((tmp_path / "a").glob(".*.part"))


def test_a_damaged_checkpoint_is_one_sentence(tmp_path, whole):
    run = RunDir(tmp_path)
    run.write("checkpoint.pt", lambda out: out.write(b"nonsense"))
    with pytest.raises(CannotResume, match="cannot be read"):
        checkpoint.load(run)


def test_a_loss_that_is_nan_stops_with_step_and_rate(tmp_path):
    wild = sgd.Config(lr=1e30, schedule=Schedule(warmup=0, shape="constant"))
    config = PLAIN.replace(optimizers=PLAIN.optimizers.replace(encoder=wild))
    with pytest.raises(Diverged, match=r"the encoder's loss became nan at step \d+ .*1e\+30"):
        pretrain.run(config, tmp_path / "a", quiet=True)


def test_too_few_images_for_a_batch_is_said_with_a_way_out(tmp_path):
    with pytest.raises(ValueError, match=r"batch=64 is more than the 40 images .* batch=32"):
        pretrain.run(PLAIN.replace(batch=64), tmp_path / "a", quiet=True)


def test_the_masker_learns_and_the_encoder_too(whole):
    for name in ("shared", "reversal"):
        start = MASKED.task(MASKED.images()).state_dict()
        end = weights(whole / name)
        assert not torch.equal(start["maskers.0.head.weight"], end["maskers.0.head.weight"])
        key = "objective.projector.0.weight"
        assert not torch.equal(start[key], end[key])


def test_settings_of_a_game_that_nobody_plays_are_said_to_have_no_effect():
    images = PLAIN.images()
    for config, said in (
        (PLAIN, []),
        (PLAIN.override(["step=official"]), ["step has no effect"]),
        (PLAIN.override(["game.every=2", "maskers=erase"]), ["game has no effect"]),
        (MASKED.override(["step=official", "game.every=2"]), []),
    ):
        found = pretrain.unused(config, config.task(images))
        assert [note.partition(":")[0] for note in found] == said


def test_a_changed_optimizer_of_a_masker_that_does_not_learn_is_said_to_have_no_effect():
    faster = ["optimizers.masker.lr=0.5"]
    for config, told in (
        (PLAIN, True),
        (PLAIN.override(["maskers=erase"]), True),
        (PLAIN.override(["maskers=mixmask"]), True),
        (MASKED, False),
    ):
        found = pretrain.unheard(config, config.override(faster))
        assert [note.partition(":")[0] for note in found] == [
            "optimizers.masker has no effect"
        ] * told
        assert pretrain.unheard(config, config.override(["optimizers.encoder.lr=0.5"])) == []


def test_recipes_with_such_a_change_say_it():
    said: list[str] = []
    settled("simclr", "smoke", ["optimizers.masker.lr=0.5"], said.append)
    assert said == ["optimizers.masker has no effect: no masker of this run is learned"]
