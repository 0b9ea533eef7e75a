"""Network in Network: 1 x 1 convolutions between a few large ones, and no hidden linear layer.

Lin, Chen and Yan, 2013, https://arxiv.org/abs/1312.4400; with batch norm, as the base network of
Deep Partition Aggregation, https://arxiv.org/abs/2006.14768
"""

from pydantic import Field
from torch import nn

from masquerade.certify.nets.base import NetConfig


class Config(NetConfig):
    """Settings of Network in Network.

    Attributes:
        width: Channels of the widest layers; two layers of the first block have 5/6 and 1/2 of it.
    """

    width: int = Field(192, ge=6)

    def build(self, size: int, channels: int, classes: int) -> nn.Module:
        if size < 8:
            raise ValueError(f"nin halves images twice: they must be 8 px or more, got {size}")
        wide, less, half = self.width, self.width * 5 // 6, self.width // 2
        body = nn.Sequential(
            *block(channels, 5, wide, less, half),
            nn.MaxPool2d(3, 2, 1),
            *block(half, 5, wide, wide, wide),
            nn.AvgPool2d(3, 2, 1),
            *block(wide, 3, wide, wide, wide),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(wide, classes),
        )
        for part in body.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
        return body


def block(channels: int, kernel: int, *widths: int) -> list[nn.Module]:
    """One large convolution and two of 1 x 1, each with batch norm and ReLU."""
    layers: list[nn.Module] = []
    for width, side in zip(widths, (kernel, 1, 1), strict=True):
        layers += [
            nn.Conv2d(channels, width, side, padding=side // 2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
        channels = width
    return layers
