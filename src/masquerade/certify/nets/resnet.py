"""Small ResNets: residual blocks on the stem for small images.

He et al., "Deep Residual Learning for Image Recognition", 2015. https://arxiv.org/abs/1512.03385
"""

from pydantic import Field, field_validator
from torch import nn

from masquerade.certify.nets.base import NetConfig
from masquerade.networks import backbone


class Config(NetConfig):
    """Settings of small ResNets.

    Attributes:
        layers: Residual blocks of each of the four stages; (2, 2, 2, 2) is ResNet-18.
        width: Channels of the first stage; every stage doubles them. 64 is ResNet-18.
    """

    layers: tuple[int, int, int, int] = (1, 1, 1, 1)
    width: int = Field(16, ge=1)

    @field_validator("layers")
    @classmethod
    def _some(cls, layers: tuple[int, ...]) -> tuple[int, ...]:
        if min(layers) < 1:
            raise ValueError(f"every stage has a block or more, got {list(layers)}")
        return layers

    def build(self, size: int, channels: int, classes: int) -> nn.Module:
        widths = [self.width << stage for stage in range(4)]
        shape = backbone.Config(
            name="resnet18", options={"layers": list(self.layers), "channels": widths}, stem="small"
        )
        mean, std = (0.0,) * channels, (1.0,) * channels
        body = shape.build(size, channels, mean, std)
        return nn.Sequential(body.body, nn.Flatten(), nn.Linear(body.dim, classes))
