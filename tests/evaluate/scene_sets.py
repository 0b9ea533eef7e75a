"""Small scenes for the tests of dense protocols: rectangles in colours on grey, exactly masked."""

from typing import Any

import numpy as np
import torch

from masquerade.core.seed import Seed
from masquerade.data.dense import Dense, Objects
from masquerade.data.images import ImageSet
from masquerade.networks import backbone

COLOURS = ((220, 30, 30), (30, 30, 220))
CLASSES = ("red", "blue")


class Drawn(Dense):
    """What `masquerade.data.dense.Dense` gives, from lists."""

    def __init__(self, objects: list[Objects], shape: tuple[int, int], has_masks: bool = True):
        self.rows, self.shape, self.has_masks = objects, shape, has_masks

    def __len__(self) -> int:
        return len(self.rows)

    def __getstate__(self) -> dict[str, Any]:
        return dict(vars(self))

    def __setstate__(self, kept: dict[str, Any]) -> None:
        vars(self).update(kept)

    def objects(self, index: int) -> Objects:
        found = self.rows[index]
        return found if self.has_masks else found._replace(masks=None)

    def semantic(self, rows) -> torch.Tensor:
        return torch.stack([self._painted(int(i), True) for i in rows])

    def instances(self, rows) -> torch.Tensor:
        return torch.stack([self._painted(int(i), False) for i in rows])

    def subset(self, rows) -> "Drawn":
        return Drawn([self.rows[int(i)] for i in rows], self.shape, self.has_masks)

    def _painted(self, index: int, semantic: bool) -> torch.Tensor:
        canvas = torch.zeros(self.shape, dtype=torch.uint8)
        found = self.rows[index]
        assert found.masks is not None
        for k, mask in enumerate(found.masks):
            value = 255 if found.crowd[k] else int(found.labels[k]) + 1
            canvas[mask] = value if semantic else k + 1
        return canvas


def scenes(count: int, name: str = "drawn", size: int = 32, masks: bool = True) -> ImageSet:
    """One to three rectangles in each image, later ones in front; none in the last."""
    stream = np.random.default_rng(Seed(0).fold(name).integer())
    pixels = stream.integers(90, 130, (count, size, size, 3)).astype(np.uint8)
    rows = []
    for i in range(count):
        wanted = 0 if i == count - 1 else int(stream.integers(1, 4))
        full = np.zeros((wanted, size, size), bool)
        labels = stream.integers(0, 2, wanted)
        boxes = np.zeros((wanted, 4), np.float32)
        for k in range(wanted):
            h, w = stream.integers(8, 16, 2)
            y, x = stream.integers(0, size - h), stream.integers(0, size - w)
            boxes[k] = x, y, x + w, y + h
            full[k, y : y + h, x : x + w] = True
            full[:k, y : y + h, x : x + w] = False
            pixels[i, y : y + h, x : x + w] = COLOURS[labels[k]]
        crowd = torch.zeros(wanted, dtype=torch.bool)
        parts = (torch.from_numpy(boxes), torch.from_numpy(labels), crowd, torch.from_numpy(full))
        rows.append(Objects(*parts))
    dense = Drawn(rows, (size, size), masks)
    return ImageSet(name, pixels, dense=dense, classes=CLASSES)


def encoder(size: int = 32) -> backbone.Backbone:
    """A ResNet of a hundred thousand parameters."""
    torch.manual_seed(0)
    options = {"layers": [1, 1, 1, 1], "channels": [8, 16, 16, 32]}
    config = backbone.Config(name="resnet18", stem="small", options=options)
    return config.build(size, 3, (0.43, 0.43, 0.43), (0.15, 0.15, 0.15)).eval()
