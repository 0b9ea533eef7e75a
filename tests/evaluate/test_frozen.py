from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from masquerade.core.errors import Diverged
from masquerade.data.images import ImageSet
from masquerade.evaluate.frozen import Frozen, Pixels
from masquerade.networks import backbone

Tinted = Callable[..., ImageSet]
OPTIONS = {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]}


class Counting(nn.Module):
    """The mean colour, and how often it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return images.mean(dim=(2, 3)) * self.scale


def counting(cache: Path | None = None, bf16: bool = False) -> tuple[Frozen, Counting]:
    encoder = Counting()
    return Frozen(encoder, 8, (0.5,) * 3, (0.25,) * 3, cache=cache, bf16=bf16), encoder


def test_pixels_are_the_standardised_image_as_a_row(pixels: Frozen, tinted: Tinted) -> None:
    images = tinted(5)
    want = (images.pixels.transpose(0, 3, 1, 2).reshape(5, -1) / 255 - 0.5) / 0.25
    np.testing.assert_allclose(pixels.features(images), want, atol=1e-5)


def test_a_backbone_is_shown_what_it_was_built_for(tinted: Tinted) -> None:
    config = backbone.Config(options=OPTIONS)
    torch.manual_seed(0)
    encoder = config.build(16, 3, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)).eval()
    frozen = Frozen.of(encoder)
    features = frozen.features(tinted(5))
    assert features.shape == (5, encoder.dim)
    shown = torch.cat(list(frozen.shown(tinted(5))))
    assert shown.shape == (5, 3, 16, 16)
    torch.testing.assert_close(features, encoder(shown).detach(), rtol=1e-4, atol=1e-5)
    assert frozen.pixels().features(tinted(5)).shape == (5, 3 * 16 * 16)


def test_pixels_of_large_images_are_taken_at_32() -> None:
    assert Frozen(Pixels(), 96, (0.5,), (0.2,)).pixels().size == 32


def test_the_projector_comes_after_the_backbone(tinted: Tinted) -> None:
    projector = nn.Linear(3, 2)
    frozen = Frozen(Counting(), 8, (0.5,) * 3, (0.25,) * 3, projector=projector)
    want = projector(frozen.features(tinted(5))).detach()
    torch.testing.assert_close(frozen.features(tinted(5), layer="projector"), want)
    with pytest.raises(ValueError, match="without its projector"):
        counting()[0].features(tinted(5), layer="projector")


def test_features_are_kept_by_encoder_images_and_transform(tinted: Tinted, tmp_path: Path) -> None:
    frozen, encoder = counting(tmp_path)
    first = frozen.features(tinted(5))
    again, other = counting(tmp_path)
    assert torch.equal(again.features(tinted(5)), first)
    assert (encoder.calls, other.calls) == (1, 0)
    again.features(tinted(5), crop=0.5)
    again.features(tinted(5, name="others"))
    assert other.calls == 2
    with torch.no_grad():
        other.scale.fill_(2)
    torch.testing.assert_close(again.features(tinted(5)), 2 * first)
    lower, low = counting(tmp_path, bf16=True)
    lower.features(tinted(5))
    assert low.calls == 1


def test_labels_are_no_part_of_what_is_kept(tinted: Tinted, tmp_path: Path) -> None:
    frozen, encoder = counting(tmp_path)
    frozen.features(tinted(5))
    frozen.features(ImageSet("bare", tinted(5).pixels))
    assert encoder.calls == 1


def test_another_number_of_channels_is_refused(pixels: Frozen, tinted: Tinted) -> None:
    grey = ImageSet("grey", tinted(5).pixels[..., :1])
    with pytest.raises(ValueError, match="takes images of 3 channels, grey has 1"):
        pixels.features(grey)


def test_nan_features_are_refused_with_their_number(tinted: Tinted) -> None:
    frozen, encoder = counting()
    with torch.no_grad():
        encoder.scale.fill_(torch.nan)
    with pytest.raises(Diverged, match="for 5 of 5 images of tinted"):
        frozen.features(tinted(5))
