"""Batched augmentation: parameters drawn on the CPU, pixels moved on the device."""

from masquerade.data.augment.augmenter import Augmenter
from masquerade.data.augment.plain import plain
from masquerade.data.augment.policy import Policy, adios_imagenet100s, adios_stl10, simclr

__all__ = ["Augmenter", "Policy", "adios_imagenet100s", "adios_stl10", "plain", "simclr"]
