"""Average precision: maintained evaluators on random answers, and VOC's rules one by one."""

import builtins

import numpy as np
import pytest
import torch

from masquerade.evaluate import boxes
from masquerade.evaluate.boxes import Found, Truth

STREAM = np.random.default_rng(0)
SIZE = (100, 100)


def grid_truth(count: int, classes: int) -> Truth:
    """Boxes of random size in cells of their own: no answer overlaps two of them by half."""
    cells = STREAM.permutation(25)[:count]
    corner = np.stack([cells % 5, cells // 5], 1) * 20.0 + STREAM.uniform(0, 4, (count, 2))
    found = np.concatenate([corner, corner + STREAM.uniform(8, 16, (count, 2))], 1)
    none = np.zeros(count, bool)
    return Truth(found, STREAM.integers(0, classes, count), none, None, SIZE)


def answers(truth: Truth, classes: int) -> Found:
    """Objects seen once, twice or never, moved by some pixels; and boxes out of the air."""
    seen = STREAM.integers(0, len(truth.boxes), 2 * len(truth.boxes))
    moved = truth.boxes[seen] + STREAM.normal(0, 1.5, (len(seen), 4))
    labels = np.where(STREAM.random(len(seen)) < 0.8, truth.labels[seen], 0)
    air = STREAM.uniform(0, 80, (4, 2))
    air = np.concatenate([air, air + STREAM.uniform(5, 20, (4, 2))], 1)
    found = np.concatenate([moved, air])
    labels = np.concatenate([labels, STREAM.integers(0, classes, 4)])
    return Found(found, labels, STREAM.random(len(found)), None)


def random_set(images: int = 12, classes: int = 4) -> tuple[list[Truth], list[Found]]:
    truth = [grid_truth(int(STREAM.integers(3, 9)), classes) for _ in range(images)]
    return truth, [answers(t, classes) for t in truth]


def torchmetrics_of(truth, found, recalls):
    from torchmetrics.detection import MeanAveragePrecision

    # Its own thresholds are rounded to float32, so that a recall of 0.7 is above one of them.
    thresholds = np.linspace(0, 1, recalls).tolist()
    metric = MeanAveragePrecision(
        backend="faster_coco_eval", rec_thresholds=thresholds, average="macro"
    )
    said = [
        {
            "boxes": torch.from_numpy(f.boxes),
            "scores": torch.from_numpy(f.scores),
            "labels": torch.from_numpy(f.labels),
        }
        for f in found
    ]
    exact = [
        {"boxes": torch.from_numpy(t.boxes), "labels": torch.from_numpy(t.labels)} for t in truth
    ]
    metric.update(said, exact)
    return {k: float(v) for k, v in metric.compute().items() if v.ndim == 0}


def test_coco_is_torchmetrics_own_on_random_answers():
    truth, found = random_set()
    ours, theirs = boxes.coco(truth, found, 4), torchmetrics_of(truth, found, 101)
    for name, other in (
        ("ap", "map"),
        ("ap50", "map_50"),
        ("ap75", "map_75"),
        ("ap_small", "map_small"),
    ):
        assert ours[name] == pytest.approx(theirs[other], abs=1e-6)
    assert 0.05 < ours["ap"] < 0.95
    assert "ap_large" not in ours  # no object is that large


def test_voc_is_torchmetrics_own_with_eleven_recalls():
    truth, found = random_set()
    ours = boxes.voc07(truth, found, 4)
    theirs = torchmetrics_of(truth, found, 11)
    for name, other in (("ap", "map"), ("ap50", "map_50"), ("ap75", "map_75")):
        assert ours[name] == pytest.approx(theirs[other], abs=1e-6)
    assert 0.05 < ours["ap"] < 0.95


def one(*labelled, crowd=(), size=SIZE) -> Truth:
    rows = np.array(labelled, float).reshape(-1, 4)
    return Truth(rows, np.zeros(len(rows), int), np.isin(np.arange(len(rows)), crowd), None, size)


def said(*rows, scores) -> Found:
    return Found(
        np.array(rows, float).reshape(-1, 4), np.zeros(len(rows), int), np.array(scores), None
    )


BOX, NEXT = (0, 0, 10, 10), (0, 0, 10, 9)


def test_the_second_answer_of_an_object_is_wrong_even_if_another_object_is_near():
    # Both answers overlap the first object most; VOC does not let the second have the other one.
    truth = [one(BOX, (0, 0, 10, 8))]
    found = [said(BOX, BOX, scores=[0.9, 0.8])]
    assert boxes.eleven_points(truth, found, 0, 0.5) == pytest.approx(6 / 11)
    assert boxes.coco(truth, found, 1)["ap50"] == 1.0  # COCO does


def test_difficult_objects_are_neither_hits_nor_misses():
    truth = [one(BOX, (50, 50, 70, 70), crowd=(1,))]
    found = [said((50, 50, 70, 70), (50, 50, 70, 70), BOX, scores=[0.9, 0.8, 0.7])]
    assert boxes.voc07(truth, found, 1) == {"ap": 1.0, "ap50": 1.0, "ap75": 1.0}
    assert boxes.voc07([one(BOX, crowd=(0,))], found, 1) == {}


def test_precision_is_the_best_at_a_recall_or_above():
    truth = [one(BOX), one(BOX)]
    found = [said(BOX, scores=[0.5]), said((50, 50, 60, 60), BOX, scores=[0.9, 0.4])]
    # right: 0 1 1 -> precision 0, 1/2, 2/3: at every recall 2/3 is still to come
    assert boxes.eleven_points(truth, found, 0, 0.5) == pytest.approx(2 / 3)


def test_nothing_found_and_nothing_to_find():
    empty = Found(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0), None)
    assert boxes.voc07([one(BOX)], [empty], 1) == {"ap": 0.0, "ap50": 0.0, "ap75": 0.0}
    assert boxes.coco([one(BOX)], [empty], 1)["ap"] == 0
    assert boxes.voc07([one()], [said(BOX, scores=[0.5])], 1) == {}
    assert boxes.coco([one()], [said(BOX, scores=[0.5])], 1) == {}


def test_masks_are_judged_by_their_pixels():
    full = np.zeros((1, 20, 20), bool)
    full[0, :10, :10] = True
    half = full.copy()
    half[0, :4] = False  # IoU of the masks .6, of the boxes 1
    truth = [one(BOX, size=(20, 20))._replace(masks=boxes.packed(full))]
    found = [said(BOX, scores=[0.5])._replace(masks=boxes.packed(half))]
    assert boxes.coco(truth, found, 1)["ap"] == pytest.approx(1)
    assert boxes.coco(truth, found, 1, masks=True)["ap"] == pytest.approx(0.3)  # 3 of 10 overlaps
    # .50, .55 and .60 are reached


def test_a_missing_evaluator_is_answered(monkeypatch):
    real = builtins.__import__

    def missing(name, *rest, **more):
        if name.startswith("pycocotools"):
            raise ModuleNotFoundError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ValueError, match=r'pip install "masquerade\[detect\]"'):
        boxes.coco([], [], 1)
