"""Digital damage: pixels that are too large, JPEG, and a picture drawn on rubber."""

import io

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from masquerade.evaluate.corrupting.blur import folded, smoothing
from masquerade.evaluate.corrupting.draws import Draws, Number

Images = Float[Tensor, "B C H W"]


def pixelate(x: Images, share: Number, draws: Draws) -> Images:
    """Shrunk to a share of its sides and back, both by the mean over boxes."""

    def pixelated(picture: Image.Image) -> Image.Image:
        w, h = picture.size
        small = picture.resize((int(w * share), int(h * share)), Image.Resampling.BOX)
        return small.resize((w, h), Image.Resampling.BOX)

    return torch.stack([as_tensor(pixelated(as_picture(image))) for image in x])


def jpeg_compression(x: Images, quality: int, draws: Draws) -> Images:
    """Through JPEG at a quality, as Pillow writes it."""

    def compressed(picture: Image.Image) -> Image.Image:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return torch.stack([as_tensor(compressed(as_picture(image))) for image in x])


def elastic_transform(x: Images, c: tuple[Number, Number, Number], draws: Draws) -> Images:
    """Three points are pulled by up to (pull), then every pixel by a smooth field.

    The field is uniform noise in -1..1, smoothed by (sigma) and multiplied by (reach); all in
    pixels.
    """
    reach, sigma, pull = c
    b, _, h, w = x.shape
    axes = torch.arange(h, dtype=torch.float64), torch.arange(w, dtype=torch.float64)
    rows, columns = torch.meshgrid(*axes, indexing="ij")
    backward = pulled((h, w), pull * (2 * draws.uniform(3, 2) - 1))
    place = torch.stack([columns.flatten(), rows.flatten(), torch.ones(h * w)])
    from_column, from_row = (backward @ place).view(b, 2, h, w).unbind(1)
    stretched = sampled(x, from_row, from_column, repeat=False)
    field = 2 * draws.uniform(2, h, w) - 1
    field = smoothing(h, sigma, 3.0, True) @ field @ smoothing(w, sigma, 3.0, True).T
    across, down = (reach * field).unbind(1)
    return sampled(stretched, rows + down, columns + across, repeat=True)


def pulled(shape: tuple[int, int], by: Float[Tensor, "B 3 2"]) -> Float[Tensor, "B 2 3"]:
    """Where each pixel (column, row, 1) comes from when three points about the centre move."""
    centre = torch.tensor([side // 2 for side in shape], dtype=torch.float64)
    arm = min(shape) // 3
    sides = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]], dtype=torch.float64)
    before = centre + arm * sides
    after = torch.cat([before + by, torch.ones(len(by), 3, 1)], dim=2)
    found: Tensor = torch.linalg.solve(after, before.expand(len(by), 3, 2))
    return found.mT


def sampled(
    x: Images,
    rows: Float[Tensor, "B H W"],
    columns: Float[Tensor, "B H W"],
    repeat: bool,
) -> Images:
    """Values between pixels, linearly; outside, the image is mirrored (see `folded`)."""
    b, c, h, w = x.shape
    total = torch.zeros_like(x)
    flat, top, left = x.flatten(2), rows.floor(), columns.floor()
    for down, tall in ((0, 1 - (rows - top)), (1, rows - top)):
        for right, wide in ((0, 1 - (columns - left)), (1, columns - left)):
            row = folded((top.long() + down).numpy(), h, repeat)
            column = folded((left.long() + right).numpy(), w, repeat)
            place = torch.from_numpy(row * w + column).flatten(1)[:, None].expand(b, c, h * w)
            total += (tall * wide)[:, None] * flat.gather(2, place).view(x.shape)
    return total


def as_picture(image: Float[Tensor, "C H W"]) -> Image.Image:
    """One image in [0, 1], whose values are whole 255ths, as Pillow has it."""
    pixels: NDArray[np.uint8] = (image * 255).round().byte().permute(1, 2, 0).numpy()
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def as_tensor(picture: Image.Image) -> Float[Tensor, "C H W"]:
    """The same back."""
    pixels = np.array(picture)
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    return torch.from_numpy(pixels).permute(2, 0, 1).double() / 255
