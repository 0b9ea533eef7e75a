"""Few labels, 10 %: as `semi`, with the rates that SwAV has for 10 % of ImageNet."""

from pydantic import Field

from masquerade.evaluate import semi
from masquerade.evaluate.base import ProtocolConfig


class Config(semi.Config):
    """Settings of few labels; what each means, `semi` says."""

    ratio: float = Field(0.1, gt=0, le=1)
    head: ProtocolConfig = semi.swav(0.01, 20.0)
