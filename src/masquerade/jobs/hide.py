"""Hide: what a run's learned masker hides in any images, as files.

A folder with `mask_1/`, `mask_2/`, ... (soft masks), `labels/` (which mask has each pixel) and
`overlay/` (to be looked at), all named like the images and as large as they are, and `masks.json`.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from masquerade.core.errors import BadImages
from masquerade.core.rundir import RunDir
from masquerade.data import progress
from masquerade.data.decode import Plan, judge
from masquerade.data.images import ImageSet
from masquerade.jobs import finished, maskfolder, painting
from masquerade.jobs.given import looked_up, reading
from masquerade.jobs.maskfolder import Files
from masquerade.jobs.masks import by_chance, maskers
from masquerade.maskers.base import MaskerConfig
from masquerade.maskers.pixels import FromPixels, exclusive, stretched
from masquerade.networks import encoder_file

FORMAT = 1
TOGETHER = 64  # images whose masks are made in one pass
HELD = 2**26  # pixel values of images held at once
GEOMETRY = (
    "The whole image is squeezed to a square of `size` pixels, whatever its shape, because the "
    "masker was trained on such squares; its masks are stretched back over the image, bilinearly"
)
LABELS = {
    True: "the masks share each pixel; it has the number of the strongest, from 1",
    False: "masks may overlap; a pixel has the number, from 1, of the strongest mask that hides "
    "more than half of it, and 0 where none does",
}


class Hidden(NamedTuple):
    """What is hidden in one image.

    Attributes:
        file: The image.
        height: Of the image and of all files below, in pixels, upright as its EXIF says.
        width: Likewise.
        masks: The soft masks, one file each.
        labels: The label map; None where it was not asked for.
        overlay: The picture.
        ratios: The share of the image that each mask hides.
    """

    file: str
    height: int
    width: int
    masks: tuple[Path, ...]
    labels: Path | None
    overlay: Path
    ratios: tuple[float, ...]


class Masks(NamedTuple):
    """A folder of masks.

    Attributes:
        folder: Where it lies.
        images: One entry for each image, in their order.
        exclusive: Whether the masks share each pixel, adding up to 1.
    """

    folder: Path
    images: list[Hidden]
    exclusive: bool


def run(
    folder: RunDir,
    images: str,
    out: str = "",
    masker: int | None = None,
    hard: bool = True,
    split: str = "",
    say: Callable[[str], None] = print,
) -> Masks:
    """Write what the masker of a run hides in images.

    Args:
        folder: A finished run with a learned masker.
        images: An image file, a folder, a list file, an array file, or the name of a source.
        out: The folder to write; empty takes `masks/NAME` in the run's folder. Masks of the same
            images in it are replaced.
        masker: Its place in the run's settings, from 0; None takes the first that has learned.
        hard: Whether label maps are written too.
        split: The part of a source, as for `predict`.
        say: Takes lines for the user.

    Raises:
        ValueError: The run has no learned masker, or the images do not fit it.
        CannotResume: `out` holds something else.
        MissingData: The run is not finished, or the images are not there.
        BadImages: None of them can be used, or a file has changed meanwhile.
    """
    network = learned(folder, masker).network
    data = looked_up(images, split, network.size, network.channels)
    if data.channels != network.channels:
        raise ValueError(
            f"the masker takes images of {network.channels} channels, {data.name} has "
            f"{data.channels}. Load the images with as many channels as it was trained on"
        )
    for note in data.notes:
        say(note)
    root = Path(out) if out else folder.path / "masks" / named(images)
    source = where(images, split, data)
    target = maskfolder.claimed(root, source)
    first = network(shown(pixels_of(data, 0, network.channels), network))
    kinds = [f"mask_{k + 1}" for k in range(first.shape[1])]
    plan = maskfolder.planned(data.files, [*kinds, *(["labels"] if hard else []), "overlay"])
    shared = exclusive(first)
    about = {
        "format": FORMAT,
        "run": str(folder.path),
        "images_from": source,
        "masks": kinds,
        "value": "of a mask file: 0 is shown, 255 is hidden",
        "size": network.size,
        "geometry": GEOMETRY,
        "exclusive": shared,
        "labels": LABELS[shared] if hard else "not asked for",
    }
    target.write_json(
        maskfolder.LIST, {**about, "complete": False, "images": [{"files": f} for f in plan]}
    )
    found = list(written(network, data, root, plan, shared))
    listed = [
        {"file": h.file, "height": h.height, "width": h.width, "hidden": h.ratios, "files": f}
        for h, f in zip(found, plan, strict=True)
    ]
    target.write_json(maskfolder.LIST, {**about, "complete": True, "images": listed})
    return Masks(root, found, shared)


def named(images: str) -> str:
    """What a folder for the masks of some images is called."""
    path = Path(images).expanduser().resolve()
    return path.name if path.is_dir() else path.stem


def where(images: str, split: str, data: ImageSet) -> str:
    """Where images came from, so that it is known again."""
    path = Path(images).expanduser()
    source = str(path.resolve()) if path.exists() and data.paths else images
    return f"{source} {split}".rstrip()


class Learned(NamedTuple):
    """A masker that has learned, and what it was built from.

    Attributes:
        settings: Its settings.
        network: It, for images in [0, 1], on the device that the run's settings name.
    """

    settings: MaskerConfig
    network: FromPixels


def learned(folder: RunDir, which: int | None = None) -> Learned:
    """A run's learned masker.

    Args:
        folder: A finished run.
        which: Its place in the run's settings, from 0; None takes the first that has learned.

    Raises:
        ValueError: There is none, or not there.
        MissingData: The run is not finished, or damaged.
    """
    finished.complete(folder)
    config = finished.settings(folder)
    names = [masker.kind for masker in config.maskers]
    found = maskers(folder)
    adversaries = [k for k, m in enumerate(found) if any(True for _ in m.parameters())]
    if not adversaries:
        pictures = f"; masquerade report {folder.path} shows how" if names else ""
        raise ValueError(
            f"{folder.path} has no learned masker: {by_chance(folder)}{pictures}. A run that has "
            "one: masquerade pretrain sequential"
        )
    place = adversaries[0] if which is None else which
    if place not in adversaries:
        known = " or ".join(f"masker={k} ({names[k]})" for k in adversaries)
        raise ValueError(f"{folder.path} has learned {known}, got masker={place}")
    card = encoder_file.card(folder.path)
    runtime = config.runtime.replace(devices=1).resolved()
    torch.set_num_threads(runtime.threads)
    network = FromPixels(found[place], card.size, card.mean, card.std)
    return Learned(config.maskers[place], network.to(runtime.device()))


def written(
    network: FromPixels, data: ImageSet, root: Path, plan: Sequence[Files], shared: bool
) -> Iterator[Hidden]:
    """Makes and writes the masks of all images, a few images at a time."""
    with progress.shown(f"hiding parts of {len(data):,} images", len(data)) as advance:
        for rows, images in batches(data, network.channels):
            squares = torch.cat([network.squeezed(shown(image, network)) for image in images])
            hidden = network.of_squares(squares)
            for row, image, masks in zip(rows, images, hidden, strict=True):
                files = {kind: root / name for kind, name in plan[row].items()}
                yield painted(data.files[row], image, masks, files, shared)
                advance(1)


def painted(
    file: str,
    image: NDArray[Any],
    masks: Float[Tensor, "N S S"],
    files: dict[str, Path],
    shared: bool,
) -> Hidden:
    """Writes the files of one image [H, W, C], one mask after another."""
    for place in files.values():
        place.parent.mkdir(parents=True, exist_ok=True)
    height, width = image.shape[:2]
    soft = [place for kind, place in files.items() if kind.startswith("mask_")]
    ratios = []

    def each() -> Iterator[NDArray[np.float32]]:
        for mask, place in zip(masks, soft, strict=True):
            large = stretched(mask[None, None], height, width)[0, 0].cpu().numpy()
            painting.save_soft(large, place)
            ratios.append(round(float(large.mean(dtype=np.float64)), 4))
            yield large

    found = painting.strongest(each())
    if "labels" in files:
        painting.save_labels(found.labels(shared), files["labels"])
    painting.save_overlay(image, found, files["overlay"])
    return Hidden(
        file, height, width, tuple(soft), files.get("labels"), files["overlay"], tuple(ratios)
    )


def batches(data: ImageSet, channels: int) -> Iterator[tuple[list[int], list[NDArray[Any]]]]:
    """The images at their own size [H, W, C], as many at a time as memory likes."""
    rows: list[int] = []
    images: list[NDArray[Any]] = []
    for row in range(len(data)):
        rows.append(row)
        images.append(pixels_of(data, row, channels))
        if len(rows) == TOGETHER or sum(image.size for image in images) > HELD:
            yield rows, images
            rows, images = [], []
    if rows:
        yield rows, images


def pixels_of(data: ImageSet, row: int, channels: int) -> NDArray[Any]:
    """An image as large as it is, [H, W, C], upright; files are decoded again for that.

    Raises:
        BadImages: The file was removed or damaged since the set was looked up.
    """
    if not data.paths:
        height, width = data.extents([row])[0].tolist()
        whole: NDArray[Any] = data.read([row])[0].permute(1, 2, 0).numpy()[:height, :width]
        return whole
    judged = judge(data.paths[row], data.files[row], Plan(reading(channels), 0))
    if judged.pixels is None:
        raise BadImages(" and ".join(f"{f.file} {f.reason}" for f in judged.findings))
    return judged.pixels


def shown(image: NDArray[Any], network: FromPixels) -> Float[Tensor, "1 C H W"]:
    """An image [H, W, C] in [0, 1] where the network lies."""
    white = float(np.iinfo(image.dtype).max)
    numbers = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))).to(
        network.mean.device
    )
    return numbers.float().div_(white)[None]
