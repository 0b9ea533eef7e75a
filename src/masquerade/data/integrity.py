"""Damage that Pillow passes over in silence, leaving grey, black or garbled pixels.

PNG carries checksums that Pillow does not compare for pixels. libjpeg paints grey where data end
early, and decodes holes full of zeros (from broken disks and downloads) into patterns.
"""

import struct
import zlib
from io import BytesIO

import numpy as np
from PIL import Image

from masquerade.data.finding import BROKEN

GREY = 128  # what libjpeg paints where the data end early
HOLE = bytes(512)  # in a row
SCAN, TABLES, END = b"\xff\xda", b"\xff\xc4", b"\xff\xd9"


def flaw(form: str | None, data: bytes) -> str:
    """What is wrong with the bytes of a PNG or JPEG, as the rest of a sentence; "" if nothing."""
    if form == "PNG":
        return png_flaw(data)
    return jpeg_hole(data) if form in ("JPEG", "MPO") else ""


def png_flaw(data: bytes) -> str:
    """Compares the checksums of the parts that hold pixels."""
    place = 8
    while place + 12 <= len(data):
        length, kind = struct.unpack(">I4s", data[place : place + 8])
        check = place + 8 + length
        if check + 4 > len(data):
            return ""  # cut off: the decoder says so
        if kind in (b"IHDR", b"PLTE", b"IDAT"):
            (stored,) = struct.unpack(">I", data[check : check + 4])
            if zlib.crc32(data[place + 4 : check]) != stored:
                return f"is damaged: the checksum of its {kind.decode()} part is wrong"
        if kind == b"IEND":
            return ""
        place = check + 4
    return ""


def jpeg_hole(data: bytes) -> str:
    """Finds long runs of zeros that no picture could have been coded as.

    A plain area may be all zeros if the shortest code means "nothing more in this block". In
    tables where it means a value, zeros are a hole.
    """
    scan = data.find(SCAN)
    hole = data.find(HOLE, scan)
    end = data.rfind(END)
    if scan < 0 or hole < 0 or (hole > end > scan) or plain_is_zero(data, scan):
        return ""
    return f"is damaged: from byte {hole:,} on, {len(HOLE)} or more bytes of the picture are zero"


def plain_is_zero(data: bytes, scan: int) -> bool:
    """Whether the all-zero code of the brightness table (AC, number 0) ends a block."""
    place = data.find(TABLES)
    while 0 <= place < scan:
        (length,) = struct.unpack(">H", data[place + 2 : place + 4])
        at, end = place + 4, place + 2 + length
        while at + 17 < end:
            if data[at] == 0x10:
                return data[at + 17] & 0x0F == 0
            at += 17 + sum(data[at + 1 : at + 17])
        place = data.find(TABLES, end)
    return True  # no such table before the scan: cannot tell


def ends_early(image: Image.Image, data: bytes) -> bool:
    """Whether libjpeg ran out of data and painted the rest grey, without a word.

    It looks like a grey lower right corner. To tell it from a grey picture, more data are put
    before the end mark: they change the picture only if some were missing.
    """
    corner = np.asarray(image.crop((image.width - 4, image.height - 4, *image.size)))
    if (corner != GREY).any():
        return False
    more = bytes(range(1, 200)) * 20
    end = data.rfind(END)
    again = Image.open(BytesIO(data[:end] + more + data[end:]), formats=("JPEG",))
    again.draft(None, image.size)
    try:
        again.load()
    except BROKEN:
        return True
    return again.size != image.size or again.tobytes() != image.tobytes()
