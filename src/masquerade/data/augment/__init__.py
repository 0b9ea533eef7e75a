"""Batched augmentation: parameters drawn on the CPU, pixels moved on the device."""

from masquerade.data.augment.augmenter import Augmenter
from masquerade.data.augment.plain import plain
from masquerade.data.augment.policy import Policy, adios, simclr

__all__ = ["Augmenter", "Policy", "adios", "plain", "simclr"]
