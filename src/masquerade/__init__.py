"""masquerade: image encoders trained without labels, by hiding parts of images."""

__version__ = "0.1.0"
