"""Batched augmentation: parameters drawn on the CPU, pixels moved on the device."""
