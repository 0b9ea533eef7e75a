"""Base learners: how the heads of an ensemble are fitted, one file each."""
