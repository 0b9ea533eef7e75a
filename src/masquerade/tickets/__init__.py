"""Lottery tickets with and without backprop: strategies, problems, pruning, landscapes."""
