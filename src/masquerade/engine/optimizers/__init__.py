"""Optimizers, one file each; the file's name is what the settings say."""
