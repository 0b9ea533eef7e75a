"""Attacks: small changes of the pixels that a network's loss cannot bear."""
