"""Weights: reading files safely, recognising what they are, converting and loading them.

The way of a file: :mod:`sources` (a name or link becomes a path) -> :mod:`reading` (a path becomes
tensors, no code runs) -> :mod:`formats` (tensors become our names and a description) ->
:mod:`loading` (:mod:`adapt` fits them to the model at hand; what should load must load).
"""
