"""Weather: snow, a frosted pane, fog, and light."""

import torch
from jaxtyping import Float
from torch import Tensor

from masquerade.evaluate.corrupting.blur import dragged, enlarged
from masquerade.evaluate.corrupting.colour import grey, tinted
from masquerade.evaluate.corrupting.draws import Draws, Number

Images = Float[Tensor, "B C H W"]
ICE = (0.80, 0.90, 1.00)  # the colour of a frosted pane


def snow(
    x: Images, c: tuple[Number, Number, Number, Number, int, Number, Number], draws: Draws
) -> Images:
    """Flakes that fall, and their mirror image, over a paler picture.

    `c` is mean and deviation of the flakes, how far they are enlarged, below which value there
    is none, radius and deviation of their fall, and how much of the picture's colour stays.
    """
    mean, deviation, zoom, threshold, radius, sigma, kept = c
    layer = mean + deviation * draws.normal(1, *x.shape[2:])
    layer = enlarged(layer, zoom)
    layer = layer.where(layer >= threshold, 0).clamp(0, 1)
    layer = (dragged(layer, radius, sigma, -135 + 90 * draws.uniform()) * 255).floor() / 255
    pale = kept * x + (1 - kept) * torch.maximum(x, 1.5 * grey(x) + 0.5)
    return pale + layer + layer.rot90(2, (2, 3))


def frost_like(x: Images, c: tuple[Number, Number], draws: Draws) -> Images:
    """A pane of ice over the picture: (share of the picture) x + (share of the ice) ice.

    Note:
        The official frost crops six photographs whose origin nobody states. This is a texture of
        crystal ridges instead, so it is called frost-like and enters no published mean.
    """
    picture, ice = c
    h, w = x.shape[2:]
    fields = [plasma(max(h, w), decay, draws)[:, :, :h, :w] for decay in (1.35, 1.7)]
    fine, coarse = (1 - (2 * field - 1).abs() for field in fields)
    pane = (0.25 + 0.45 * coarse**2 + 0.5 * fine**4).clamp(0, 1)
    return picture * x + ice * tinted(pane, ICE, x.shape[1])


def fog(x: Images, c: tuple[Number, Number], draws: Draws) -> Images:
    """Clouds of a (thickness), the finer the smaller (decay) is; the brightest value stays."""
    thickness, decay = c
    h, w = x.shape[2:]
    brightest = x.amax(dim=(1, 2, 3), keepdim=True)
    clouds = plasma(max(h, w), decay, draws)[:, :, :h, :w]
    return (x + thickness * clouds) * brightest / (brightest + thickness)


def brightness(x: Images, more: Number, draws: Draws) -> Images:
    """The HSV value raised; hue and saturation stay."""
    value = x.amax(dim=1, keepdim=True)
    raised = (value + more).clamp(0, 1)
    return torch.where(value > 0, x * (raised / value.where(value > 0, 1)), raised)


def plasma(size: int, decay: Number, draws: Draws) -> Float[Tensor, "B 1 N N"]:
    """Random clouds in 0..1 by the diamond-square method, N the next power of two.

    Each pass halves the grid and divides the scale of what is added, 100 at first, by `decay`.
    What is added is that scale times a number drawn from plus or minus that scale, as in the
    official code: its size falls by the square of `decay`.
    """
    side = 1 << (size - 1).bit_length()
    b = len(draws.streams)
    field = torch.zeros(b, side, side, dtype=torch.float64)
    step, scale = side, 100.0

    def jittered(total: Tensor) -> Tensor:
        return total / 4 + scale**2 * (2 * draws.uniform(*total.shape[1:]) - 1)

    while step >= 2:
        half = step // 2
        corners = field[:, ::step, ::step]
        pairs = corners + corners.roll(-1, 1)
        field[:, half::step, half::step] = jittered(pairs + pairs.roll(-1, 2))
        middles, corners = field[:, half::step, half::step], field[:, ::step, ::step]
        above = middles + middles.roll(1, 1) + corners + corners.roll(-1, 2)
        field[:, ::step, half::step] = jittered(above)
        beside = middles + middles.roll(1, 2) + corners + corners.roll(-1, 1)
        field[:, half::step, ::step] = jittered(beside)
        step, scale = half, scale / decay
    field = field - field.amin(dim=(1, 2), keepdim=True)
    return (field / field.amax(dim=(1, 2), keepdim=True))[:, None]
