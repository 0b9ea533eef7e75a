import pytest
import torch
from jaxtyping import UInt8
from sklearn.datasets import load_sample_images
from torch import Tensor


@pytest.fixture(scope="session")
def photos() -> UInt8[Tensor, "B 3 96 96"]:
    """Pieces of the two photographs that scikit-learn ships, channels last in memory."""
    wholes = [torch.from_numpy(image.copy()) for image in load_sample_images().images]
    pieces = [
        whole[y : y + 96, x : x + 96]
        for whole in wholes
        for y in range(0, 331, 110)
        for x in range(0, 544, 90)
    ]
    return torch.stack(pieces).permute(0, 3, 1, 2)
