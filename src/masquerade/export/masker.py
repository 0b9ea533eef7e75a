"""A masker to take away: `masker.safetensors` and `masker.json`, which need no run folder.

No pickle: reading such a pair runs no code that lies in it. The JSON names the masker, its
settings and how images are shown to it. A masker of your own is found by its module's name, as
while it was trained; ours need this package only.
"""

from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors import torch as safetensors

from masquerade.core.config import Settings
from masquerade.core.errors import CannotResume, WrongPath
from masquerade.core.rundir import RunDir
from masquerade.jobs import hide
from masquerade.maskers.base import MaskerConfig
from masquerade.maskers.pixels import FromPixels, exclusive
from masquerade.networks import encoder_file

WEIGHTS = "masker.safetensors"
CARD = "masker.json"


class Card(Settings):
    """What `masker.json` says.

    Attributes:
        format: Version of this layout.
        masker: The masker's module and its settings.
        size: Side of the square images it looks at, in pixels; others are squeezed to that.
        channels: Channels of the images.
        mean: Per-channel mean of the images in [0, 1], to be subtracted.
        std: Per-channel standard deviation of the images in [0, 1], to be divided by.
        masks: Masks of each image.
        exclusive: Whether they share each pixel, adding up to 1.
        one: What a mask of 1 means.
        about: Anything else: what it was trained on.
    """

    format: int = Field(1, ge=1, le=1)
    masker: MaskerConfig
    size: int = Field(ge=1)
    channels: int = Field(ge=1)
    mean: tuple[float, ...]
    std: tuple[float, ...]
    masks: int = Field(ge=1)
    exclusive: bool
    one: Literal["hidden"] = "hidden"
    about: dict[str, Any] = Field(default_factory=dict)


def export(run: RunDir, out: Path, which: int | None = None) -> Path:
    """Write the learned masker of a run.

    Args:
        run: A finished run.
        out: The folder to write; a masker in it is replaced.
        which: The masker's place in the run's settings, from 0; None takes the first that has
            learned something.

    Returns:
        `out`.

    Raises:
        CannotResume: `out` is a file.
        ValueError: The run has no learned masker, or not there.
        MissingData: The run is not finished, or damaged.
    """
    if out.exists() and not out.is_dir():
        raise CannotResume(f"{out} is a file; out= must name a folder")
    found = hide.learned(run, which)
    network = found.network.cpu()
    trained = encoder_file.card(run.path).about
    grey = torch.full((1, network.channels, network.size, network.size), 0.5)
    masks = network(grey)
    card = Card(
        masker=found.settings,
        size=network.size,
        channels=network.channels,
        mean=tuple(network.mean.flatten().tolist()),
        std=tuple(network.std.flatten().tolist()),
        masks=masks.shape[1],
        exclusive=exclusive(masks),
        about={key: trained[key] for key in ("title", "trained_on", "images") if key in trained},
    )
    target = RunDir(out)
    content = safetensors.save(encoder_file.plain(network.masker))
    target.write(WEIGHTS, lambda file: file.write(content))
    target.write_json(CARD, card.tree())
    return out


def load_masker(path: str | Path) -> FromPixels:
    """A masker that was exported, on the CPU, in evaluation mode.

    Call it with images [B, C, H, W] in [0, 1], of any size; it gives masks [B, N, H, W], from 0,
    shown, to 1, hidden.

    Args:
        path: The folder, or one of its two files.

    Raises:
        WrongPath: There is no exported masker.
        ValueError: Its files are damaged, of a later version, or do not belong together.
    """
    folder = Path(path).expanduser()
    if folder.name in (WEIGHTS, CARD):
        folder = folder.parent
    if not (folder / CARD).is_file() or not (folder / WEIGHTS).is_file():
        raise WrongPath(
            f"{path} holds no {WEIGHTS} with its {CARD} (looked from {Path.cwd()}). "
            "masquerade export masker RUN writes them"
        )
    try:
        card = Card.parse(RunDir(folder).read_json(CARD))
    except ValueError as error:
        raise ValueError(f"{folder / CARD} cannot be used: {error}") from None
    masker = card.masker.build(card.size, card.channels)
    try:
        masker.load_state_dict(safetensors.load((folder / WEIGHTS).read_bytes()))
    except SafetensorError as error:
        raise ValueError(f"{folder / WEIGHTS} is not a whole .safetensors file: {error}") from None
    except RuntimeError as error:
        raise ValueError(f"{folder / WEIGHTS} does not fit its {CARD}: {error}") from None
    return FromPixels(masker, card.size, card.mean, card.std)
