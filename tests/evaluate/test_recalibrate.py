from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from masquerade.core.errors import MissingData
from masquerade.core.seed import Seed
from masquerade.data.images import ImageSet
from masquerade.evaluate.frozen import Frozen
from masquerade.evaluate.recalibrate import MOST, norms, recalibrated, restored, statistics

Tinted = Callable[..., ImageSet]
MEAN, STD = (0.5,) * 3, (0.25,) * 3


class Body(nn.Module):
    """Two batch norms and a dropout, which must stay silent."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.BatchNorm2d(3)
        self.drop = nn.Dropout(0.5)
        self.conv = nn.Conv2d(3, 4, 3)
        self.second = nn.BatchNorm2d(4, momentum=0.2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.second(self.conv(self.drop(self.first(images)))).mean((2, 3))
        return found


def body(whole: Frozen) -> Body:
    assert isinstance(whole.encoder, Body)
    return whole.encoder


def running(norm: nn.BatchNorm2d) -> tuple[torch.Tensor, torch.Tensor]:
    """Running mean and variance."""
    assert norm.running_mean is not None and norm.running_var is not None
    return norm.running_mean.double(), norm.running_var.double()


def frozen(batch: int = 256, projector: nn.Module | None = None) -> Frozen:
    torch.manual_seed(0)
    made = Body().eval()
    assert made.first.running_mean is not None
    made.first.running_mean.fill_(7.0)
    return Frozen(made, 8, MEAN, STD, batch=batch, projector=projector)


def test_the_statistics_are_those_of_the_clean_images_by_definition(tinted: Tinted) -> None:
    images, whole = tinted(60), frozen()
    found = recalibrated(whole, images, 1.0, Seed(0))
    x = (torch.from_numpy(images.pixels).permute(0, 3, 1, 2).double() / 255 - 0.5) / 0.25
    mean, variance = running(body(found.frozen).first)
    torch.testing.assert_close(mean, x.mean((0, 2, 3)), atol=1e-5, rtol=0)
    torch.testing.assert_close(variance, x.var((0, 2, 3)), atol=1e-5, rtol=0)
    wide = x.std((0, 2, 3), correction=0)[:, None, None]
    normed = (x - x.mean((0, 2, 3))[:, None, None]) / (wide.square() + 1e-5).sqrt()
    second = body(whole).conv.double()(normed)  # no dropout on the way
    mean, _ = running(body(found.frozen).second)
    torch.testing.assert_close(mean, second.mean((0, 2, 3)), atol=1e-4, rtol=0)
    assert found.images == 60


def test_several_batches_are_averaged_plainly_and_are_of_equal_size(tinted: Tinted) -> None:
    images, whole = tinted(60), frozen(batch=25)  # 20, 20, 20 and never 25, 25, 10
    found = recalibrated(whole, images, 1.0, Seed(0))
    first = body(found.frozen).first
    assert first.num_batches_tracked == torch.tensor(3)
    x = (torch.from_numpy(images.pixels).permute(0, 3, 1, 2).double() / 255 - 0.5) / 0.25
    torch.testing.assert_close(running(first)[0], x.mean((0, 2, 3)), atol=1e-5, rtol=0)


def test_the_encoder_itself_is_left_as_it_was(tinted: Tinted) -> None:
    whole = frozen()
    before = {n: t.clone() for n, t in whole.encoder.state_dict().items()}
    found = recalibrated(whole, tinted(10), 1.0, Seed(0)).frozen
    assert all(torch.equal(t, before[n]) for n, t in whole.encoder.state_dict().items())
    assert not any(m.training for m in found.encoder.modules())
    assert [n.momentum for n in norms(found.encoder)] == [0.1, 0.2]
    weights = dict(found.encoder.named_parameters())
    assert all(torch.equal(p, weights[n]) for n, p in whole.encoder.named_parameters())


def test_equal_seeds_give_equal_statistics_and_labels_play_no_part(tinted: Tinted) -> None:
    images, bare = tinted(60), ImageSet("bare", tinted(60).pixels)
    one, two = (
        statistics(recalibrated(frozen(batch=16), some, 1.0, Seed(3)).frozen)
        for some in (images, bare)
    )
    assert all(torch.equal(one[n], two[n]) for n in one)
    other = statistics(recalibrated(frozen(batch=16), images, 1.0, Seed(4)).frozen)
    assert not all(torch.equal(one[n], other[n]) for n in one)


def test_at_most_2000_images_are_looked_at() -> None:
    pixels = np.zeros((MOST + 50, 8, 8, 3), np.uint8)
    pixels[::2] = 90
    found = recalibrated(frozen(), ImageSet("many", pixels), 1.0, Seed(0))
    assert found.images == MOST == 2000


def test_the_projector_is_treated_likewise(tinted: Tinted) -> None:
    projector = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5)).eval()
    whole = frozen(projector=projector)
    found = recalibrated(whole, tinted(60), 1.0, Seed(0)).frozen
    out = found.features(tinted(60), layer="projector")
    torch.testing.assert_close(out.mean(0), torch.zeros(5), atol=1e-4, rtol=0)
    assert {n.partition(".")[0] for n in statistics(found)} == {"encoder", "projector"}


def test_kept_statistics_give_the_same_features_again(tinted: Tinted) -> None:
    found = recalibrated(frozen(), tinted(60), 1.0, Seed(0)).frozen
    again = restored(frozen(), statistics(found))
    assert torch.equal(again.features(tinted(20)), found.features(tinted(20)))
    with pytest.raises(MissingData, match="of another encoder; evaluate the run again"):
        restored(frozen(), {"encoder.other.running_mean": torch.zeros(3)})


def test_without_batch_norm_it_is_the_same_encoder(pixels: Frozen, tinted: Tinted) -> None:
    found = recalibrated(pixels, tinted(5), 1.0, Seed(0))
    assert found.frozen is pixels and found.images == 0


def test_a_single_image_has_no_statistics(tinted: Tinted) -> None:
    with pytest.raises(ValueError, match="needs at least 2 images, tinted has 1"):
        recalibrated(frozen(), tinted(1), 1.0, Seed(0))
