"""One image file: what is wrong with it, what is done about it, and its pixels.

Pillow is the reference; tifffile reads what Pillow cannot (16-bit and many-channel TIFF) when
`channels="keep"`. `judge` is the only judgement there is: doctor and pretraining both ask it.
Never a traceback: what a decoder raises becomes a `Finding`. Imports no torch, so that worker
processes start fast.
"""

import warnings
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from masquerade.data import tiff
from masquerade.data.finding import BROKEN, Finding, Unusable
from masquerade.data.formats import SUFFIXES, readable, unidentified
from masquerade.data.integrity import HOLE, ends_early, flaw
from masquerade.data.raster import (
    Channels,
    levelled,
    resized,
    shrunk,
    transparent,
    turned,
    upright,
)
from masquerade.data.stored import File, Stored

TINY = 8  # pixels; a shorter side than this is suspicious
LONG = 10  # a side this many times the other is suspicious
PACKED = ("JPEG", "MPO", "WEBP", "AVIF")  # hardly ever have long runs of zeros
GAPS = "has a long run of zero bytes, as after a broken download"
# JPEGs are decoded at a half, quarter or eighth where that is 8 times what is stored: at 8, all
# but one value in 2,000 agree within 2 levels with full decoding; at 4, one in 200 does not.
GAP = 8


class Plan(NamedTuple):
    """How files become pixels.

    Attributes:
        channels: "rgb" (3), "grey" (1) or "keep" (what the file has).
        longest: Larger images are shrunk until their longer side has this many pixels; 0 never.
    """

    channels: Channels
    longest: int


class Judged(NamedTuple):
    """What became of one file.

    Attributes:
        digest: blake2b-128 of the file's bytes, "" where they could not be read.
        shape: Height and width in the file, upright; (0, 0) for an unusable file.
        stored: Height, width and channels as they are kept.
        bits: 8 or 16.
        pixels: [H, W, C], None for an unusable file and where only the header was asked for.
        findings: Whatever a person should know.
    """

    digest: str
    shape: tuple[int, int]
    stored: tuple[int, int, int]
    bits: int
    pixels: NDArray[Any] | None
    findings: tuple[Finding, ...]

    @property
    def usable(self) -> bool:
        """Whether pretraining uses it."""
        return all(f.action != "skip" for f in self.findings)


class Picture(NamedTuple):
    """An image file that opened: its header, and how to get the rest."""

    shape: tuple[int, int]
    turned: int
    bands: int
    bits: int
    lazy: Image.Image | NDArray[Any]


def judge(path: Path, name: str, plan: Plan, pixels: bool = True) -> Judged:
    """Reads a file and says what it is worth; arguments as `judge_stored`."""
    return judge_stored(File(path, name), plan, pixels)


def judge_stored(file: Stored, plan: Plan, pixels: bool = True) -> Judged:
    """Reads an image, wherever it is stored, and says what it is worth.

    Args:
        file: Where it is, and what to call it in findings.
        plan: How to decode it.
        pixels: False reads the header only; what is wrong further on stays unseen.
    """
    name = file.name
    digest = ""
    found: list[Finding] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            data = content(file)
            digest = blake2b(data, digest_size=16).hexdigest()
            picture, found = opened(data, suffix(file), name, plan)
            stored = shrunk(picture.shape, plan.longest)
            array = None
            if pixels:
                array, seen = developed(picture, data, stored, name, plan)
                found += seen
        except Unusable as bad:
            found = [*found, bad.finding]
            return Judged(digest, (0, 0), (0, 0, 0), 8, None, tuple(found))
    found += [f for w in caught if (f := warned(name, w)) is not None]
    return Judged(
        digest, picture.shape, (*stored, picture.bands), picture.bits, array, tuple(found)
    )


def content(file: Stored) -> bytes:
    """The bytes of an image; raises `Unusable`."""
    try:
        data = file.content()
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}"
        raise Unusable(file.name, "unreadable", reason) from None
    if not data:
        raise Unusable(file.name, "empty", "is empty (0 bytes)")
    return data


def suffix(file: Stored) -> str:
    """What the name says it is: ".jpg", or "" where it says nothing."""
    return (file.path if isinstance(file, File) else Path(file.name)).suffix.lower()


def opened(data: bytes, suffix: str, name: str, plan: Plan) -> tuple[Picture, list[Finding]]:
    """The header of an image, and what it tells; raises `Unusable`."""
    found: list[Finding] = []
    image = header(data, suffix, name, plan)
    if isinstance(image, tiff.Sheet):
        shape = upright(image.pixels.shape[:2], image.orientation)
        bits = 16 if image.pixels.dtype == np.uint16 else 8
        if image.note:
            found.append(Finding(name, "several", image.note, "use"))
        picture = Picture(shape, image.orientation, image.pixels.shape[2], bits, image.pixels)
    else:
        # Pillow turns TIFFs by itself while it loads, and gives their upright size.
        turned = 1 if image.format == "TIFF" else orientation(image)
        shape = upright((image.height, image.width), turned)
        grey = image.mode in ("1", "L", "LA", "La", "I", "F") or image.mode.startswith("I;16")
        bands = 1 if plan.channels == "grey" or (plan.channels == "keep" and grey) else 3
        deep = plan.channels == "keep" and image.mode.startswith("I")
        picture = Picture(shape, turned, bands, 16 if deep else 8, image)
        found += remarks(image, data, suffix, name, plan)
    if picture.turned != 1 or (isinstance(image, Image.Image) and orientation(image) != 1):
        found.append(Finding(name, "rotated", "is turned upright as its EXIF says", "use"))
    height, width = shape
    if min(shape) < TINY:
        found.append(Finding(name, "tiny", f"has only {width} x {height} pixels", "use"))
    if max(shape) > LONG * min(shape):
        text = f"is {width} x {height}, more than {LONG} times as long as wide"
        found.append(Finding(name, "extreme shape", text, "use"))
    return picture, found


def header(data: bytes, suffix: str, name: str, plan: Plan) -> "Image.Image | tiff.Sheet":
    """An image that is open but not decoded; many-channel TIFFs are decoded. Raises `Unusable`."""
    try:
        if plan.channels == "keep" and data[:4] in tiff.SIGNATURES:
            sheet = tiff.read(data, name)
            if sheet is not None:
                return sheet
        return Image.open(BytesIO(data), formats=readable(suffix))
    except Image.DecompressionBombError:
        raise Unusable(
            name,
            "enormous",
            f"claims more than {2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6:.0f} million pixels: "
            "a decompression bomb, or a picture to be cut into tiles first",
        ) from None
    except UnidentifiedImageError:
        raise Unusable(name, *unidentified(data, suffix)) from None
    except BROKEN as error:
        raise Unusable(name, "damaged", f"cannot be opened: {error}") from None


def remarks(image: Image.Image, data: bytes, suffix: str, name: str, plan: Plan) -> list[Finding]:
    """What a header tells that a person should know."""
    found: list[tuple[str, str]] = []
    megapixels = image.width * image.height / 1e6
    expected = SUFFIXES.get(suffix, ())
    if expected and image.format not in expected:
        found.append(("wrong suffix", f"is really {image.format}, not {suffix}"))
    elif not expected:
        found.append(("wrong suffix", f"is {image.format} without the suffix of an image"))
    if megapixels > (Image.MAX_IMAGE_PIXELS or 0) / 1e6:
        found.append(("enormous", f"has {megapixels:.0f} million pixels"))
    frames = getattr(image, "n_frames", 1)  # single-frame formats lack it
    if frames > 1 and image.format != "MPO":
        found.append(("animated", f"has {frames} frames or pages; the first is used"))
    if image.mode == "CMYK":
        found.append(("CMYK", "is CMYK, converted to RGB"))
    if transparent(image):
        found.append(("transparent", "has transparency, laid over white"))
    if plan.channels != "keep" and sixteen(image, data):
        found.append(("16-bit", "has 16 bits, reduced to 8; data.channels=keep keeps them"))
    return [Finding(name, problem, reason, "use") for problem, reason in found]


def developed(
    picture: Picture, data: bytes, stored: tuple[int, int], name: str, plan: Plan
) -> tuple[NDArray[Any], list[Finding]]:
    """The pixels as stored, and what they tell; raises `Unusable`."""
    height, width = stored if picture.turned < 5 else stored[::-1]
    image, box = picture.lazy, None
    found: list[Finding] = []
    try:
        if isinstance(image, Image.Image):
            if text := flaw(image.format, data):
                raise Unusable(name, "damaged", text)
            if image.format in PACKED and HOLE in data:
                found.append(Finding(name, "suspicious", f"{GAPS}; look at it", "use"))
            if image.format in ("JPEG", "MPO") and plan.longest:
                drafted = image.draft(None, (width * GAP, height * GAP))
                box = drafted[1] if drafted else None
            image.load()
            if image.format in ("JPEG", "MPO") and ends_early(image, data):
                raise Unusable(name, "truncated", "ends early; the rest would be plain grey")
            image, seen = levelled(image, name, plan.channels)
            found += seen
        array = turned(resized(image, (height, width), box), picture.turned)
    except BROKEN as error:
        text = str(error)
        cut = "truncated" in text or isinstance(error, EOFError)
        problem, reason = ("truncated", "is cut off") if cut else ("damaged", "cannot be decoded")
        raise Unusable(name, problem, f"{reason}: {text}") from None
    if (array == array[:1, :1]).all() and array.size > 3:
        found.append(Finding(name, "one colour", "is one plain colour", "use"))
    return np.ascontiguousarray(array), found


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) to 8; 1 where EXIF is absent or broken."""
    try:
        value = image.getexif().get(0x0112, 1)
    except BROKEN:
        return 1
    return value if value in range(1, 9) else 1


def sixteen(image: Image.Image, data: bytes) -> bool:
    """Whether a file has 16 bits per channel."""
    if image.mode.startswith("I") or image.mode == "F":
        return True
    if image.format == "PNG":
        return data[24] == 16
    bits = image.tag_v2.get(258, ()) if hasattr(image, "tag_v2") else ()  # TIFF: BitsPerSample
    return 16 in (bits if isinstance(bits, tuple) else (bits,))


def warned(name: str, warning: warnings.WarningMessage) -> Finding | None:
    """A decoder's warning as a finding; None for what is said elsewhere."""
    said_elsewhere = issubclass(warning.category, Image.DecompressionBombWarning)
    if said_elsewhere or issubclass(warning.category, DeprecationWarning):
        return None
    text = " ".join(str(warning.message).split())
    if text.startswith("Palette images with Transparency"):
        return None
    return Finding(name, "warned", f"decodes with a warning: {text}", "use")


assert not ImageFile.LOAD_TRUNCATED_IMAGES, "truncated images must not pass for whole ones"
