"""An encoder on disk: `encoder.safetensors` for the weights, `encoder.json` for the rest.

No pickle: reading such a pair runs no code, whoever wrote it. The JSON names the architecture and
everything needed to build it again, and carries under `about` what a job wants remembered: what
it was trained on, digests of the images, whether labels influenced any choice.
"""

from pathlib import Path
from typing import Any

from pydantic import Field
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor, nn

from masquerade.core.config import Settings
from masquerade.core.errors import MissingData
from masquerade.core.rundir import RunDir
from masquerade.networks import backbone

WEIGHTS = "encoder.safetensors"
CARD = "encoder.json"


class Card(Settings):
    """What `encoder.json` says.

    Attributes:
        format: Version of this layout.
        architecture: The timm or torchvision name.
        stem: The stem it has; never `auto`.
        options: What its constructor was given.
        size: Side of the images it was trained on, in pixels.
        channels: Channels of these images.
        mean: Per-channel mean of the images in [0, 1], to be subtracted.
        std: Per-channel standard deviation of the images in [0, 1], to be divided by.
        dim: Length of its features.
        origin: What its training started from; empty for fresh weights.
        about: Anything else, kept as it is.
    """

    format: int = Field(1, ge=1, le=1)
    architecture: str
    stem: str
    options: dict[str, Any]
    size: int = Field(ge=1)
    channels: int = Field(ge=1)
    mean: tuple[float, ...]
    std: tuple[float, ...]
    dim: int = Field(ge=1)
    origin: str = ""
    about: dict[str, Any] = Field(default_factory=dict)


def described(encoder: backbone.Backbone, about: dict[str, Any]) -> Card:
    """The card of an encoder."""
    return Card(
        architecture=encoder.config.name,
        stem=encoder.stem,
        options=encoder.config.options,
        size=encoder.size,
        channels=encoder.channels,
        mean=tuple(encoder.mean.flatten().tolist()),
        std=tuple(encoder.std.flatten().tolist()),
        dim=encoder.dim,
        origin=encoder.origin,
        about=about,
    )


def save(encoder: backbone.Backbone, folder: str | Path, about: dict[str, Any]) -> Path:
    """Save an encoder into a folder, each file whole or not at all.

    Args:
        encoder: Any device, precision and memory layout.
        folder: Made if it is not there; an encoder in it is replaced.
        about: What to remember with it; must be writable as JSON.

    Returns:
        The place of the weights.
    """
    run = RunDir(folder)
    content = safetensors.save(plain(encoder.body))
    place = run.write(WEIGHTS, lambda out: out.write(content))  # first: it fails where disks fill
    run.write_json(CARD, described(encoder, about).tree())
    return place


def load(folder: str | Path) -> backbone.Backbone:
    """The encoder saved in a folder, on the CPU, in eval mode.

    Raises:
        MissingData: The folder holds no encoder.
        ValueError: Its two files are broken or do not belong together.
    """
    said = card(folder)
    place = Path(folder) / WEIGHTS
    try:
        tensors = safetensors.load(place.read_bytes())
    except FileNotFoundError:
        raise MissingData(f"{folder} holds no {WEIGHTS}; is it the folder of a run?") from None
    except SafetensorError as error:
        raise ValueError(f"{place} is not a whole .safetensors file: {error}") from None
    config = backbone.Config.parse(
        {"name": said.architecture, "stem": said.stem, "options": said.options}
    )
    encoder = config.build(said.size, said.channels, said.mean, said.std)
    try:
        encoder.body.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{place} does not fit its {CARD}: {error}") from None
    encoder.origin = said.origin
    encoder.eval()
    return encoder


def card(folder: str | Path) -> Card:
    """What the card of an encoder says; reads no weights.

    Raises:
        MissingData: The folder holds no card.
        ValueError: The card is not one of ours, or of a later version.
    """
    try:
        return Card.parse(RunDir(folder).read_json(CARD))
    except ValueError as error:
        raise ValueError(f"{Path(folder) / CARD} cannot be used: {error}") from None


def plain(body: nn.Module) -> dict[str, Tensor]:
    """The weights of a model, on the CPU and contiguous, as safetensors wants them."""
    return {k: v.detach().cpu().contiguous() for k, v in body.state_dict().items()}
