"""Backbones, heads and the mask network."""
