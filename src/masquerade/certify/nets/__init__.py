"""Base networks: what an ensemble on raw images is made of, one file each."""
