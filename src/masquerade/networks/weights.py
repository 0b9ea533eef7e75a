"""Weights to start from: published ones, or a file somebody saved, whatever it calls its tensors.

Nothing here runs code from a file: `.safetensors` cannot hold any, and pickles are read with
`weights_only=True`.
"""

import logging
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from huggingface_hub import constants, try_to_load_from_cache
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models import get_pretrained_cfg
from torch import Tensor, nn

from masquerade.core.errors import MissingData, WrongPath

INSIDE = ("encoder.safetensors", "model.safetensors", "pytorch_model.bin")  # of a folder


def start(body: nn.Module, source: str) -> str:
    """Copy the weights of a file into a model where names and shapes agree.

    The tensors may sit under any prefix (`module.encoder_q.`, `backbone.`): the prefix under
    which most of them fit is taken, the first in the file if several fit equally well, which is
    the online network in the checkpoints of MoCo, BYOL and DINO.

    Args:
        body: The model; changed in place.
        source: A `.safetensors`, `.pth`, `.pt` or `.bin` file, or a folder with an encoder.

    Returns:
        One line: how many tensors came from where, and which did not.

    Raises:
        MissingData: There is no such file.
        ValueError: It cannot be read safely, or fewer than half of the model's tensors are in it.
    """
    path = located(source)
    given = tensors(path)
    wanted = {k: v for k, v in body.state_dict().items() if not k.endswith("num_batches_tracked")}
    prefix = best_prefix(given, wanted)
    inside = {k.removeprefix(prefix): v for k, v in given.items() if k.startswith(prefix)}
    taken = {k: inside[k] for k, v in wanted.items() if k in inside and inside[k].shape == v.shape}
    reshaped = [k for k in wanted if k in inside and inside[k].shape != wanted[k].shape]
    missing = [k for k in wanted if k not in inside]
    unused = [k for k in inside if k not in wanted and not k.endswith("num_batches_tracked")]
    report = f"{len(taken)} of {len(wanted)} tensors from {path}"
    report += f" (under {prefix!r})" if prefix else ""
    for names, what in (
        (missing, "not in the file"),
        (reshaped, "of another shape there"),
        (unused, "unused"),
    ):
        report += f"; {len(names)} {what}: {short(names)}" if names else ""
    if 2 * len(taken) < len(wanted):
        raise ValueError(
            f"these are weights of another model: only {report}. Give the backbone's name, stem "
            "and options that the file was trained with"
        )
    body.load_state_dict(taken, strict=False)
    return report


def located(source: str) -> Path:
    """The file that a path or a folder means."""
    path = Path(source).expanduser()
    if path.is_dir():
        inside = [path / name for name in INSIDE if (path / name).is_file()]
        if not inside:
            raise WrongPath(f"no {' or '.join(INSIDE)} under {path} (looked from {Path.cwd()})")
        return inside[0]
    if not path.is_file():
        raise WrongPath(
            f"no weights at {path} (looked from {Path.cwd()}). weights= takes a .safetensors or "
            ".pth file, a run's folder, or public for the published ones"
        )
    return path


def tensors(path: Path) -> dict[str, Tensor]:
    """Every named tensor in a file; those of nested dicts are named `outer.inner`."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole .safetensors file: {error}") from None
    except UnpicklingError as error:
        raise ValueError(
            f"{path} holds more than tensors, and reading that could run code. Save its state "
            f"dict alone, best as .safetensors ({str(error).partition(chr(10))[0]})"
        ) from None
    except (RuntimeError, EOFError) as error:
        raise ValueError(f"{path} is not a whole PyTorch file: {error}") from None
    found = dict(flattened(content, ""))
    if not found:
        raise ValueError(f"{path} holds no named tensors")
    return found


def flattened(content: object, prefix: str) -> Iterator[tuple[str, Tensor]]:
    """The tensors of nested dicts with their dotted names."""
    if isinstance(content, Tensor):
        yield prefix, content
    elif isinstance(content, Mapping):
        for key, value in content.items():
            yield from flattened(value, f"{prefix}.{key}" if prefix else str(key))


def best_prefix(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """The prefix under which most wanted tensors are found with their shape."""
    fits: dict[str, int] = {"": 0}
    for name, tensor in given.items():
        for cut in [0, *(i + 1 for i, letter in enumerate(name) if letter == ".")]:
            known = wanted.get(name[cut:])
            if known is not None and known.shape == tensor.shape:
                fits[name[:cut]] = fits.get(name[:cut], 0) + 1
    return max(fits, key=lambda prefix: fits[prefix])


def short(names: list[str]) -> str:
    """The first three names, and that there are more."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


@contextmanager
def published(name: str) -> Iterator[None]:
    """Turn what goes wrong while published weights are fetched into `MissingData`.

    A machine without a network is told at once, not after the hub's minute of retries.
    """
    help_text = "Set weights to a file instead, or leave it out to start fresh"
    if not reachable(name):
        raise MissingData(
            f"the public weights of {name} are not on this machine and there is no network to "
            f"fetch them from. {help_text}"
        )
    hub = logging.getLogger("huggingface_hub")
    level = hub.level
    hub.setLevel(logging.ERROR)  # its retries are told once, below
    try:
        yield
    except (OSError, URLError) as error:
        raise MissingData(
            f"the public weights of {name} could not be fetched ({error}). {help_text}"
        ) from error
    except RuntimeError as error:
        raise MissingData(f"{name} has no public weights that fit: {error}. {help_text}") from error
    finally:
        hub.setLevel(level)


def reachable(name: str) -> bool:
    """Whether published weights are in the cache or their host has an address."""
    if name.startswith("torchvision:") or getproxies():
        return True  # torchvision fails at once by itself; a proxy resolves names for us
    hub = get_pretrained_cfg(name).hf_hub_id
    if hub is None or isinstance(try_to_load_from_cache(hub, "model.safetensors"), str):
        return True
    try:
        socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, 443)
    except OSError:
        return False
    return True
