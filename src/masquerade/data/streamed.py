"""Pixels that are decoded whenever they are read, for sets that do not fit on the disk decoded.

Every image is decoded once before, to judge it and to know the canvas; no pixels are kept then.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from masquerade.core.cores import cores
from masquerade.core.errors import BadImages
from masquerade.data import cache
from masquerade.data.decode import Plan, content, developed, opened, suffix
from masquerade.data.develop import Survey, agreeing, judged, spread_out, whole
from masquerade.data.finding import Unusable
from masquerade.data.raster import shrunk
from masquerade.data.stored import Stored


class Streamed:
    """Stands where an array [N, H, W, C] of pixels would; reads in threads.

    Attributes:
        shape: [N, H, W, C].
        dtype: uint8 or uint16.
        ndim: 4.
    """

    def __init__(
        self, files: Sequence[Stored], plan: Plan, canvas: Sequence[int], dtype: str
    ) -> None:
        self.shape = (len(files), *canvas)
        self.dtype = np.dtype(dtype)
        self.ndim = len(self.shape)
        self._files = files
        self._plan = plan

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Images as arrays have them: by number, by an array of numbers, or a part of one."""
        if isinstance(key, tuple):
            part: NDArray[Any] = self[key[0]][key[1:]]
            return part
        if isinstance(key, int | np.integer):
            return self._decoded(int(key))
        rows = np.asarray(key, np.int64)
        out = np.empty((len(rows), *self.shape[1:]), self.dtype)
        with ThreadPoolExecutor(max(1, min(cores(), len(rows)))) as threads:
            for place, image in enumerate(threads.map(self._decoded, rows.tolist())):
                out[place] = image
        return out

    def _decoded(self, row: int) -> NDArray[Any]:
        file = self._files[row]
        try:
            data = content(file)
            picture, _ = opened(data, suffix(file), file.name, self._plan)
            size = shrunk(picture.shape, self._plan.longest)
            image, _ = developed(picture, data, size, file.name, self._plan)
        except Unusable as bad:
            raise BadImages(f"{bad}, though it could be used before: {file.path}") from None
        return spread_out(image, self.shape[1:], self.dtype)


def index(builder: cache.Builder, survey: Survey) -> None:
    """What must be known of images before they are streamed: sizes, digests, which are bad."""
    items = list(enumerate(survey.files))
    what = f"decoding {len(items):,} images of {builder.name} once, to know the bad ones"
    heads = agreeing(survey.files, judged(what, whole, survey.plan, items))
    kept = [i for i, head in enumerate(heads) if head.usable]
    extent = builder.array("extent", "int32", (len(kept), 2))
    if kept:
        extent[:] = [heads[i].stored[:2] for i in kept]
    sizes = [heads[i].stored for i in kept] or [(1, 1, 1)]
    deep = any(heads[i].bits == 16 for i in kept)
    builder.about["canvas"] = [max(size[axis] for size in sizes) for axis in range(3)]
    builder.about["dtype"] = "uint16" if deep else "uint8"
    builder.about["kept"] = kept
    builder.about["contents"] = [heads[i].digest for i in kept]
    builder.about["findings"] = [f for head in heads for f in head.findings]
