"""kill -9 anywhere: the run goes on and ends in the bits of one that was never cut."""

import time

import pytest
import torch
from tests.jobs import lives
from tests.jobs.small import MASKED, PLAIN, variant

from masquerade.core.errors import CannotResume
from masquerade.core.rundir import RunDir
from masquerade.core.seed import Seed
from masquerade.engine import checkpoint
from masquerade.jobs import pretrain
from masquerade.maskers import erase

VARIANTS = ["simclr", "shared", "reversal"]
EPOCHS = 6  # 30 steps of 8 images, 5 an epoch


def often(name, epochs=EPOCHS):
    """A run that writes a checkpoint as often as it may."""
    return variant(name, epochs=epochs, checkpoint_seconds=0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Runs that nobody disturbs."""
    place = tmp_path_factory.mktemp("whole")
    for name in VARIANTS:
        pretrain.run(often(name), place / name, quiet=True)
    return place


def step_of(folder):
    state = checkpoint.load(RunDir(folder))
    return state.step if state else 0


@pytest.mark.parametrize("name", VARIANTS)
def test_three_kills_one_in_the_middle_of_a_checkpoint_leave_the_same_bits(name, whole, tmp_path):
    run, config = tmp_path / "run", often(name)
    delay = torch.rand(2, generator=Seed(7).fold(name).generator()).tolist()
    lives.killed_after_step(config, run, 6, 0.1 * delay[0])
    before = step_of(run)
    assert before > 0
    lives.killed_by_itself(config, run, "checkpoint", at=1)
    parts = list(run.glob(".checkpoint.pt.*.part"))
    assert len(parts) == 1
    assert 0 < parts[0].stat().st_size < (run / "checkpoint.pt").stat().st_size
    assert before < step_of(run) < 30
    lives.killed_after_step(config, run, step_of(run) + 1, 0.1 * delay[1])
    lives.lived(config, run)
    lives.assert_same(whole / name, run)


def test_killed_before_the_first_checkpoint_it_begins_anew(whole, tmp_path):
    run = tmp_path / "run"
    lives.killed_by_itself(often("reversal"), run, "checkpoint")
    assert step_of(run) == 0
    lives.lived(often("reversal"), run)
    lives.assert_same(whole / "reversal", run)


def test_killed_between_any_two_of_the_last_files_it_finishes(whole, tmp_path):
    run, config = tmp_path / "run", often("reversal")
    files = "digests.txt", "heads.safetensors", "encoder.safetensors", "encoder.json"
    for name in (*files, "summary.json"):
        lives.killed_by_itself(config, run, name)
        assert step_of(run) == 30  # the last checkpoint is there: only the end is repeated
        assert not (run / name).exists()
    assert all((run / name).exists() for name in files)
    lives.lived(config, run)
    lives.assert_same(whole / "reversal", run)


def test_killed_while_it_begins_it_begins_again(whole, tmp_path):
    run, config = tmp_path / "run", often("simclr")
    for name in ("config.json", "environment.json", "metrics.jsonl"):
        lives.killed_by_itself(config, run, name)
        assert not (run / name).exists()
    lives.lived(config, run)
    lives.assert_same(whole / "simclr", run)


def test_a_second_process_is_kept_out_of_the_folder(tmp_path):
    run, config = tmp_path / "run", often("simclr", epochs=200)
    first = lives.start(config, run)
    while not (run / "metrics.jsonl").exists():
        time.sleep(0.01)
    with pytest.raises(CannotResume, match=r"another process is working on .*run"):
        pretrain.run(config, run, quiet=True)
    assert first.is_alive()
    first.kill()
    first.join()
    with pytest.raises(CannotResume, match="epochs: there 200, now 1"):  # the lock died with it
        pretrain.run(config.replace(epochs=1), run, quiet=True)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (MASKED.replace(epochs=4), "epochs: there 6, now 4"),
        (MASKED.override(["data.per_class=5"]), "data.per_class: there 4, now 5"),
        (MASKED.override(["maskers.0.masks=3"]), "maskers.0.masks: there 2, now 3"),
        (MASKED.replace(maskers=()), "maskers: there "),
        (MASKED.replace(maskers=(erase.Config(),)), "maskers.0.kind: there 'sequential', now 'er"),
        (MASKED.replace(seed=1), "seed: there 0, now 1"),
        (PLAIN.replace(batch=10), "batch: there 8, now 10"),
    ],
)
def test_a_changed_setting_is_refused_by_its_name(changed, said, whole):
    with pytest.raises(CannotResume) as refused:
        pretrain.run(changed, whole / "reversal", quiet=True)
    assert said in str(refused.value)
    assert "checkpoint_seconds: there 0.0, now 20.0" in str(refused.value)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kills"), [("simclr", 34), ("shared", 33), ("reversal", 33)])
def test_a_hundred_kills_at_random_moments_leave_the_same_bits(name, kills, tmp_path):
    """One in four falls within a second of the start, the others somewhere in the next 12 steps."""
    config, run = often(name, epochs=60), tmp_path / "run"
    lives.lived(config, tmp_path / "whole")
    early, steps, seconds = torch.rand(3, kills, generator=Seed(11).fold(name).generator()).tolist()
    for k in range(kills):
        if early[k] < 0.25:
            process = lives.start(config, run)
            process.join(seconds[k])
            assert process.exitcode is None, "it ended before it was killed"
            process.kill()
            process.join()
        else:
            step = step_of(run) + int(12 * steps[k])
            lives.killed_after_step(config, run, step, 0.1 * seconds[k])
    assert 0 < step_of(run) < 300
    lives.lived(config, run)
    lives.assert_same(tmp_path / "whole", run)
