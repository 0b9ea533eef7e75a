"""Weights to start from: published ones, or a file somebody saved, however it names its tensors."""

import logging
import math
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import getproxies

from huggingface_hub import constants, try_to_load_from_cache
from timm.layers import resample_abs_pos_embed
from timm.models import get_pretrained_cfg
from torch import Tensor, nn

from masquerade.core.errors import MissingData, WrongPath
from masquerade.networks.namings import Naming, naming, said
from masquerade.networks.tensors import tensors

INSIDE = ("encoder.safetensors", "model.safetensors", "pytorch_model.bin")  # of a folder


class Match(NamedTuple):
    """What of a file fits a model.

    Attributes:
        taken: Tensors by the model's names.
        missing: The model's tensors that are not in the file.
        reshaped: Those that have another shape there.
        unused: The file's tensors under the same prefix that the model has no place for.
        naming: What the names were in the file.
        moved: What was made to fit, in words; often empty.
    """

    taken: dict[str, Tensor]
    missing: list[str]
    reshaped: list[str]
    unused: list[str]
    naming: Naming
    moved: str


def start(body: nn.Module, source: str, whole: bool = False) -> str:
    """Copy the weights of a file into a model where names and shapes agree.

    The tensors may sit under any prefix (`module.encoder_q.`, `backbone.`) or be named by the
    number of their layer; see `namings`. The position embedding of a vision transformer is
    resampled where the file's is for another number of patches.

    Args:
        body: The model; changed in place.
        source: A `.safetensors`, `.pth`, `.pt`, `.ckpt` or `.bin` file, or a folder with an
            encoder.
        whole: Whether every tensor of the model must be there.

    Returns:
        One line: how many tensors came from where, named how, and which did not.

    Raises:
        MissingData: There is no such file.
        ValueError: It cannot be read safely, or too few of the model's tensors are in it.
    """
    path = located(source)
    given = tensors(path)
    found = matched(body, given)
    report = reported(found, path, given)
    if 2 * len(found.taken) < len(found.taken) + len(found.missing) + len(found.reshaped):
        raise ValueError(
            f"these are weights of another model: only {report}. Give the backbone's name, stem "
            "and options that the file was trained with"
        )
    if whole and (found.missing or found.reshaped):
        raise ValueError(
            f"only a part of the model is in the file, and the rest would be random: {report}. "
            "Give the backbone's name, stem and options, and the size, that it was trained with"
        )
    body.load_state_dict(found.taken, strict=False)
    return report


def matched(body: nn.Module, given: Mapping[str, Tensor]) -> Match:
    """What of some named tensors fits a model."""
    wanted = {k: v for k, v in body.state_dict().items() if not k.endswith("num_batches_tracked")}
    found = naming(given, wanted, body)
    inside = {
        found.theirs.get(name, name): tensor
        for name, tensor in (
            (k.removeprefix(found.prefix), v)
            for k, v in given.items()
            if k.startswith(found.prefix)
        )
    }
    inside, moved = repositioned(body, inside)
    counted = [k for k in inside if not k.endswith("num_batches_tracked")]
    return Match(
        {k: inside[k] for k, v in wanted.items() if k in inside and inside[k].shape == v.shape},
        [k for k in wanted if k not in inside],
        [k for k in wanted if k in inside and inside[k].shape != wanted[k].shape],
        [k for k in counted if k not in wanted],
        found,
        moved,
    )


def repositioned(body: nn.Module, inside: dict[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """The same with position embeddings for as many patches as a vision transformer has."""
    there, ours = inside.get("pos_embed"), getattr(body, "pos_embed", None)
    patches = getattr(body, "patch_embed", None)
    if there is None or ours is None or patches is None or there.shape == ours.shape:
        return inside, ""
    grid = list(patches.grid_size)
    prefix = ours.shape[1] - grid[0] * grid[1]
    side = math.isqrt(max(0, there.shape[1] - prefix)) if there.ndim == ours.ndim == 3 else 0
    if side == 0 or there.shape[1] != prefix + side * side or there.shape[2] != ours.shape[2]:
        return inside, ""
    fitted = resample_abs_pos_embed(there, grid, num_prefix_tokens=prefix)
    moved = f"pos_embed resampled from {side} x {side} to {grid[0]} x {grid[1]} patches"
    return {**inside, "pos_embed": fitted}, moved


def reported(found: Match, path: Path, given: Mapping[str, Tensor]) -> str:
    """What came from a file, in a line."""
    total = len(found.taken) + len(found.missing) + len(found.reshaped)
    report = f"{len(found.taken)} of {total} tensors from {path}"
    words = [said(found.naming, given)] if found.taken else []
    words += [f"under {found.naming.prefix!r}"] if found.naming.prefix else []
    report += f" ({', '.join(w for w in words if w)})" if any(words) else ""
    report += f"; {found.moved}" if found.moved else ""
    for names, what in (
        (found.missing, "not in the file"),
        (found.reshaped, "of another shape there"),
        (found.unused, "unused"),
    ):
        report += f"; {len(names)} {what}: {short(names)}" if names else ""
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
