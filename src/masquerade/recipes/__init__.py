"""Settings with a name, one file per paper."""
