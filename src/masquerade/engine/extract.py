"""Frozen features: every image once through an encoder in eval mode, kept on disk by content."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from jaxtyping import Float
from torch import Tensor, nn

from masquerade.core.rundir import RunDir


def extract(
    encoder: nn.Module,
    batches: Iterable[Float[Tensor, "_ C H W"]],
    *,
    device: torch.device,
    autocast: torch.dtype | None = None,
) -> Float[Tensor, "N D"]:
    """The features of all images, in order, on the CPU, as float32.

    The encoder runs in eval mode without gradients; afterwards each of its modules is in the mode
    it was in before, so a training loop may call this between two steps.

    Args:
        encoder: Maps standardised images [B, C, H, W] to features [B, D]; lies on `device`.
        batches: Standardised images; they are moved to `device` here.
        device: Where the encoder lies.
        autocast: The type matrix products run in (`torch.bfloat16`); None leaves float32 alone.

    Raises:
        ValueError: There is no image.
    """
    rows = []
    lower = torch.autocast(device.type, dtype=autocast, enabled=autocast is not None)
    with torch.no_grad(), evaluating(encoder), lower:
        for images in batches:
            there = images.to(device, non_blocking=True, memory_format=torch.channels_last)
            rows.append(encoder(there).float().cpu())
    if not rows:
        raise ValueError("there are no images to extract features from")
    return torch.cat(rows)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Eval mode inside; outside, every sub-module has the mode it had."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def digest(module: nn.Module) -> str:
    """128 bits, as hex, that change with any weight, buffer, layer or layer setting of a module."""
    total = blake2b(str(module).encode(), digest_size=16)
    for name, value in module.state_dict().items():
        total.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        flat = value.detach().cpu().contiguous().reshape(-1)
        total.update(flat.view(torch.uint8).numpy())
    return total.hexdigest()


def cached(
    folder: Path | None, key: str, make: Callable[[], Float[Tensor, "N D"]]
) -> Float[Tensor, "N D"]:
    """The features kept under `key`, or freshly made ones, which are then kept.

    Args:
        folder: Where they lie, one safetensors file per key; None keeps nothing.
        key: Text that changes whenever the features would (encoder, images, transform, precision).
        make: Extracts them; not called when they are there.

    A file is written whole or not at all. One that cannot be read is made again.
    """
    if folder is None:
        return make()
    name = f"{blake2b(key.encode(), digest_size=16).hexdigest()}.safetensors"
    try:
        return safetensors.torch.load_file(folder / name)["features"]
    except (FileNotFoundError, KeyError, safetensors.SafetensorError):
        features = make()
    whole = safetensors.torch.save({"features": features.contiguous()}, {"key": key})
    RunDir(folder).write(name, lambda out: out.write(whole))
    return features
