"""Measuring speed and memory against other implementations with the same weights."""
