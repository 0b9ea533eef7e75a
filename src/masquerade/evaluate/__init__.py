"""Protocols that measure an encoder, one file each."""
