"""Base networks: small classifiers of standardised images."""

from abc import abstractmethod
from typing import ClassVar

from torch import nn

from masquerade.core.config import Plug


class NetConfig(Plug):
    """Base of the settings of base networks."""

    family: ClassVar[str] = "masquerade.certify.nets"
    noun: ClassVar[str] = "base network"

    @abstractmethod
    def build(self, size: int, channels: int, classes: int) -> nn.Module:
        """A network with fresh weights: standardised images [B, C, S, S] in, scores [B, K] out.

        Weights come from torch's global generator, which the caller seeds. Nothing in it may draw
        when it is used: several networks are computed as one.
        """
