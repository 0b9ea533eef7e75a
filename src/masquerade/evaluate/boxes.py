"""How good detections are: average precision as Pascal VOC 2007 and as COCO define it.

VOC: Everingham et al., "The Pascal Visual Object Classes Challenge", 2010: the mean over recalls 0,
0.1, ..., 1 of the highest precision at that recall or above. COCO: Lin et al., "Microsoft COCO",
2014, https://arxiv.org/abs/1405.0312, by pycocotools, its authors' evaluator (extra `detect`).
"""

import contextlib
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

RECALLS = np.linspace(0, 1, 11)
OVERLAPS = np.arange(0.5, 1.0, 0.05)  # .50:.05:.95
COCO = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")


class Truth(NamedTuple):
    """The objects of one image.

    Attributes:
        boxes: [n, 4], left, top, right, bottom edge.
        labels: [n], from 0.
        crowd: [n]; neither a hit nor a miss.
        masks: Of COCO's run-length form, one of each object; None without masks.
        size: Height and width of the image.
    """

    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    masks: list[dict[str, Any]] | None
    size: tuple[int, int]


class Found(NamedTuple):
    """What a detector says of one image.

    Attributes:
        boxes: [n, 4].
        labels: [n], from 0.
        scores: [n], higher is surer.
        masks: As in `Truth`.
    """

    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    scores: NDArray[np.float64]
    masks: list[dict[str, Any]] | None


def voc07(truth: Sequence[Truth], found: Sequence[Found], classes: int) -> dict[str, float]:
    """`ap` (the mean over overlaps .50:.05:.95, as detectron2 has it), `ap50`, `ap75`.

    The mean is over classes that have objects. Difficult objects (`crowd`) are neither hits nor
    misses. A detection belongs to the object it overlaps most; the second one of an object is
    wrong. Edges are continuous: a box from 0 to 10 is 10 wide.
    """
    table = [
        [eleven_points(truth, found, label, overlap) for overlap in OVERLAPS]
        for label in range(classes)
        if any(((t.labels == label) & ~t.crowd).any() for t in truth)
    ]
    if not table:
        return {}
    means = np.mean(table, axis=0)
    return {"ap": float(means.mean()), "ap50": float(means[0]), "ap75": float(means[5])}


def eleven_points(
    truth: Sequence[Truth], found: Sequence[Found], label: int, overlap: float
) -> float:
    """The 11-point average precision of one class that has objects."""
    scores: list[float] = []
    right: list[bool] = []
    objects = 0
    for exact, said in zip(truth, found, strict=True):
        mine = exact.labels == label
        boxes, difficult = exact.boxes[mine], exact.crowd[mine]
        objects += int((~difficult).sum())
        own = np.flatnonzero(said.labels == label)
        own = own[np.argsort(-said.scores[own], kind="stable")]
        taken = np.zeros(len(boxes), bool)
        table = intersection_over_union(said.boxes[own], boxes)
        for row, score in zip(table, said.scores[own], strict=True):
            best = int(row.argmax()) if len(row) else -1
            hit = best >= 0 and row[best] >= overlap
            if hit and difficult[best]:
                continue
            scores.append(float(score))
            right.append(bool(hit and not taken[best]))
            if hit:
                taken[best] = True
    order = np.argsort(-np.array(scores), kind="stable")
    hits = np.cumsum(np.array(right, bool)[order])
    recall, precision = hits / objects, hits / np.arange(1, len(hits) + 1)
    return float(np.mean([precision[recall >= r].max(initial=0.0) for r in RECALLS]))


def intersection_over_union(
    one: NDArray[np.float64], other: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[n, m], of each pair of boxes; 0 where they do not touch."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    both = (high - low).clip(min=0).prod(2)
    areas = [(b[:, 2:] - b[:, :2]).prod(1) for b in (one, other)]
    either = areas[0][:, None] + areas[1][None] - both
    share: NDArray[np.float64] = both / np.maximum(either, 1e-12)
    return share


def coco(
    truth: Sequence[Truth], found: Sequence[Found], classes: int, masks: bool = False
) -> dict[str, float]:
    """COCO's six average precisions, those without any object left out; of masks if asked for.

    Raises:
        ValueError: pycocotools is not installed.
    """
    tools, evaluator = imported()
    exact = tools.COCO()
    exact.dataset = {
        "images": [{"id": i, "height": t.size[0], "width": t.size[1]} for i, t in enumerate(truth)],
        "categories": [{"id": label} for label in range(classes)],
        "annotations": numbered([row for i, t in enumerate(truth) for row in objects(i, t)]),
    }
    said = tools.COCO()
    rows = [row for i, f in enumerate(found) for row in detections(i, f, masks)]
    said.dataset = {**exact.dataset, "annotations": numbered(rows)}
    with contextlib.redirect_stdout(io.StringIO()):
        exact.createIndex()
        said.createIndex()
        judge = evaluator(exact, said, "segm" if masks else "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    named = zip(COCO, judge.stats[:6].tolist(), strict=True)
    return {name: value for name, value in named if value >= 0}


def imported() -> tuple[Any, Any]:
    """Data structure and evaluator of pycocotools; raises `ValueError` where it is missing."""
    try:
        from pycocotools import coco as structure
        from pycocotools.cocoeval import COCOeval
    except ModuleNotFoundError:
        raise ValueError(
            "COCO's average precision is computed by pycocotools, which is not installed: "
            'pip install "masquerade[detect]". metric=voc07 needs nothing'
        ) from None
    return structure, COCOeval


def objects(image: int, truth: Truth) -> list[dict[str, Any]]:
    """The annotations of an image as COCO writes them."""
    rows = []
    for k, (box, label, crowd) in enumerate(
        zip(truth.boxes, truth.labels, truth.crowd, strict=True)
    ):
        row = placed(image, box, int(label), None if truth.masks is None else truth.masks[k])
        rows.append({**row, "iscrowd": int(crowd)})
    return rows


def detections(image: int, found: Found, masks: bool) -> list[dict[str, Any]]:
    """What was found in an image as COCO writes it, its masks where these are judged."""
    rows = []
    for k, (box, label) in enumerate(zip(found.boxes, found.labels, strict=True)):
        mask = found.masks[k] if masks and found.masks else None
        row = placed(image, box, int(label), mask)
        rows.append({**row, "score": float(found.scores[k]), "iscrowd": 0})
    return rows


def placed(
    image: int, box: NDArray[np.float64], label: int, mask: dict[str, Any] | None
) -> dict[str, Any]:
    """Where something is and what it is; its area is that of its mask where it has one."""
    left, top, right, bottom = box.tolist()
    row = {"image_id": image, "category_id": label, "bbox": [left, top, right - left, bottom - top]}
    if mask is None:
        return {**row, "area": (right - left) * (bottom - top)}
    from pycocotools import mask as tools

    return {**row, "area": float(tools.area(mask)), "segmentation": mask}


def numbered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with numbers from 1: pycocotools takes 0 for none."""
    return [{**row, "id": k} for k, row in enumerate(rows, 1)]


def packed(masks: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Masks [n, H, W] in COCO's run-length form; raises `ValueError` without pycocotools."""
    imported()
    from pycocotools import mask as tools

    return [tools.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in masks]
