"""The named tensors of a file that somebody saved, read without running anything that lies in it.

`.safetensors` cannot hold code. Pickles are read with `weights_only=True`. The checkpoints of MAE
and of Lightning (solo-learn, lightly) keep the settings of their training beside the weights, as
objects of argparse or omegaconf; each of those is replaced by a blank, so none is ever built.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

# Packages whose objects lie beside the weights in public checkpoints.
SETTINGS = (
    "argparse",
    "omegaconf",
    "lightning",
    "lightning_fabric",
    "lightning_utilities",
    "pytorch_lightning",
    "lightly",
    "solo",
    "yacs",
    "numpy",
    "pathlib",
    "typing",
    "enum",
    "_codecs",
)
PLAIN = ("dict", "list", "tuple", "set", "int", "float", "str", "bool", "bytes", "object")


class Blank:
    """In the place of any object that is no tensor: takes everything, does and keeps nothing."""

    def __new__(cls, *_: Any) -> "Blank":
        return super().__new__(cls)

    def __init__(self, *_: Any) -> None:
        """Takes what the object would have been made from."""

    def __setstate__(self, _: Any) -> None:
        """Takes what the object would have held."""


class Table:
    """In the place of a settings class that is a dict: an empty dict."""

    def __new__(cls, *_: Any) -> Any:
        return {}


def tensors(path: Path) -> dict[str, Tensor]:
    """Every named tensor in a file; those of nested dicts are named `outer.inner`.

    Raises:
        ValueError: The file is damaged, holds no named tensor, or names objects of packages that
            no known checkpoint has.
    """
    try:
        content = load_file(path) if path.suffix == ".safetensors" else unpickled(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole .safetensors file: {error}") from None
    except UnpicklingError:
        strange = ", ".join(n for n in named(path) if not harmless(n))
        raise ValueError(
            f"{path} holds more than tensors{f' ({strange})' if strange else ''}, and reading that "
            "could run code. Save its state dict alone, best as .safetensors"
        ) from None
    except (RuntimeError, EOFError) as error:
        raise ValueError(f"{path} is not a whole PyTorch file: {error}") from None
    found = dict(flattened(content, ""))
    if not found:
        raise ValueError(f"{path} holds no named tensors")
    return found


def unpickled(path: Path) -> object:
    """What a file of torch.save holds, objects that are no tensors left blank."""
    blanks = [
        (Table if name.endswith("AttributeDict") else Blank, name)
        for name in named(path)
        if harmless(name)
    ]
    with torch.serialization.safe_globals(list(blanks)):
        return torch.load(path, map_location="cpu", weights_only=True)


def named(path: Path) -> list[str]:
    """The classes and functions besides torch's own that a file names, in order.

    Files of torch before 1.6 cannot be asked; they hold tensors and numbers, or are refused.
    """
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except (ValueError, RuntimeError, UnpicklingError, EOFError):
        return []


def harmless(name: str) -> bool:
    """Whether a class or function is one that known checkpoints name, and is left blank."""
    package, _, rest = name.partition(".")
    return package in SETTINGS or (package == "builtins" and rest in PLAIN)


def flattened(content: object, prefix: str) -> Iterator[tuple[str, Tensor]]:
    """The tensors of nested dicts with their dotted names."""
    if isinstance(content, Tensor):
        yield prefix, content
    elif isinstance(content, Mapping):
        for key, value in content.items():
            yield from flattened(value, f"{prefix}.{key}" if prefix else str(key))
