"""The released files of ImageNet-C and CIFAR-C, read as they are and kept nowhere else.

ImageNet-C: https://zenodo.org/records/2235448, one folder per kind, severity and class; CIFAR-C:
https://zenodo.org/records/2535967 and 3555552, one array per kind with the severities one after
the other.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from masquerade.core.errors import BadImages, WrongPath
from masquerade.data.augment.plain import plain
from masquerade.data.decode import Plan, judge
from masquerade.data.images import ImageSet
from masquerade.data.listing import listed
from masquerade.evaluate.classnames import subset
from masquerade.evaluate.mce import ALEXNET

GROUPS = ("", "noise", "blur", "weather", "digital", "extra")  # as its archives unpack
NAMES = (*ALEXNET, "speckle_noise", "gaussian_blur", "spatter", "saturate")
SEVERITIES = 5
Layout = Literal["imagenet_c", "cifar_c"]


class Release(NamedTuple):
    """A folder of released files.

    Attributes:
        layout: Whose.
        root: Where it lies.
        kinds: What it holds, in the order of the paper's table.
    """

    layout: Layout
    root: Path
    kinds: tuple[str, ...]

    @classmethod
    def at(cls, path: str) -> "Release":
        """The release in a folder; raises `WrongPath` where there is none."""
        root = Path(path).expanduser()
        arrays = tuple(k for k in NAMES if (root / f"{k}.npy").is_file())
        if arrays and (root / "labels.npy").is_file():
            return cls("cifar_c", root, arrays)
        folders = tuple(k for k in NAMES if place(root, k))
        if folders:
            return cls("imagenet_c", root, folders)
        raise WrongPath(
            f"neither ImageNet-C nor CIFAR-C lies in {root} (looked from {Path.cwd()}): expected "
            "folders such as gaussian_noise/1/n01440764, or gaussian_noise.npy beside labels.npy. "
            "Get them from https://zenodo.org/records/2235448 or /2535967 (CIFAR-10), /3555552 "
            "(CIFAR-100), or leave released empty to corrupt the test images here"
        )

    def condition(self, kind: str, severity: int, known: dict[str, int], skip: bool) -> "Condition":
        """The images of a kind at a severity.

        Args:
            kind: One of `kinds`.
            severity: 1 to 5.
            known: The classifier's classes: WordNet numbers for ImageNet-C; for CIFAR-C names,
                of which only the number is used, as its labels are numbers.
            skip: Whether images of classes that the classifier does not know are left out.

        Raises:
            WrongPath: This severity is missing.
            ValueError: The classes do not fit.
        """
        if self.layout == "cifar_c":
            return self._rows(kind, severity, len(known))
        found = place(self.root, kind)
        folder = found / str(severity) if found else self.root
        if not found or not folder.is_dir():
            raise WrongPath(f"ImageNet-C lacks {kind}/{severity} under {self.root}")
        files = listed(folder).files
        names = tuple(sorted({file.split("/")[0] for file in files}))
        classes = subset(f"ImageNet-C ({kind})", names, known, skip)
        place_of = dict(zip(names, classes.tolist(), strict=True))
        labels = torch.tensor([place_of[file.split("/")[0]] for file in files])
        rows = torch.nonzero(labels >= 0)[:, 0].tolist()
        return Condition(labels[rows], None, tuple(folder / files[row] for row in rows))

    def _rows(self, kind: str, severity: int, classes: int) -> "Condition":
        labels = np.load(self.root / "labels.npy", mmap_mode="r", allow_pickle=False)
        pixels = np.load(self.root / f"{kind}.npy", mmap_mode="r", allow_pickle=False)
        if len(labels) != len(pixels) or len(labels) % SEVERITIES or pixels.ndim != 4:
            raise ValueError(
                f"{kind}.npy in {self.root} must hold 5 severities of images [N, 32, 32, 3] with "
                f"as many labels; it has {list(pixels.shape)}, labels.npy {list(labels.shape)}"
            )
        if int(labels.max()) + 1 != classes:
            raise ValueError(
                f"CIFAR-C in {self.root} has {int(labels.max()) + 1} classes, the classifier was "
                f"fitted on {classes}. Evaluate with data=cifar10 or data=cifar100, as it was made"
            )
        count = len(labels) // SEVERITIES
        rows = slice((severity - 1) * count, severity * count)
        images = ImageSet(f"CIFAR-C {kind} {severity}", pixels[rows])
        return Condition(torch.from_numpy(np.array(labels[rows], np.int64)), images, ())


class Condition(NamedTuple):
    """The released images of one kind at one severity.

    Attributes:
        labels: Places among the classifier's classes.
        images: The images, where they are an array.
        files: Where they lie, where they are files.
    """

    labels: Int[Tensor, " N"]
    images: ImageSet | None
    files: tuple[Path, ...]

    def pixels(self, size: int, batch: int) -> Iterator[Float[Tensor, "B 3 S S"]]:
        """The images in [0, 1], whole: nothing is cut off, and at their own size nothing resized.

        Raises:
            BadImages: A file cannot be decoded.
        """
        zeros, ones = (0.0,) * 3, (1.0,) * 3
        for rows in torch.split(torch.arange(len(self.labels)), batch):
            if self.images is not None:
                read, extent = self.images.read(rows), self.images.extents(rows)
                yield plain(read, extent, size, zeros, ones).clamp_(0, 1)
                continue
            shown = []
            for row in rows.tolist():
                read = decoded(self.files[row])
                extent = torch.tensor([read.shape[2:]])
                shown.append(plain(read, extent, size, zeros, ones).clamp_(0, 1))
            yield torch.cat(shown)


def decoded(path: Path) -> Tensor:
    """One file's pixels, [1, 3, H, W] uint8."""
    judged = judge(path, path.name, Plan("rgb", 0))
    if judged.pixels is None:
        raise BadImages(" and ".join(f"{path} {f.reason}" for f in judged.findings))
    return torch.tensor(judged.pixels).permute(2, 0, 1)[None]


def place(root: Path, kind: str) -> Path | None:
    """The folder of a kind of ImageNet-C, directly below or in its archive's group."""
    places = (root / group / kind for group in GROUPS)
    return next((p for p in places if p.is_dir() and (p / "1").is_dir()), None)
