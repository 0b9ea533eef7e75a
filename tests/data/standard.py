"""Small copies of the standard sets with their exact names and formats.

Image 0 of each is `corners`: red left above, green right above, blue left below, so that a set
read transposed, mirrored or with its channels swapped is caught.
"""

import gzip
import pickle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


def corners(side: int) -> Bytes:
    image = np.full((side, side, 3), 128, np.uint8)
    image[: side // 4, : side // 4] = 255, 0, 0
    image[: side // 4, -side // 4 :] = 0, 255, 0
    image[-side // 4 :, : side // 4] = 0, 0, 255
    return image


def several(count: int, side: int) -> Bytes:
    noise = np.random.Generator(np.random.PCG64(0))
    images = noise.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    images[0] = corners(side)
    return images


def cifar(root: Path, hundred: bool, count: int = 6) -> None:
    base = root / ("cifar-100-python" if hundred else "cifar-10-batches-py")
    base.mkdir(parents=True)
    rows = several(count, 32).transpose(0, 3, 1, 2).reshape(count, 3072)
    batch = {"data": rows, "filenames": [f"x_{i}.png" for i in range(count)]}
    if hundred:
        batch |= {"fine_labels": list(range(count)), "coarse_labels": [1] * count}
        meta = {
            "fine_label_names": [f"fine_{i}" for i in range(100)],
            "coarse_label_names": [f"coarse_{i}" for i in range(20)],
        }
        names, meta_name = ["train", "test"], "meta"
    else:
        batch |= {"labels": [i % 10 for i in range(count)]}
        meta = {"label_names": [f"name_{i}" for i in range(10)]}
        names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
        meta_name = "batches.meta"
    for name in names:
        (base / name).write_bytes(pickle.dumps(batch, protocol=2))
    (base / meta_name).write_bytes(pickle.dumps(meta, protocol=2))


def stl10(root: Path, count: int = 4, unlabelled: int = 6) -> None:
    base = root / "stl10_binary"
    base.mkdir(parents=True)
    for name, n in (("train", count), ("test", count), ("unlabeled", unlabelled)):
        columns = several(n, 96).transpose(0, 3, 2, 1)  # channel, column, row
        (base / f"{name}_X.bin").write_bytes(columns.tobytes())
    for name in ("train", "test"):
        (base / f"{name}_y.bin").write_bytes(bytes(i % 10 + 1 for i in range(count)))


def fashion_mnist(folder: Path, packed: bool, count: int = 5) -> None:
    folder.mkdir(parents=True)
    grey = several(count, 28)[..., 0]
    for part in ("train", "t10k"):
        images = np.array([0x803, count, 28, 28], ">i4").tobytes() + grey.tobytes()
        labels = np.array([0x801, count], ">i4").tobytes() + bytes(range(count))
        for name, data in (("images-idx3", images), ("labels-idx1", labels)):
            file = folder / f"{part}-{name}-ubyte"
            if packed:
                file.with_suffix(".gz").write_bytes(gzip.compress(data))
            else:
                file.write_bytes(data)
