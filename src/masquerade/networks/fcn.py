"""FCN: a classifier at every place of the last feature maps, summed up coarse to fine.

Long et al., "Fully Convolutional Networks for Semantic Segmentation", 2015.
https://arxiv.org/abs/1411.4038: FCN-32s reads the last map alone, 16s the last two, 8s the last
three. Scores are enlarged bilinearly, which is what the learned enlargement of the paper starts as.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from masquerade.networks.backbone import Backbone

Form = Literal["32s", "16s", "8s"]
READ: dict[Form, int] = {"32s": 1, "16s": 2, "8s": 3}  # how many of the last maps


class FCN(nn.Module):
    """Scores for every pixel from a backbone's maps.

    Attributes:
        backbone: Whose maps are read.
        heads: A 1 x 1 convolution for each map that is read, coarsest first; they start at 0, as
            in the paper.
    """

    def __init__(self, backbone: Backbone, classes: int, form: Form) -> None:
        super().__init__()
        self.backbone = backbone
        with torch.no_grad():
            blank = torch.zeros(1, backbone.channels, backbone.size, backbone.size)
            training = backbone.training
            found = backbone.eval().maps(blank)[: -READ[form] - 1 : -1]
            backbone.train(training)
        self.heads = nn.ModuleList(nn.Conv2d(m.shape[1], classes, 1) for m in found)
        for head in self.heads.parameters():
            nn.init.zeros_(head)

    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B K H W"]:
        """The score of each class at each pixel, before the softmax."""
        maps = self.backbone.maps(images)
        return self.scores(maps, (images.shape[2], images.shape[3]))

    def scores(
        self, maps: list[Float[Tensor, "B _ _ _"]], size: tuple[int, int]
    ) -> Float[Tensor, "B K H W"]:
        """The same from the backbone's maps, first to last.

        Args:
            maps: As `Backbone.maps` gives them.
            size: Height and width of the result.
        """
        coarse, *finer = zip(self.heads, reversed(maps), strict=False)
        head, there = coarse
        found: Tensor = head(there)
        for head, there in finer:
            found = enlarged(found, (there.shape[2], there.shape[3])) + head(there)
        return enlarged(found, size)


def enlarged(scores: Float[Tensor, "B K h w"], size: tuple[int, int]) -> Float[Tensor, "B K H W"]:
    """Bilinear, pixels being areas; in float32, where bfloat16 would make steps."""
    return F.interpolate(
        scores.float() if scores.dtype == torch.bfloat16 else scores,
        size=size,
        mode="bilinear",
        align_corners=False,
    )
