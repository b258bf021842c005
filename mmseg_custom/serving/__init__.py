"""Trained models behind HTTP: a JSON API with limits, dynamic batching and metrics."""
