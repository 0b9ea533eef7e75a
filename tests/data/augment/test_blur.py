import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from masquerade.data.augment.blur import blurring


def test_blur_is_a_gaussian_with_reflected_edges(photos: Tensor):
    image = photos[:1].float()
    for sigma in (0.1, 0.5, 1.0, 2.0):
        soft = blurring(torch.tensor([sigma]), 96)
        expected = F.gaussian_blur(image, [25, 25], [sigma, sigma])  # 6 sigma each way
        assert torch.allclose(soft @ image @ soft.mT, expected, atol=0.01)  # of 255


def test_every_row_weighs_1_and_no_weight_is_negative():
    soft = blurring(torch.linspace(0.01, 3, 20), 12)
    assert torch.allclose(soft.sum(2), torch.ones(20, 12))
    assert soft.min() >= 0


def test_a_vanishing_sigma_changes_nothing():
    assert torch.equal(blurring(torch.tensor([0.01]), 9)[0], torch.eye(9))
