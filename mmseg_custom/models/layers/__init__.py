"""Blocks that backbones, heads and losses share."""
