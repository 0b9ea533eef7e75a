"""The page of finished encoders: its tables, its goals, and the protocols that a smoke run has."""

from benchmarks import downstream, downstream_page
from benchmarks.downstream_page import DYNAMIC, HELD

from masquerade.evaluate import linear, semi

DENSE = {
    who: {
        "objects test/miou": [m, m + 0.01],
        "segment test/miou": [0.05, m],
        "detect test/ap": [0.02, 0.03],
    }
    for who, m in (("SimCLR", 0.2), ("untrained", 0.1), (HELD, 0.105))
}
MASKS = {
    who: {"test/iou": [0.4], "test/ari": [ari], "test/msc": [0.3]}
    for who, ari in (
        ("masks by chance", 0.0),
        ("colour clusters", 0.2),
        ("ADIOS", 0.3),
        (HELD, 0.1),
        (DYNAMIC, 0.25),
    )
}
TOP1 = {"SimCLR": [0.31, 0.32], "untrained": [0.21, 0.33]}
FIGURES = {
    "background": 0.85,
    "dense": DENSE,
    "masks": MASKS,
    "few": {"toybox": {"few-groups-1-linear": TOP1, "few-groups-1-tuned": TOP1}},
    "cost": {"SimCLR": [0.1], HELD: [0.4], DYNAMIC: [0.44]},
}


def test_each_goal_is_judged_seed_by_seed():
    goals = {g.text: g for g in downstream_page.judged(FIGURES)}
    met = goals["scenes: mIoU of SimCLR above the untrained encoder on every seed"]
    assert met.met
    assert met.figure == "+10.0 (+10.0, +10.0) points"
    assert not goals["scenes: AP of SimCLR above the untrained encoder on every seed"].met
    masks = [
        goals[f"scenes: ARI of {w}'s masks above that of colour clusters on every seed"].met
        for w in ("ADIOS", HELD, DYNAMIC)
    ]
    assert masks == [True, False, True]
    few = goals[
        "toybox, 1 object of each class: SimCLR fine-tuned above from scratch on every seed"
    ]
    assert (few.met, few.figure) == (False, "+4.5 (+10.0, -1.0) points")


def test_the_page_has_every_row_and_says_what_a_step_costs():
    text = "\n".join(downstream_page.body(FIGURES))
    assert (
        "| SimCLR | 20.5 (20.0 to 21.0) | - | 12.5 (5.0 to 20.0) | - | 2.5 (2.0 to 3.0) | - |"
        in text
    )
    assert "85.0 right pixels, an mIoU of 42.5 beside one class of objects and of 5.0" in text
    assert "| colour clusters | 0.400 | 0.200 | - | 0.300 | - |" in text
    assert "| from scratch | 27.0 (21.0 to 33.0) |" in text
    assert f"{HELD} 4.00, {DYNAMIC} 4.40" in text
    assert "0.8 MFLOP an image" in text


def test_a_smoke_run_has_one_epoch_of_everything():
    small = downstream.one_epoch(downstream.DENSE["segment"])
    assert small == downstream.DENSE["segment"].replace(epochs=1)
    few = downstream.one_epoch(semi.Config(head=downstream.TUNED))
    assert isinstance(few, semi.Config)
    assert few.head == downstream.TUNED.replace(epochs=1)
    assert downstream.one_epoch(linear.Config()) == linear.Config()
