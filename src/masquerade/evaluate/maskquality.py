"""Mask quality: do learned masks find the objects? IoU against exact masks, and a fair baseline.

Beside the one mask that fits the objects best, all masks together as a segmentation: ARI and
covering, see `segments`. Whatever is chosen (which of the N masks, at which threshold a soft mask
counts as hidden, how large the centred square is) is chosen on training images and measured on
others.
"""

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from masquerade.data.augment.plain import plain
from masquerade.data.images import ImageSet
from masquerade.evaluate import segments

Hard = float | Literal["argmax"]

# Soft masks need not pass 0.5 to single something out (a sigmoid mask under a budget of 0.25
# rarely does), so the threshold is chosen like the slot. "argmax": the strongest mask of a pixel.
HARD: tuple[Hard, ...] = ("argmax", 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


class Choice(NamedTuple):
    """What was chosen on training images.

    Attributes:
        slot: Which of the N masks, from 0.
        hard: The threshold at and above which a pixel counts as hidden, or "argmax".
        iou: The mean IoU there, on the training images.
    """

    slot: int
    hard: Hard
    iou: float


class Quality(NamedTuple):
    """How well masks and a centred square fit the objects of one set.

    Attributes:
        iou: Mean IoU of the chosen mask over images with an object.
        square: The same of the centred square.
        each: IoU of each image; nan where it shows no object.
        together: All masks as a segmentation: means of `segments.Scores`.
        square_together: The same of the centred square and what is around it.
    """

    iou: float
    square: float
    each: NDArray[np.float64]
    together: dict[str, float]
    square_together: dict[str, float]


class Report(NamedTuple):
    """The outcome of `measure`.

    Attributes:
        choice: What was chosen on the training images.
        side: Side of the best centred square there, as a share of the image's side.
        tests: By name of the test set.
    """

    choice: Choice
    side: float
    tests: dict[str, Quality]

    @property
    def metrics(self) -> dict[str, float]:
        """`train/iou`, and for each test set `NAME/iou`, `NAME/ari`, `NAME/msc`, `NAME/ssc`.

        `NAME/ari_fg` where images show several objects; `NAME/square` is the IoU of the centred
        square, `NAME/square_ari` its ARI, and so on.
        """
        numbers = {"train/iou": self.choice.iou}
        for name, quality in self.tests.items():
            numbers |= {f"{name}/iou": quality.iou, f"{name}/square": quality.square}
            numbers |= {f"{name}/{n}": v for n, v in quality.together.items()}
            numbers |= {f"{name}/square_{n}": v for n, v in quality.square_together.items()}
        return numbers


def measure(
    propose: Callable[[Float[Tensor, "B C S S"]], Float[Tensor, "B N S S"]],
    train: ImageSet,
    tests: dict[str, ImageSet],
    *,
    size: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    images: int = 2000,
    compat: Literal["none", "adios"] = "none",
) -> Report:
    """Choose mask, threshold and square on `train`, measure them on each of `tests`.

    Args:
        propose: Soft masks in [0, 1], 1 = hidden, for standardised images.
        train: Images with a "mask" target, 1 = object.
        tests: The same, by name.
        size: Side of the images the masker sees.
        mean: Per-channel mean of images in [0, 1].
        std: Per-channel standard deviation.
        images: At most so many evenly spaced images of each set are looked at.
        compat: How things become labels, see `segments.labelled`.

    Raises:
        ValueError: A set has no exact masks, or `train` shows no object.
    """

    def looked(source: ImageSet) -> tuple[Tensor, Tensor]:
        picked = np.unique(np.linspace(0, len(source) - 1, min(images, len(source))).astype(int))
        masks, labels = [], []
        for rows in torch.split(torch.from_numpy(picked), 256):
            pixels = plain(source.read(rows), source.extents(rows), size, mean, std)
            masks.append(propose(pixels).detach().float().cpu())
            labels.append(things(source, rows.numpy(), size))
        most = max(one.shape[1] for one in labels)
        padded = [F.pad(one, (0, 0, 0, 0, 0, most - one.shape[1])) for one in labels]
        return torch.cat(masks), torch.cat(padded)

    masks, exact = looked(train)
    truth = wanted(train, exact)
    choice, side = choose(masks, truth), best_square(truth)
    middle = centred_square(size, side)
    found = {}
    for name, source in tests.items():
        masks, exact = looked(source)
        truth = wanted(source, exact)
        each = iou(harden(masks, choice.hard)[:, choice.slot], truth)
        square = iou(middle.expand_as(truth), truth)
        labels = segments.labelled(exact, compat)
        cut = segments.segments(masks, 0.5 if choice.hard == "argmax" else choice.hard)
        found[name] = Quality(
            float(each.nanmean()),
            float(square.nanmean()),
            each.numpy(),
            together(cut, labels),
            together(middle.long().expand_as(labels), labels),
        )
    return Report(choice, side / size, found)


def together(found: Int[Tensor, "B H W"], truth: Int[Tensor, "B H W"]) -> dict[str, float]:
    """Means of the segmentation scores over all images, some at a time to spare memory."""
    parts = [
        segments.scores(f, t)
        for f, t in zip(torch.split(found, 256), torch.split(truth, 256), strict=True)
    ]
    return segments.Scores(*(torch.cat(values) for values in zip(*parts, strict=True))).means()


def iou(found: Bool[Tensor, "*B H W"], truth: Bool[Tensor, "*B H W"]) -> Float[Tensor, "*B"]:
    """Pixels in both over pixels in either; nan where `truth` is empty."""
    both = (found & truth).sum(dim=(-2, -1)).double()
    either = (found | truth).sum(dim=(-2, -1))
    return torch.where(truth.any(dim=-1).any(dim=-1), both / either, torch.nan)


def harden(masks: Float[Tensor, "B N H W"], hard: Hard) -> Bool[Tensor, "B N H W"]:
    """Which pixels each mask hides: those at or above a threshold, or where it is strongest.

    With "argmax" every pixel belongs to exactly one mask; of equally strong ones the first.
    """
    if hard == "argmax":
        slots = torch.arange(masks.shape[1], device=masks.device)[:, None, None]
        return masks.argmax(dim=1, keepdim=True) == slots
    return masks >= hard


def mask_iou(
    masks: Float[Tensor, "B N H W"], truth: Bool[Tensor, "B H W"], hard: Hard = 0.5
) -> Float[Tensor, "B N"]:
    """IoU of each hardened mask with the object; nan where an image shows none.

    Args:
        masks: In [0, 1], 1 = hidden.
        truth: True on the object.
        hard: See `harden`.
    """
    hidden = harden(masks, hard)
    return iou(hidden, truth[:, None].expand_as(hidden))


def choose(
    masks: Float[Tensor, "B N H W"],
    truth: Bool[Tensor, "B H W"],
    candidates: Iterable[Hard] = HARD,
) -> Choice:
    """The mask and the hardening with the best mean IoU; call it on training images.

    Of equally good ones the first candidate and the lowest slot.

    Raises:
        ValueError: No image shows an object.
    """
    if not truth.any():
        raise ValueError("a mask is chosen by the objects it hits, and no image shows one")
    best = Choice(0, 0.5, -1.0)
    for hard in candidates:
        if hard == "argmax" and masks.shape[1] == 1:
            continue  # the strongest of one mask is everything
        means = mask_iou(masks, truth, hard).nanmean(dim=0)
        slot = int(means.argmax())
        if means[slot] > best.iou:
            best = Choice(slot, hard, float(means[slot]))
    return best


def best_square(truth: Bool[Tensor, "B H W"]) -> int:
    """The side in pixels of the centred square with the best mean IoU; the smaller of equals."""
    size = truth.shape[-1]
    sides = range(1, size + 1)
    means = [float(iou(centred_square(size, s).expand_as(truth), truth).nanmean()) for s in sides]
    return sides[int(np.argmax(means))]


def centred_square(size: int, side: int) -> Bool[Tensor, "H W"]:
    """A square image, True on a square of `side` pixels in its middle."""
    start = (size - side) // 2
    square = torch.zeros(size, size, dtype=torch.bool)
    square[start : start + side, start : start + side] = True
    return square


def objects(images: ImageSet, rows: NDArray[np.int64], size: int) -> Bool[Tensor, "B S S"]:
    """Exact object masks: the first of `things`."""
    return things(images, rows, size)[:, 0]


def wanted(images: ImageSet, exact: Bool[Tensor, "B K S S"]) -> Bool[Tensor, "B S S"]:
    """What one mask ought to find: the object, or any of them in a scene of several."""
    return exact[:, 0] if images.dense is None else exact.any(1)


def measurable(images: ImageSet) -> bool:
    """Whether there are exact masks to compare with."""
    return "mask" in images.targets or (images.dense is not None and images.dense.has_masks)


def things(images: ImageSet, rows: NDArray[np.int64], size: int) -> Bool[Tensor, "B K S S"]:
    """Exact masks of each thing, brought to the frame in which `plain` shows the images.

    A pixel belongs to a thing if at least half of what it covers does. The first is the object, 1
    in the stored masks; further ones, such as clutter, are 2 and up. 0 is the background. Of sets
    with outlined objects it is each object, what is in front covering what is behind.

    Raises:
        ValueError: The set has no exact masks.
    """
    if not measurable(images):
        raise ValueError(
            f"{images.name} has no exact masks to compare with; toybox, scenes and clevr have"
        )
    if "mask" in images.targets:
        stored = np.asarray(images.targets["mask"][rows])
    else:
        assert images.dense is not None
        stored = images.dense.instances(rows).numpy()
    extents = images.extents(rows)
    found = []
    for label in range(1, max(int(stored.max(initial=1)), 1) + 1):
        pixels = torch.from_numpy(np.asarray(stored == label, np.uint8) * 255)[:, None]
        found.append(plain(pixels, extents, size, (0.0,), (1.0,))[:, 0] >= 0.5)
    return torch.stack(found, 1)
