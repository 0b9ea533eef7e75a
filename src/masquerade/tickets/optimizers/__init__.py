"""How a strategy moves its mean along an estimated gradient, one file each."""
