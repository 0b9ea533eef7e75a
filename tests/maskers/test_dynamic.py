"""Budgets of each image: the sizes of its colours, and what a mask of another size pays."""

import pytest
import torch

from masquerade.core.seed import Seed
from masquerade.engine.task import Progress
from masquerade.maskers import clusters, sequential, sequential_dynamic

NOW = Progress(0, 10, 5)


def striped(*widths: int) -> torch.Tensor:
    """Images whose columns have as many colours as there are widths."""
    column = torch.cat([torch.full((w,), float(3 * i)) for i, w in enumerate(widths)])
    return column.expand(1, 3, len(column), len(column)).clone()


def test_clusters_are_the_colours_largest_first():
    images = torch.cat([striped(2, 9, 5), striped(10, 4, 2)])
    found = clusters.clusters(images, 3)
    assert found[0, 0].tolist() == [2] * 2 + [0] * 9 + [1] * 5
    assert found[1, 0].tolist() == [0] * 10 + [1] * 4 + [2] * 2
    assert torch.equal(clusters.clusters(images[1:], 3), found[1:])  # each image by itself
    shares = clusters.shares(images, 3)
    assert (shares * 16).round(decimals=3).tolist() == [[9, 5, 2], [10, 4, 2]]
    assert clusters.shares(torch.zeros(1, 3, 8, 8), 3).tolist() == [[1, 0, 0]]


def test_no_cluster_can_be_moved_to_a_nearer_centre():
    images = torch.randn(4, 3, 8, 8, generator=Seed(0).generator())
    found = clusters.clusters(images, 4, steps=100)
    for image, labels in zip(images.flatten(2).mT, found.flatten(1), strict=True):
        centres = torch.stack([image[labels == k].mean(0) for k in range(4)])
        assert torch.equal(torch.cdist(image, centres).argmin(1), labels)


def test_place_makes_far_pixels_of_one_colour_two_clusters():
    image = striped(4, 8, 4)
    image[:, :, :, 12:] = 0  # the left and the right stripe have one colour
    together = clusters.clusters(image, 2)[0, 0]
    assert together[0] == together[15]
    assert together[0] != together[8]
    apart = clusters.clusters(image, 3, place=20.0)[0, 0]
    assert apart[0] != apart[15]


def test_a_mask_pays_for_its_distance_to_its_own_image_s_budget():
    config = sequential_dynamic.Config(
        masks=2, clusters=3, width=8, norm="gn", overlap=0, consistency=0, budget_weight=2.0
    )
    masker = config.build(32, 3)
    images = torch.cat([striped(2, 9, 5), striped(10, 4, 2)])
    wanted = torch.tensor([[9 / 16, 5 / 16], [0.6, 4 / 16]])  # 10/16 is above `most`
    torch.testing.assert_close(masker.budgets(images), wanted)
    exact = wanted[:, :, None, None].expand(2, 2, 16, 16)
    assert float(masker.price([exact], [images], NOW)) == pytest.approx(0, abs=1e-12)
    off = exact + torch.tensor([0.1, -0.1])[:, None, None]
    assert float(masker.price([off, exact], [images] * 2, NOW)) == pytest.approx(2 * 0.01)


def test_the_rest_of_the_price_is_sequential_s():
    config = sequential_dynamic.Config(masks=3, width=8, norm="gn", budget_weight=0)
    masks = torch.rand(2, 3, 16, 16, generator=Seed(0).generator())
    plain = sequential.Config(masks=3, budget_weight=0)
    found = config.build(32, 3).price([masks], [torch.zeros(2, 3, 16, 16)], NOW)
    torch.testing.assert_close(found, sequential.penalty(masks, plain))


def test_budgets_that_no_mask_could_keep_are_refused():
    with pytest.raises(ValueError, match="no budget for each of masks=5"):
        sequential_dynamic.Config(masks=5, clusters=3)
    with pytest.raises(ValueError, match="control=paper"):
        sequential_dynamic.Config(control="held")
    with pytest.raises(ValueError, match="above most"):
        sequential_dynamic.Config(least=0.5, most=0.2)
