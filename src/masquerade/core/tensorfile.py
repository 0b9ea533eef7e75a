"""Named tensors, and words about them, in one safetensors file."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import safetensors
import safetensors.torch
from torch import Tensor

from masquerade.core.errors import MissingData
from masquerade.core.rundir import RunDir


class Stored(NamedTuple):
    """What is in a file.

    Attributes:
        tensors: By name, on the CPU.
        about: Words by name.
    """

    tensors: dict[str, Tensor]
    about: dict[str, str]


def save(place: Path, tensors: Mapping[str, Tensor], about: dict[str, str]) -> None:
    """Write a file, whole or not at all."""
    held = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    content = safetensors.torch.save(held, about)
    RunDir(place.parent).write(place.name, lambda out: out.write(content))


def load(place: Path, keys: set[str], noun: str, hint: str) -> Stored:
    """What is in a file; nothing in it is run.

    Args:
        place: The file.
        keys: Names of words that it must have.
        noun: What such a file is called in messages.
        hint: Where there is none: how to get one.

    Raises:
        MissingData: There is no such file, or another one.
    """
    try:
        with safetensors.safe_open(place, "pt") as stored:
            about = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  (no dict)
    except FileNotFoundError:
        raise MissingData(f"no {noun} at {place}; {hint}") from None
    except safetensors.SafetensorError as error:
        raise MissingData(f"{place} is no safetensors file: {error}") from None
    if not keys <= set(about):
        raise MissingData(f"{place} holds no {noun}")
    return Stored(tensors, about)
