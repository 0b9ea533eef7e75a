"""Formats of image files: their names and suffixes, and what bytes are that no decoder knows."""

from functools import cache

from PIL import Image

from masquerade.data import tiff

# Raster formats only: EPS would start Ghostscript, TGA has no signature and accepts noise.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM")
SUFFIXES = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), ("JPEG", "MPO")),
    **dict.fromkeys((".jp2", ".j2k", ".jpx", ".jpf", ".jpc"), ("JPEG2000",)),
    **dict.fromkeys((".pnm", ".ppm", ".pgm", ".pbm"), ("PPM",)),
    **dict.fromkeys((".tif", ".tiff"), ("TIFF",)),
    **dict.fromkeys((".bmp", ".dib"), ("BMP", "DIB")),
    **dict.fromkeys((".png", ".apng"), ("PNG",)),
    **{".gif": ("GIF",), ".webp": ("WEBP",), ".avif": ("AVIF",), ".tga": ("TGA",)},
    **dict.fromkeys((".heic", ".heif"), ("HEIF",)),
}


def readable(suffix: str) -> tuple[str, ...]:
    """The formats this Pillow can open (AVIF is not built into all), TGA only by its name."""
    return (*installed(), "TGA") if suffix == ".tga" else installed()


@cache
def installed() -> tuple[str, ...]:
    """Those of `FORMATS` that this Pillow has."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def unidentified(data: bytes, suffix: str) -> tuple[str, str]:
    """Why no decoder knows these bytes: the problem, and the rest of a sentence."""
    if data[4:8] == b"ftyp" and suffix in (".heic", ".heif"):
        return "not an image", "is HEIC, which cannot be read here: convert it to JPEG"
    if data[:4] in tiff.SIGNATURES:
        first = int.from_bytes(data[4:8], "little" if data[:2] == b"II" else "big")
        if first + 2 > len(data):
            return "truncated", "is a TIFF that is cut off"
        text = "is a TIFF of a kind Pillow cannot read; data.channels=keep may read it"
        return "not an image", text
    if data[4:8] == b"ftyp" and suffix == ".avif":
        return "damaged", "is an AVIF that is cut off, or of a kind Pillow cannot read"
    if not data.strip(b"\0"):
        return "not an image", f"holds nothing but {len(data):,} zero bytes"
    lie = ", whatever its name says" if suffix in SUFFIXES else ""
    return "not an image", f"is not an image{lie}"
