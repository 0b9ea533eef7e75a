"""Images: where they come from, how they are cached, ordered and augmented."""
