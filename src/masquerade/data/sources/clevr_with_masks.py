"""clevr_with_masks: 100,000 rendered scenes of 3 to 10 objects with exact masks, 240 x 320.

Kabra et al., "Multi-Object Datasets", 2019. https://github.com/google-deepmind/multi_object_datasets.
Read from the one file of records as it is released, without TensorFlow. ADIOS measures its masks on
this set. Boxes are drawn around what shows of each object; the class is its shape, a
number.
"""

from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from masquerade.data import cache, progress, tfrecord
from masquerade.data.dense import Dense
from masquerade.data.develop import stamp
from masquerade.data.drawing import Drawing, Pile, edge
from masquerade.data.images import ImageSet
from masquerade.data.sources.base import SourceConfig, found

PLACES = ("clevr_with_masks", "clevr", "multi-object-datasets", "")
FILE = "clevr_with_masks_train.tfrecords"
HEIGHT, WIDTH, ENTITIES = 240, 320, 11  # the first entity is the background
SHAPES = ("shape 1", "shape 2", "shape 3")  # the file has numbers; 0 is no object
ADVICE = (
    "Get it with: gsutil cp gs://multi-object-datasets/clevr_with_masks/"
    f"{FILE} . (see https://github.com/google-deepmind/multi_object_datasets)."
)


class Config(SourceConfig):
    """Settings of CLEVR with masks.

    Attributes:
        root: The folder that holds the file, or a folder clevr_with_masks with it.
        count: Training images: the first ones after those of "test". They are kept at full size,
            0.3 MB each.
        count_test: Images in "test": the first of the file, as usual.
    """

    root: str = "data"
    count: int = Field(10000, ge=1)
    count_test: int = Field(320, ge=1)

    def splits(self) -> tuple[str, ...]:
        """train, test."""
        return ("train", "test")

    def load(self, split: str, size: int) -> ImageSet:
        """Reads the scenes once, then maps them from the cache; `size` is ignored."""
        self.known(split)
        path = found(self.root, PLACES, FILE, ADVICE) / FILE
        start = 0 if split == "test" else self.count_test
        count = self.count_test if split == "test" else self.count
        name = f"clevr_with_masks {split}"
        content = cache.key("clevr_with_masks", str(path), stamp(path), start, count)
        made = cache.prepared(name, content, lambda b: fill(b, path, start, count))
        return ImageSet(
            name,
            made.arrays["pixels"],
            targets={"mask": made.arrays["mask"]},
            dense=Dense(made.arrays, (HEIGHT, WIDTH), None),
            classes=SHAPES,
            files=tuple(f"{path.stem}/{start + i}" for i in range(count)),
            folder=made.folder,
        )


def fill(builder: cache.Builder, path: Path, start: int, count: int) -> None:
    """Unpacks some scenes into a cache entry.

    Raises:
        ValueError: The file is damaged, of another set, or has fewer scenes.
    """
    pixels = builder.array("pixels", "uint8", (count, HEIGHT, WIDTH, 3))
    mask = builder.array("mask", "uint8", (count, HEIGHT, WIDTH))
    pile, row = Pile(len(SHAPES), (HEIGHT, WIDTH)), 0
    with progress.shown(f"unpacking {count:,} scenes of {builder.name}", count) as advance:
        for message in islice(tfrecord.records(path), start, start + count):
            pixels[row], drawing = unpacked(path, start + row, message)
            assert drawing.masks is not None
            for k, one in enumerate(drawing.masks):
                mask[row][one] = k + 1
            pile.add(drawing, (HEIGHT, WIDTH))
            row += 1
            advance(1)
    if row < count:
        raise ValueError(
            f"{path} holds {start + row:,} scenes, {start + count:,} are asked for. Lower "
            "data.count, or get it again"
        )
    pile.write(builder)


def unpacked(path: Path, row: int, message: memoryview) -> tuple[NDArray[np.uint8], Drawing]:
    """The image of a record, and its objects."""
    who = f"scene {row} of {path}"
    try:
        told = tfrecord.features(message)
        image = single_bytes(told["image"]).reshape(HEIGHT, WIDTH, 3)
        masks = single_bytes(told["mask"]).reshape(ENTITIES, HEIGHT, WIDTH)[1:] > 127
        shapes = single_bytes(told["shape"]).reshape(ENTITIES)[1:]
    except (KeyError, ValueError) as error:
        raise ValueError(f"{who} is not one of CLEVR with masks: {error}") from None
    there = [k for k, mask in enumerate(masks) if mask.any()]
    labels = shapes[there].astype(np.int64)
    if len(labels) and not 1 <= labels.min() <= labels.max() <= len(SHAPES):
        raise ValueError(f"{who} has objects of shape {sorted(set(labels))}; it must be 1, 2 or 3")
    return image, Drawing(
        who,
        (HEIGHT, WIDTH),
        np.array([edge(masks[k]) for k in there], np.float32).reshape(-1, 4),
        labels - 1,
        np.zeros(len(there), np.bool_),
        masks[there],
    )


def single_bytes(packed: memoryview) -> NDArray[np.uint8]:
    """A list of strings of one byte each, as this set keeps its numbers; or one long string."""
    flat = np.frombuffer(packed, np.uint8)
    if flat.size % 3 == 0 and (flat[::3] == 0x0A).all() and (flat[1::3] == 1).all():
        return flat[2::3]
    return np.frombuffer(b"".join(bytes(part) for _, part in tfrecord.fields(packed)), np.uint8)
