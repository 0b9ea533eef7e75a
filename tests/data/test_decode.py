"""Decoding: Pillow's own conversions are the reference, written out here the plain way."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_image
from tests.data.hostile import scene, turned_by

from masquerade.data.decode import Judged, Plan, judge
from masquerade.data.raster import Channels


def decoded(path: Path, channels: Channels = "rgb", longest: int = 0) -> Judged:
    return judge(path, path.name, Plan(channels, longest))


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image.copy()


def same(made: Judged, expected: Image.Image | np.ndarray) -> bool:
    array = np.asarray(expected)
    array = array[..., None] if array.ndim == 2 else array
    return (
        made.pixels is not None
        and made.pixels.dtype == array.dtype
        and bool(made.pixels.shape == array.shape and (made.pixels == array).all())
    )


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["jpg", "png", "tif"])
def test_every_orientation_is_turned_as_pillow_turns_it(
    tmp_path: Path, form: str, orientation: int
) -> None:
    file = tmp_path / f"x.{form}"
    scene(40, 64).save(file, exif=turned_by(orientation))
    made = decoded(file)
    plain = opened(file)
    upright = plain if form == "tif" else ImageOps.exif_transpose(plain)
    assert upright.size == ((40, 64) if orientation >= 5 else (64, 40))
    assert same(made, upright.convert("RGB"))
    assert made.shape == (upright.height, upright.width)
    small = decoded(file, longest=32)
    assert small.stored == ((32, 20, 3) if orientation >= 5 else (20, 32, 3))


@pytest.mark.parametrize(
    ("mode", "form"),
    [("RGB", "png"), ("L", "png"), ("1", "png"), ("P", "png"), ("P", "gif"), ("CMYK", "jpg"),
     ("YCbCr", "jpg"), ("L", "jpg"), ("RGB", "bmp"), ("RGB", "webp"), ("L", "pgm"), ("RGB", "jp2")],
)  # fmt: skip
def test_every_mode_is_converted_as_pillow_converts_it(
    tmp_path: Path, mode: str, form: str
) -> None:
    file = tmp_path / f"x.{form}"
    scene().convert(mode).save(file)
    grey = opened(file)
    assert same(decoded(file), grey.convert("RGB"))
    assert same(decoded(file, "grey"), (grey if mode in "1L" else grey.convert("RGB")).convert("L"))


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    image = scene().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    image.save(tmp_path / "x.png")
    made = decoded(tmp_path / "x.png").pixels
    straight = np.asarray(image).astype(float)
    alpha = straight[..., 3:] / 255
    expected = straight[..., :3] * alpha + 255 * (1 - alpha)
    assert made is not None and np.abs(made - expected).max() <= 1


def test_a_transparent_colour_of_a_palette_becomes_white(tmp_path: Path) -> None:
    image = Image.new("P", (16, 16), 1)
    image.putpalette([0, 0, 0, 200, 10, 10])
    image.paste(0, (0, 0, 8, 16))
    image.save(tmp_path / "x.png", transparency=0)
    made = decoded(tmp_path / "x.png").pixels
    assert made is not None
    assert (made[:, :8] == 255).all() and (made[:, 8:] == [200, 10, 10]).all()


def test_sixteen_bits_are_reduced_by_their_full_scale_or_kept(tmp_path: Path) -> None:
    deep = np.linspace(0, 65535, 40 * 30).reshape(40, 30).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "x.png")
    tifffile.imwrite(tmp_path / "x.tif", deep)
    for file in (tmp_path / "x.png", tmp_path / "x.tif"):
        reduced = decoded(file, "grey").pixels
        assert reduced is not None and np.abs(reduced[..., 0] - deep / 257).max() <= 0.5
        assert same(decoded(file, "keep"), deep)


def test_floats_between_0_and_1_are_light(tmp_path: Path) -> None:
    Image.fromarray(np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20)).save(
        tmp_path / "x.tif"
    )
    made = decoded(tmp_path / "x.tif", "grey").pixels
    assert made is not None and (made.min(), made.max()) == (0, 255)


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_keep_keeps_the_channels_of_a_tiff(tmp_path: Path, planar: str, dtype: str) -> None:
    image = np.arange(20 * 30 * 5).reshape(20, 30, 5).astype(dtype)
    laid = image if planar == "contig" else image.transpose(2, 0, 1)
    file = tmp_path / "x.tif"
    tifffile.imwrite(file, laid, photometric="minisblack", planarconfig=planar)
    assert same(decoded(file, "keep"), image)


def test_a_shrunk_image_is_pillows_bicubic(tmp_path: Path) -> None:
    image = scene(200, 300)
    image.save(tmp_path / "x.png")
    made = decoded(tmp_path / "x.png", longest=96)
    assert same(made, image.resize((96, 64), Image.Resampling.BICUBIC))
    deep = np.asarray(image.convert("L")).astype(np.uint16) * 200
    tifffile.imwrite(tmp_path / "x.tif", deep)
    small = decoded(tmp_path / "x.tif", "keep", 96).pixels
    reference = np.asarray(
        Image.fromarray(deep.astype(np.float32)).resize((96, 64), Image.Resampling.BICUBIC)
    )
    assert small is not None and np.abs(small[..., 0] - reference.clip(0, 65535)).max() <= 0.5


@pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
@pytest.mark.parametrize("longest", [64, 96, 200])
def test_the_fast_path_of_large_jpegs_agrees_within_two_levels(
    tmp_path: Path, name: str, longest: int
) -> None:
    photo = Image.fromarray(load_sample_image(name)).resize((1920, 1281))
    photo.save(tmp_path / "x.jpg", quality=92)
    made = decoded(tmp_path / "x.jpg", longest=longest).pixels
    assert made is not None
    size = made.shape[1], made.shape[0]
    reference = opened(tmp_path / "x.jpg").resize(size, Image.Resampling.BICUBIC)
    difference = np.abs(made.astype(int) - np.asarray(reference).astype(int))
    assert difference.mean() < 0.1
    assert np.quantile(difference, 0.9995) <= 2 and difference.max() <= 4


def test_a_grey_corner_that_belongs_to_the_picture_is_no_damage(tmp_path: Path) -> None:
    image = scene(96, 128)
    image.paste((128, 128, 128), (0, 48, 128, 96))
    image.save(tmp_path / "x.jpg", quality=95)
    assert decoded(tmp_path / "x.jpg").findings == ()


@pytest.mark.parametrize(
    ("optimize", "progressive"), [(False, False), (True, False), (False, True)]
)
def test_a_plain_picture_is_not_taken_for_a_hole(
    tmp_path: Path, optimize: bool, progressive: bool
) -> None:
    image = Image.new("RGB", (3000, 2000), "white")
    image.paste(scene(), (0, 0))
    image.save(tmp_path / "x.jpg", optimize=optimize, progressive=progressive)
    assert decoded(tmp_path / "x.jpg").usable


@pytest.mark.parametrize("form", ["jpg", "png", "gif", "bmp", "webp", "tif", "ppm", "jp2"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_no_file_that_was_cut_passes(tmp_path: Path, form: str, share: float) -> None:
    file = tmp_path / f"x.{form}"
    scene(96, 128).save(file)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    assert not decoded(file).usable
