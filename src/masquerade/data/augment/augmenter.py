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
from masquerade.data.augment.precision import floats, peak, resampling_dtype


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
        seeds = [seed.fold("view", v) for v in range(count)]
        drawn = [draw(self.policy, extent, s, rank, world) for s in seeds]
        outs = [self._empty(b, channels, images.device) for _ in drawn]
        if self.policy.exact:
            for one, out in zip(drawn, outs, strict=True):
                render(images, one, self.policy, out)
                self._standardise(out)
            return tuple(outs)
        colours = [mixing(d.factors, d.order, d.grey, channels) / peak(images) for d in drawn]
        for rows, source in floats(images, resampling_dtype(images)):
            for one, colour, out in zip(drawn, colours, outs, strict=True):
                out[rows] = self._view(source, one.rows(rows), colour[:, rows])
        return tuple(outs)

    def _view(
        self, source: Float[Tensor, "B H W C"], drawn: Draw, colour: Float[Tensor, "2 B C C"]
    ) -> Float[Tensor, "B C S S"]:
        """One view of a few images; `colour` takes their numbers to [0, 1]."""
        device, (height, width, channels) = source.device, source.shape[1:]
        top, left, tall, wide = drawn.box.to(device).unbind(1)
        bicubic = self.policy.interpolation == "bicubic"
        rows = sampling(top, tall, self.size, height, bicubic=bicubic)
        columns = sampling(
            left, wide, self.size, width, bicubic=bicubic, flip=drawn.flip.to(device)
        )
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
        return self._standardise(pixels.view(-1, channels, self.size, self.size))

    def _standardise(self, pixels: Float[Tensor, "B C S S"]) -> Float[Tensor, "B C S S"]:
        mean, std = (torch.tensor(n, device=pixels.device) for n in (self.mean, self.std))
        return pixels.sub_(mean[:, None, None]).div_(std[:, None, None])

    def _empty(self, b: int, channels: int, device: torch.device) -> Float[Tensor, "B C S S"]:
        layout = torch.channels_last if channels == 3 else torch.contiguous_format
        return torch.empty(b, channels, self.size, self.size, device=device, memory_format=layout)
