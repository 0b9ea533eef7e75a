"""What a view may look like: the crop, colour and blur distributions of each paper.

Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", 2020.
https://arxiv.org/abs/2002.05709 ; Shi et al., "Adversarial Masking for Self-Supervised
Learning", 2022. https://arxiv.org/abs/2201.13100
"""

from typing import Literal

from pydantic import Field, model_validator

from masquerade.core.config import Settings

SMALL = 64  # at most so many pixels: SimCLR's settings for CIFAR, not those for ImageNet


class Policy(Settings):
    """The distribution every view of an image is drawn from; the defaults are SimCLR's at 224 px.

    Attributes:
        crop_scale: Smallest and largest share of the image's area that a crop covers, before it
            is resized. (1, 1) with `crop_ratio=(1, 1)` keeps a square image whole.
        crop_ratio: Smallest and largest width / height of a crop; its logarithm is uniform.
        flip: Chance of a left-right flip.
        jitter: Chance that brightness, contrast, saturation and hue change, in random order.
        brightness: b draws a factor from U(max(0, 1 - b), 1 + b). 0 leaves it alone.
        contrast: The same, around the image's mean grey (around each channel's own mean where
            images do not have 3 channels).
        saturation: The same, around each pixel's grey. Only images of 3 channels have it.
        hue: h draws a turn of the colour circle from U(-h, h), at most half a turn. Only images
            of 3 channels have it.
        grey: Chance that colour goes altogether. Only images of 3 channels have it.
        blur: Chance of a Gaussian blur.
        blur_sigma: Smallest and largest standard deviation of the blur, in pixels of the view.
        solarise: Chance that values from 128/255 on are inverted.
        interpolation: How pixels are resampled; both are antialiased where they shrink.
        exact: Render image by image with torchvision's v2 functions instead of in batches.
            Equal seeds draw equal parameters either way. Slower, for comparisons; see
            `masquerade.data.augment.color` for what differs.
    """

    crop_scale: tuple[float, float] = (0.08, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = Field(0.5, ge=0, le=1)
    jitter: float = Field(0.8, ge=0, le=1)
    brightness: float = Field(0.8, ge=0)
    contrast: float = Field(0.8, ge=0)
    saturation: float = Field(0.8, ge=0)
    hue: float = Field(0.2, ge=0, le=0.5)
    grey: float = Field(0.2, ge=0, le=1)
    blur: float = Field(0.5, ge=0, le=1)
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    solarise: float = Field(0.0, ge=0, le=1)
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    exact: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> "Policy":
        for name, pair in (
            ("crop_scale", self.crop_scale),
            ("crop_ratio", self.crop_ratio),
            ("blur_sigma", self.blur_sigma),
        ):
            if not 0 < pair[0] <= pair[1]:
                raise ValueError(f"{name} must be two positive numbers, smaller first, got {pair}")
        if self.crop_scale[1] > 1:
            raise ValueError(
                f"crop_scale is a share of the image, at most 1, got {self.crop_scale}"
            )
        return self


def simclr(size: int) -> Policy:
    """SimCLR's views at `size` pixels.

    Above 64 px those for ImageNet: colour strength 1, blur with probability 0.5. Up to 64 px those
    for CIFAR-10 (appendix B.9 of the paper): colour strength 0.5, no blur.

    Note:
        The official code cuts the blur's kernel at 10 % of the size (23 pixels at 224); here the
        Gaussian is whole, as in PIL. At 224 px the part cut off weighs less than 1e-7.
    """
    if size <= SMALL:
        return Policy(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, blur=0.0)
    return Policy()


def adios(
    brightness: float = 0.8, contrast: float = 0.8, saturation: float = 0.8, hue: float = 0.2
) -> Policy:
    """Views of every ADIOS run: bicubic, crops from 8 % of the area on, blur at any size.

    The authors' scripts differ in the strength of the colours only; the defaults are what those
    have that name none.
    """
    return Policy(
        brightness=brightness,
        contrast=contrast,
        saturation=saturation,
        hue=hue,
        interpolation="bicubic",
    )
