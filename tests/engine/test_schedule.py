"""Learning rates against those of MixMask's code bases, step by step, and against the old ones."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from masquerade.engine.optimizers import adam, sgd
from masquerade.engine.schedule import Schedule
from masquerade.engine.task import Progress

ORACLE = np.load(Path(__file__).parents[1] / "oracles" / "mixmask" / "schedules.npz")
STEPS = 97  # of an epoch: 50,000 images, batch 512
WMSE = Schedule(
    shape="drops",
    drops=(950, 975),
    factor=0.2,
    warmup=500,
    warmup_unit="step",
    start=0.0,
    per="step",
)


def rates(
    schedule: Schedule, base: float, steps: range, epochs: int, epoch_steps: int = STEPS
) -> NDArray[np.float64]:
    places = (Progress(s, epochs * epoch_steps, epoch_steps) for s in steps)
    return np.array([schedule.rate(base, place) for place in places])


@pytest.mark.parametrize("step", [0, 40, STEPS - 1])
def test_un_mix_counts_its_cosine_from_1_so_that_the_last_epoch_has_a_rate_of_0(step: int) -> None:
    schedule = Schedule(warmup=0, count_from=1)
    ours = rates(schedule, 0.06, range(step, 1000 * STEPS, STEPS), 1000)
    np.testing.assert_allclose(ours, ORACLE["unmix_cifar_cos_epoch1to1000"], rtol=0, atol=1e-15)
    assert ours[-1] == 0


def test_mixmask_counts_its_cosine_on_imagenet_from_0() -> None:
    ours = rates(Schedule(warmup=0), 0.03, range(3, 200 * 7, 7), 200, 7)
    np.testing.assert_allclose(ours, ORACLE["mixmask_in1k_cos_epoch0to199"], rtol=0, atol=1e-15)


def test_w_mse_warms_up_over_500_steps_and_drops_twice() -> None:
    first = rates(WMSE, 3e-3, range(679), 1000)
    np.testing.assert_allclose(first, ORACLE["wmse_lr_first679it"], rtol=0, atol=1e-15)
    last_of_epoch = rates(WMSE, 3e-3, range(STEPS - 1, 1000 * STEPS, STEPS), 1000)
    np.testing.assert_allclose(last_of_epoch, ORACLE["wmse_lr_per_epoch"], rtol=0, atol=1e-15)
    around = rates(WMSE, 1.0, range(950 * STEPS - 1, 950 * STEPS + 1), 1000)
    assert around.tolist() == [1.0, 0.2]


def test_simsiam_rises_from_0_and_falls_by_step() -> None:
    schedule = Schedule(warmup=10, from_start=True, start=0.0, per="step")
    ours = rates(schedule, 0.06, range(1000 * STEPS), 1000)
    np.testing.assert_allclose(ours, ORACLE["simsiam_lr_per_it"], rtol=0, atol=1e-15)


def test_moco_v1_drops_to_a_tenth_at_120_and_160() -> None:
    schedule = Schedule(shape="drops", drops=(120, 160), warmup=0)
    found = {e: schedule.rate(0.03, Progress(5 * e + 4, 1000, 5)) for e in (0, 119, 120, 159, 160)}
    assert found == pytest.approx({0: 0.03, 119: 0.03, 120: 0.003, 159: 0.003, 160: 0.0003})


@given(
    base=st.floats(1e-4, 40),
    start=st.floats(0, 0.1),
    end=st.floats(0, 0.1),
    warmup=st.sampled_from([0, 1, 2.5, 10, 500]),
    shape=st.sampled_from(["cosine", "constant"]),
    per=st.sampled_from(["epoch", "step"]),
    epoch_steps=st.integers(1, 9),
    epochs=st.integers(1, 20),
)
def test_what_could_be_set_before_gives_the_rates_it_gave_bit_for_bit(
    base: float,
    start: float,
    end: float,
    warmup: float,
    shape: str,
    per: str,
    epoch_steps: int,
    epochs: int,
) -> None:
    schedule = Schedule.parse(
        {"shape": shape, "warmup": warmup, "start": start, "end": end, "per": per}
    )
    for step in range(epochs * epoch_steps):
        now = Progress(step, epochs * epoch_steps, epoch_steps)
        assert schedule.rate(base, now) == formerly(schedule, base, now)


def formerly(schedule: Schedule, base: float, progress: Progress) -> float:
    """The rate before there were drops, counts and warm-ups in steps."""
    unit = progress.epoch_steps if schedule.per == "epoch" else 1
    now = progress.step // unit
    total = progress.steps / unit
    warm = min(schedule.warmup * progress.epoch_steps / unit, total)
    rise = base - schedule.start
    if now < warm and schedule.per == "step":
        return schedule.start + min(1.0, (now + 1) / warm) * rise
    if now < warm:
        return schedule.start + now * rise / max(warm - 1, 1)
    if schedule.shape == "constant" or total <= warm:
        return base
    swing = (1 + math.cos(math.pi * (now - warm) / (total - warm))) / 2
    return schedule.end + (base - schedule.end) * swing


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"warmup_unit": "step"}, "warmup_unit=step needs per=step"),
        ({"warmup_unit": "step", "per": "step", "warmup": 0}, "a warmup above 0"),
        ({"from_start": True}, "per epoch a warm-up always begins at start"),
        ({"count_from": 1, "shape": "constant"}, "count_from=1 is not read with shape=constant"),
        ({"shape": "drops"}, r"shape=drops needs drops.*got shape=drops, drops=\[\]"),
        ({"drops": [3]}, r"got shape=cosine, drops=\[3\], factor=0.1"),
        ({"factor": 0.5}, r"got shape=cosine, drops=\[\], factor=0.5"),
        ({"shape": "drops", "drops": [3], "end": 0.1}, "end=0.1 is not read with shape=drops"),
    ],
)
def test_what_would_not_be_read_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Schedule.parse(settings)


def test_a_warm_up_longer_than_the_run_stays_inside_it() -> None:
    assert rates(WMSE, 1.0, range(5), 5, 1).tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_an_optimizer_says_its_warm_up_in_its_own_unit() -> None:
    assert (
        "0.003 (drops, warm-up 500 steps), decay 1e-06"
        in adam.Config(lr=3e-3, decay=1e-6, schedule=WMSE).described()
    )
    assert "0.1 (cosine, warm-up 10 epochs), decay 0" in sgd.Config().described()
