"""The U-Net that looks at an image and gives the features masks are made from.

`genesis` is the network of ADIOS's official code: "Adversarial Masking for Self-Supervised
Learning", Shi et al., 2022. https://arxiv.org/abs/2201.13100, after GENESIS, Engelcke et al.,
2020. https://arxiv.org/abs/1907.13052. Its bottleneck flattens the coarsest map, which ties its
weights to one image size, and it exists for few sizes. `free` is the same network with a
bottleneck that always sees a 4 x 4 summary of the coarsest map, so that one set of weights takes
images of any size and shape.
"""

from collections.abc import Callable
from math import log2
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

Norm = Literal["gn", "in", "no"]

GROUPS = 8  # of GroupNorm, as in the official code
CODE = 128  # width of the bottleneck
SUMMARY = 4  # side of the map that the free bottleneck sees; genesis has 4 at 32, 64 and 128 px


class UNet(nn.Module):
    """Features of every pixel, from a small convolutional encoder and decoder with skips.

    Args:
        size: Side of the images in pixels. `genesis` takes no other afterwards; `free` only
            chooses its depth by it.
        width: Channels of the finest level and of the output; the coarse levels have twice as
            many. A multiple of 8 for norm "gn".
        norm: After each convolution: 8-group normalisation, instance normalisation, or none.
        levels: Resolutions, 4 to 6. None takes `default_levels`.
        arch: `genesis` or `free`, see above.
        inputs: Channels of the images.

    Attributes:
        channels: Channels of the output, equal to `width`.

    Raises:
        ValueError: No such network exists for this size or width.
    """

    def __init__(
        self,
        size: int,
        width: int,
        norm: Norm = "gn",
        levels: int | None = None,
        arch: Literal["genesis", "free"] = "genesis",
        inputs: int = 3,
    ) -> None:
        super().__init__()
        if norm == "gn" and width % GROUPS:
            raise ValueError(f"width must be a multiple of {GROUPS} for norm=gn, got {width}")
        levels = default_levels(size, arch) if levels is None else levels
        if not 4 <= levels <= 6:
            raise ValueError(f"levels must be 4, 5 or 6, got {levels}")
        if arch == "genesis" and size % 2 ** (levels - 1):
            raise ValueError(
                f"arch=genesis with {levels} levels takes images whose side is a multiple of "
                f"{2 ** (levels - 1)}, got {size} px. Use arch=free for any size"
            )
        self.size = size
        self.channels = width
        self.arch = arch
        fine, coarse = [width] * (levels - 3), [2 * width] * 3
        outs = fine + coarse
        self.down = nn.ModuleList(
            block(c, d, norm) for c, d in zip([inputs, *outs], outs, strict=False)
        )
        rising = [2 * width] * 2 + [width] * (levels - 2)
        self.up = nn.ModuleList(
            block(c + skip, d, norm)
            for c, skip, d in zip([2 * width, *rising], reversed(outs), rising, strict=False)
        )
        side = SUMMARY if arch == "free" else size // 2 ** (levels - 1)
        self.mlp = nn.Sequential(
            nn.Flatten(),
            nn.Linear(2 * width * side**2, CODE),
            nn.ReLU(),
            nn.Linear(CODE, CODE),
            nn.ReLU(),
            nn.Linear(CODE, 2 * width * side**2),
            nn.ReLU(),
        )

    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D H W"]:
        """Features of each pixel of standardised images.

        Raises:
            ValueError: `genesis` was built for another image size.
        """
        h, w = images.shape[-2:]
        if self.arch == "genesis" and (h, w) != (self.size, self.size):
            raise ValueError(
                f"this U-Net takes {self.size} x {self.size} images, got {h} x {w}. "
                "arch=free takes any size"
            )
        x = images.contiguous()
        skips: list[Tensor] = []
        for level in self.down:
            x = x if not skips else x[..., ::2, ::2]
            x = level(x)
            skips.append(x)
        x = self._bottleneck(x)
        for level in self.up:
            skip = skips.pop()
            if x.shape[-2:] != skip.shape[-2:]:
                x = F.interpolate(x, size=skip.shape[-2:])
            x = level(torch.cat([x, skip], 1))
        return x

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "UNet":
        # Stays contiguous when the model around it is moved to channels_last: with its few
        # channels and GroupNorm, bfloat16 takes 3 to 4 times as long in that layout on a CPU.
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        for parameter in self.parameters():
            parameter.data = parameter.data.contiguous()
        return self

    def _bottleneck(self, x: Tensor) -> Tensor:
        seen = x if self.arch == "genesis" else F.adaptive_avg_pool2d(x, SUMMARY)
        code: Tensor = self.mlp(seen).reshape(seen.shape)
        if self.arch == "genesis":
            return code
        return F.interpolate(code, size=x.shape[-2:], mode="bilinear")


def block(channels: int, out: int, norm: Norm) -> nn.Sequential:
    """3 x 3 convolution, normalisation, ReLU."""
    conv = nn.Conv2d(channels, out, 3, padding=1, bias=norm == "no")
    if norm == "gn":
        return nn.Sequential(conv, nn.GroupNorm(GROUPS, out), nn.ReLU(inplace=True))
    if norm == "in":
        return nn.Sequential(conv, nn.InstanceNorm2d(out, affine=True), nn.ReLU(inplace=True))
    return nn.Sequential(conv, nn.ReLU(inplace=True))


def default_levels(size: int, arch: Literal["genesis", "free"]) -> int:
    """How many resolutions images of a size get.

    The official rule, which keeps the side of the coarsest map at 4 to 8 pixels; for `free` the
    nearest of 4 to 6 levels.

    Raises:
        ValueError: The official rule gives a depth the official network does not have.
    """
    if size < 16:
        raise ValueError(f"the U-Net needs images of at least 16 px, got {size}")
    levels = int(log2(size) - 1)
    if arch == "free":
        return min(max(levels, 4), 6)
    if not 4 <= levels <= 6:
        raise ValueError(
            f"arch=genesis takes images of 32 to 255 px, got {size} px. Use arch=free for any size"
        )
    return levels
