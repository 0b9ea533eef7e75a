"""Certificates: how many poisoned training images a prediction provably survives."""
