"""Views of a batch: one resampling, one colour matrix, standardised, on any device."""

import torch
from jaxtyping import Float, Int, UInt8, UInt16
from torch import Tensor

from masquerade.core.seed import Seed
from masquerade.data.augment.blur import blurring
from masquerade.data.augment.color import mixing
from masquerade.data.augment.draw import Draw, draw
from masquerade.data.augment.exact import render
from masquerade.data.augment.geometry import resample, sampling
from masquerade.data.augment.policy import Policy
from masquerade.data.augment.precision import Piece, peak, pieces, resampling_dtype


class Augmenter:
    """Draws standardised views of a policy.

    Attributes:
        policy: The distribution of the views.
        size: Their height and width.
        mean: Mean of each channel in [0, 1] units; becomes 0.
        std: Standard deviation of each channel in [0, 1] units; becomes 1.
    """

    def __init__(
        self, policy: Policy, size: int, mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        if len(mean) != len(std) or min(std) <= 0:
            raise ValueError(f"mean and positive std need one number a channel, got {mean}, {std}")
        self.policy, self.size, self.mean, self.std = policy, size, mean, std

    def views(
        self,
        images: UInt8[Tensor, "B C H W"] | UInt16[Tensor, "B C H W"],
        extent: Int[Tensor, "B 2"],
        seed: Seed,
        count: int = 2,
        rank: int = 0,
        world: int = 1,
    ) -> tuple[Float[Tensor, "B C S S"], ...]:
        """Independent views of each image, standardised: 0 is the mean colour.

        Args:
            images: Pixels from 0 to 255 or 65535, on the device the views shall be on. Channels
                last in memory is the fast layout. Not changed.
            extent: Height and width of what each canvas holds, from its top left corner. Best kept
                on the CPU, where the boxes are computed.
            seed: Of the step; view v draws from `seed.fold("view", v)`.
            count: How many views.
            rank: These are rows `rank * B` to `(rank + 1) * B` of the global batch.
            world: The global batch has `B * world` rows, and parameters are drawn for all.

        Returns:
            `count` float32 batches, channels last in memory where there are 3 channels.
        """
        b, channels = images.shape[:2]
        if channels != len(self.mean):
            raise ValueError(
                f"images have {channels} channels, but mean and std are given for {len(self.mean)}"
            )
        drawn = Draw.joined(
            draw(self.policy, extent, seed.fold("view", v), rank, world) for v in range(count)
        )
        layout = torch.channels_last if channels == 3 else torch.contiguous_format
        shape = (count * b, channels, self.size, self.size)
        out = torch.empty(shape, device=images.device, memory_format=layout)
        views = out.view(count, b, *shape[1:])
        if self.policy.exact:
            render(images, drawn, self.policy, out)
            self._standardise(out)
            return tuple(views[v] for v in range(count))
        colour = mixing(drawn.factors, drawn.order, drawn.grey, channels) / peak(images)
        number = torch.arange(count * b).view(count, b)
        boxes = drawn.box.view(count, b, 4)
        for piece in pieces(images, boxes, resampling_dtype(images)):
            these = number[:, piece.rows].flatten()
            pixels = self._pixels(piece, drawn.rows(these), colour[:, these])
            views[:, piece.rows] = self._standardise(pixels).view(count, -1, *shape[1:])
        return tuple(views[v] for v in range(count))

    def _pixels(
        self, piece: Piece, drawn: Draw, colour: Float[Tensor, "2 V C C"]
    ) -> Float[Tensor, "V C S S"]:
        """All views of a few images, in [0, 1], to which `colour` takes the piece's numbers."""
        source = piece.pixels
        device, (height, width, channels) = source.device, source.shape[1:]
        top, left, tall, wide = drawn.box.to(device).unbind(1)
        bicubic, flip = self.policy.interpolation == "bicubic", drawn.flip.to(device)
        rows = sampling(top - piece.top, tall, self.size, height, bicubic=bicubic)
        columns = sampling(left - piece.left, wide, self.size, width, bicubic=bicubic, flip=flip)
        rows, columns = rows.to(source.dtype), columns.to(source.dtype)
        blurred = drawn.sigma.nonzero()[:, 0]
        if len(blurred):
            soft = blurring(drawn.sigma[blurred].to(device), self.size).to(source.dtype)
            blurred = blurred.to(device)
            rows[blurred] = soft @ rows[blurred]
            columns[blurred] = soft @ columns[blurred]
        pixels = resample(source, rows, columns).float().flatten(2)
        image, mean = colour.to(device)
        offset = mean @ pixels.mean(2, keepdim=True)
        pixels = torch.baddbmm(offset, image, pixels).clamp_(0, 1)
        if drawn.solarise.any():
            inverted = drawn.solarise.to(device)[:, None, None] & (pixels >= 128 / 255)
            pixels = torch.where(inverted, 1 - pixels, pixels)
        return pixels.view(-1, channels, self.size, self.size)

    def _standardise(self, pixels: Float[Tensor, "B C S S"]) -> Float[Tensor, "B C S S"]:
        mean, std = (torch.tensor(n, device=pixels.device) for n in (self.mean, self.std))
        return pixels.sub_(mean[:, None, None]).div_(std[:, None, None])
