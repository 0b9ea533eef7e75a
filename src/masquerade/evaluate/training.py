"""What protocols that train a network share: a batch that the images fill, and whole epochs."""

from masquerade.engine.loop import Plan
from masquerade.engine.optimizers.base import OptimizerConfig


def fitting(batch: int, devices: int, images: int) -> int:
    """The batch of a step: as set, or the largest power of two that fewer images fill.

    Raises:
        ValueError: It cannot be shared by so many devices.
    """
    found = min(batch, 1 << (images.bit_length() - 1))
    if found % devices:
        raise ValueError(
            f"batch={found} cannot be shared equally by devices={devices}; choose a batch that is "
            "a multiple"
        )
    return found


def plan(images: int, epochs: int, batch: int, optimizer: OptimizerConfig) -> Plan:
    """Epochs of one player, `encoder`; the images that fill no batch are left out of an epoch."""
    steps = images // batch
    return Plan(steps * epochs, steps, batch, {"encoder": optimizer})
