"""TIFFs as they are: 8 or 16 bits, any number of channels, first time point of a stack."""

import logging
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from masquerade.data.finding import Unusable

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
MIN_IS_WHITE, PALETTE, SEPARATED = 0, 3, 5
MOST = 2**31  # bytes of one decoded image


class Sheet(NamedTuple):
    """A decoded TIFF.

    Attributes:
        pixels: uint8 or uint16 [H, W, C], not yet turned.
        orientation: 1 to 8, as EXIF counts.
        note: What was left out, "" where nothing was.
    """

    pixels: NDArray[Any]
    orientation: int
    note: str


def read(data: bytes, name: str) -> Sheet | None:
    """The first image of a TIFF with all its channels; None where Pillow should read it.

    Channels may be samples, planes or pages marked as channels (ImageJ, OME). Of other stacks
    (time, depth) the first plane is taken, and said.

    Raises:
        Unusable: Its values are not 8- or 16-bit unsigned, or its axes make no image.
    """
    import tifffile  # slow to import, needed by few

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it logs, it also raises
    with tifffile.TiffFile(BytesIO(data)) as file:
        page, series = file.pages[0], file.series[0]
        if page.photometric in (PALETTE, SEPARATED):
            return None
        if int(np.prod(series.shape)) * series.dtype.itemsize > MOST:
            raise Unusable(name, "enormous", f"decodes to {series.nbytes / 1e9:.1f} GB")
        axes, array = series.axes, series.asarray()
        orientation = page.tags[274].value if 274 in page.tags else 1
    note = ""
    while len(axes) > 2 and axes[0] not in "YSC":
        if array.shape[0] > 1:
            note = f"is a stack of {array.shape[0]} along {axes[0]}; the first is used"
        axes, array = axes[1:], array[0]
    if axes in ("SYX", "CYX"):
        array = array.transpose(1, 2, 0)
    elif axes == "YX":
        array = array[..., None]
    elif axes not in ("YXS", "YXC"):
        raise Unusable(name, "odd axes", f"has axes {axes}, which make no image")
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    if array.dtype not in (np.uint8, np.uint16):
        text = f"has {array.dtype} values; unsigned 8 or 16 bits can be kept: convert it"
        raise Unusable(name, "odd values", text)
    if page.photometric == MIN_IS_WHITE:
        array = np.iinfo(array.dtype).max - array
    return Sheet(array, orientation if orientation in range(1, 9) else 1, note)
