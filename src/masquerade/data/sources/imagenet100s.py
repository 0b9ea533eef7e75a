"""imagenet100s: the images of ImageNet-100, to be trained and tested at 96 pixels.

ImageNet100-S of "Adversarial Masking for Self-Supervised Learning", Shi et al., 2022,
https://arxiv.org/abs/2201.13100. The authors' code tests it through Resize(256), CenterCrop(96):
it sees 14 % of an image's area, zoomed in. `OFFICIAL` is that crop, `PLAIN` the usual proportion.
"""

from pydantic import Field

from masquerade.data.sources import imagenet100

SIDE = 96  # pixels, in training and testing
OFFICIAL = 96 / 256  # centred share of the shorter side that the authors' code tests on
PLAIN = 96 / 110  # the same as 224 / 256 at 224 pixels


class Config(imagenet100.Config):
    """Settings of ImageNet100-S.

    Attributes:
        store: Longest side in the cache, in pixels; 0 chooses twice the training size, at least
            96. 352 keeps the detail that `OFFICIAL` shows of most images (47 GB); 192, which 0
            gives at 96 pixels, takes 14 GB.
    """

    store: int = Field(352, ge=0)
