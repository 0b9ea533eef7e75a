"""Tasks that train an encoder without labels."""
