import math
from typing import Any

import pytest

from masquerade.jobs.tracks import by_step
from masquerade.jobs.verdicts import Verdict, verdicts

Rows = list[dict[str, Any]]


def healthy(steps: int = 2000, every: int = 10, masks: int = 4) -> Rows:
    """A run whose masks are fine; the encoder's loss falls from 6 to 2, masks undo a quarter."""
    rows = []
    for step in range(0, steps, every):
        whole = 2 + 4 * math.exp(-8 * step / steps)
        row: dict[str, Any] = {"step": step, "encoder/gradient": 1.0, "masker/gradient": 0.2}
        row |= {"masker/dimming": 0.3, "masker/overlap": 0.1, "masker/image_dependence": 0.6}
        row |= {"masker/raggedness": 0.1, "masker/softness": 0.4}
        for k in range(masks):
            row |= {f"masker/size/{k}": 0.2 + 0.02 * k, f"masker/loss/{k}": whole + (6 - whole) / 4}
            if step % 100 == 0:
                row[f"masker/gain/{k}"] = (6 - whole) / 4
        rows.append(row)
    return rows


def changed(rows: Rows, since: int, **values: float) -> Rows:
    """The rows, other values from a step on; names as in `size_2` for masker/size/2."""
    names = {f"masker/{n.replace('__', '/')}": v for n, v in values.items()}
    return [
        row | {n: v for n, v in names.items() if n in row and row["step"] + 1 >= since}
        for row in rows
    ]


def only(found: list[Verdict]) -> Verdict:
    assert len(found) == 1, [v.text for v in found]
    return found[0]


def test_a_healthy_run_gets_one_good_sentence() -> None:
    found = only(verdicts(healthy()))
    assert found.healthy
    assert found.since is None
    assert "each of the 4 masks hides 20% to 26% of the image" in found.text
    assert "the mask hides 20% of" in only(verdicts(healthy(masks=1))).text


@pytest.mark.parametrize(
    ("number", "value", "said"),
    [
        ("size__2", 0.004, "mask 3 hides nothing since step 1,201 (0.4% of the image)"),
        ("size__0", 0.97, "mask 1 hides everything since step 1,201 (97.0% of the image)"),
        ("dimming", 0.95, "the masks are undecided since step 1,201 (0.95"),
        ("overlap", 0.9, "the masks hide much the same since step 1,201"),
        ("image_dependence", 0.01, "the masks are the same for every image since step 1,201"),
        ("raggedness", 0.9, "the masks are ragged since step 1,201"),
        ("size__3", 0.85, "mask 4 hides 85%, mask 1 only 20%"),
        ("gradient", 1e-7, "hardly gets a gradient since step 1,201"),
        ("gradient", 5e4, "is 50,000 times the encoder's since step 1,201"),
    ],
)
def test_each_trouble_is_told_with_the_step_since_when(
    number: str, value: float, said: str
) -> None:
    found = only(verdicts(changed(healthy(), 1181, **{number: value})))  # the median of 5 lags by 2
    assert said in found.text
    assert not found.healthy
    assert found.since == 1201


def test_a_trouble_that_has_passed_or_has_just_begun_is_none() -> None:
    for rows in (
        changed(changed(healthy(), 500, size__1=0.0), 1500, size__1=0.2),
        changed(healthy(), 1900, size__1=0.0),
        changed(healthy(), 1991, size__1=0.0),
    ):
        assert only(verdicts(rows)).healthy


def test_in_a_short_run_the_last_quarter_is_enough() -> None:
    rows = healthy(steps=100, every=1)
    assert only(verdicts(changed(rows, 60, dimming=1.0))).about == "undecided"
    assert only(verdicts(changed(rows, 85, dimming=1.0))).healthy


def test_one_odd_batch_is_no_change() -> None:
    rows = changed(healthy(), 1001, size__0=0.001)
    rows[150]["masker/size/0"] = 0.3
    assert only(verdicts(rows)).since == 1021


def test_masks_that_undo_what_was_learned_are_too_strong_and_those_that_undo_nothing_too_weak() -> (
    None
):
    strong, weak = healthy(), healthy()
    for row in strong[100:]:
        whole = 2 + 4 * math.exp(-8 * row["step"] / 2000)
        for k in range(4):
            row[f"masker/loss/{k}"] = 5.95
            if f"masker/gain/{k}" in row:
                row[f"masker/gain/{k}"] = 5.95 - whole
    for row in weak:
        for k in range(4):
            if f"masker/gain/{k}" in row:
                row[f"masker/loss/{k}"] -= row[f"masker/gain/{k}"] - 0.001
                row[f"masker/gain/{k}"] = 0.001
    assert "too strong since step 1,201" in only(verdicts(strong)).text
    assert "too weak since step" in only(verdicts(weak)).text


def test_losses_of_any_sign_are_judged_alike() -> None:
    rows = healthy()
    for row in rows:  # as SimSiam: from 0 to -1
        for k in range(4):
            row[f"masker/loss/{k}"] = (row[f"masker/loss/{k}"] - 6) / 4
            if f"masker/gain/{k}" in row:
                row[f"masker/gain/{k}"] /= 4
    assert only(verdicts(rows)).healthy


def test_an_empty_mask_does_not_count_as_an_unequal_one() -> None:
    assert only(verdicts(changed(healthy(), 500, size__2=0.001))).about == "mask 3"


def test_undecided_masks_are_not_blamed_for_being_alike_too() -> None:
    assert only(verdicts(changed(healthy(), 500, dimming=1.0, overlap=1.0))).about == "undecided"


def test_without_learned_masks_or_with_next_to_no_rows_nothing_is_said() -> None:
    assert verdicts([]) == []
    assert verdicts([{"step": s, "encoder/loss": 1.0} for s in range(100)]) == []
    assert verdicts(healthy()[:3]) == []


def test_values_that_are_not_finite_or_not_numbers_are_passed_over() -> None:
    rows = healthy()
    rows[5] |= {"masker/size/0": math.nan, "masker/gain/0": math.inf, "masker/dimming": "much"}
    rows.append({"epoch": 3})
    assert only(verdicts(rows)).healthy


def test_lines_of_one_step_are_one_row() -> None:
    split = [{"step": r["step"], k: v} for r in healthy() for k, v in r.items() if k != "step"]
    assert by_step(split) == by_step(healthy())
    assert verdicts(split[::-1]) == verdicts(healthy())
