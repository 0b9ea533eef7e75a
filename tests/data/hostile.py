"""A folder of bad files, each named after what is wrong with it; used by every hostile test."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

# name -> (problem, action) that doctor must find
EXPECTED = {
    "animated.gif": ("animated", "use"),
    "animated.png": ("animated", "use"),
    "bomb.png": ("enormous", "skip"),
    "broken_link.jpg": ("broken link", "skip"),
    "cmyk.jpg": ("CMYK", "use"),
    "constant.png": ("one colour", "use"),
    "same_as_good_0.jpg": ("duplicate", "use"),
    "cut_and_closed.jpg": ("truncated", "skip"),
    "dark16.png": ("dark", "use"),
    "hole.jpg": ("damaged", "skip"),
    "hole.webp": ("suspicious", "use"),
    "zero_tail.jpg": ("damaged", "skip"),
    "empty.jpg": ("empty", "skip"),
    "five_channels.tif": ("not an image", "skip"),
    "line.png": ("extreme shape", "use"),
    "long_name\\nwith_line_break.png": ("tiny", "use"),
    "mislabelled.jpg": ("wrong suffix", "use"),
    "no_suffix": ("wrong suffix", "use"),
    "noise.jpg": ("not an image", "skip"),
    "not_utf8_\\xff.png": ("tiny", "use"),
    "pipe.jpg": ("not a file", "ignore"),
    "rotated.jpg": ("rotated", "use"),
    "sixteen.png": ("16-bit", "use"),
    "text.png": ("not an image", "skip"),
    "tiny.png": ("tiny", "use"),
    "transparent.png": ("transparent", "use"),
    "truncated.jpg": ("truncated", "skip"),
    "truncated.png": ("truncated", "skip"),
    "truncated_lzw.tif": ("truncated", "skip"),
    "truncated.tif": ("truncated", "skip"),
    "wrong_checksum.png": ("damaged", "skip"),
    "zeros.jpg": ("not an image", "skip"),
    "._resource.jpg": ("hidden", "ignore"),
    "loop": ("link loop", "ignore"),
}


def scene(height: int = 48, width: int = 64, seed: int = 0) -> Image.Image:
    """A picture with a red left upper, green right upper and blue left lower corner."""
    rng = np.random.Generator(np.random.PCG64(seed))
    small = rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    for corner, colour in (((0, 0), "red"), ((width - 8, 0), "lime"), ((0, height - 8), "blue")):
        image.paste(colour, (*corner, corner[0] + 8, corner[1] + 8))
    return image


def write(root: Path, good: int = 8) -> None:
    """Fills a folder with `good` sound JPEGs and every file of `EXPECTED`."""
    root.mkdir(parents=True, exist_ok=True)
    for i in range(good):
        scene(seed=i + 1).save(root / f"good_{i}.jpg", quality=92)
    image = scene()
    image.save(root / "rotated.jpg", exif=turned_by(6))
    jpeg = (root / "good_0.jpg").read_bytes()
    image.save(root / "animated.gif", save_all=True, append_images=[scene(seed=99)])
    image.save(root / "animated.png", save_all=True, append_images=[scene(seed=99)])
    (root / "bomb.png").write_bytes(bomb(60_000))
    (root / "broken_link.jpg").symlink_to(root / "gone.jpg")
    image.convert("CMYK").save(root / "cmyk.jpg")
    Image.new("RGB", (40, 40), (9, 9, 9)).save(root / "constant.png")
    (root / "same_as_good_0.jpg").write_bytes(jpeg)
    (root / "cut_and_closed.jpg").write_bytes(jpeg[: len(jpeg) // 2] + b"\xff\xd9")
    grey16 = np.asarray(image.convert("L")).astype(np.uint16)
    Image.fromarray(grey16 * 4).save(root / "dark16.png")
    Image.fromarray(grey16 * 257).save(root / "sixteen.png")
    large = scene(480, 640)
    for name in ("jpg", "webp"):
        large.save(root / f"large.{name}", quality=95)
        data = (root / f"large.{name}").read_bytes()
        half = len(data) // 2
        (root / f"hole.{name}").write_bytes(data[:half] + bytes(2048) + data[half + 2048 :])
    data = (root / "large.jpg").read_bytes()
    (root / "zero_tail.jpg").write_bytes(data[: len(data) // 2] + bytes(len(data) // 2))
    (root / "empty.jpg").write_bytes(b"")
    five_channels(root / "five_channels.tif")
    scene(16, 640).save(root / "line.png")
    scene(8, 8).resize((6, 6)).save(root / "long_name\nwith_line_break.png")
    image.save(root / "mislabelled.jpg", format="PNG")
    image.save(root / "no_suffix", format="PNG")
    (root / "noise.jpg").write_bytes(bytes(i * 37 % 251 for i in range(4000)))
    with open(os.fsencode(root) + b"/not_utf8_\xff.png", "wb") as file:  # noqa: PTH123 (bytes name)
        scene(8, 8).resize((7, 7)).save(file, format="PNG")
    os.mkfifo(root / "pipe.jpg")
    (root / "text.png").write_text("this is no image\n")
    scene(8, 8).resize((5, 5)).save(root / "tiny.png")
    cutout = image.convert("RGBA")
    cutout.putalpha(Image.linear_gradient("L").resize(image.size))
    cutout.save(root / "transparent.png")
    (root / "truncated.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    image.save(root / "whole.png")
    png = (root / "whole.png").read_bytes()
    (root / "truncated.png").write_bytes(png[: len(png) // 2])
    middle = png.index(b"IDAT") + 20
    (root / "wrong_checksum.png").write_bytes(
        png[:middle] + bytes([png[middle] ^ 0xFF]) + png[middle + 1 :]
    )
    image.save(root / "whole.tif")
    tif = (root / "whole.tif").read_bytes()
    (root / "truncated.tif").write_bytes(tif[: len(tif) // 2])
    large.save(root / "whole_lzw.tif", compression="tiff_lzw")
    tif = (root / "whole_lzw.tif").read_bytes()
    (root / "truncated_lzw.tif").write_bytes(tif[: len(tif) // 2])
    (root / "zeros.jpg").write_bytes(b"\0" * 3000)
    (root / "._resource.jpg").write_bytes(jpeg)
    (root / "notes.txt").write_text("about these images\n")
    (root / "loop").symlink_to(root)


def turned_by(orientation: int) -> Image.Exif:
    """EXIF that says how the camera was held."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def bomb(side: int) -> bytes:
    """A PNG header that claims side x side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    packed = zlib.compress(bytes(1000))
    chunks = chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def five_channels(path: Path, dtype: str = "uint8") -> None:
    """A TIFF as satellites give them; channel c of pixel (y, x) is 10 c + y."""
    import tifffile

    y = np.arange(12, dtype=dtype)[:, None, None]
    c = np.arange(5, dtype=dtype)[None, None] * 10
    image = np.broadcast_to(y + c, (12, 16, 5)) + np.zeros((12, 16, 5), dtype)
    tifffile.imwrite(path, image, photometric="minisblack", planarconfig="contig")
