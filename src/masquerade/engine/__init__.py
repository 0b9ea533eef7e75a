"""The training loop and what it stands on; it knows only the shape of a Task."""
