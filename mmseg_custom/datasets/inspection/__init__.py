"""Checks of data sets: pairing, files, sizes, labels, before anything is trained on them."""

from mmseg_custom.datasets.inspection.findings import Finding
from mmseg_custom.datasets.inspection.inspecting import has_errors, inspect
from mmseg_custom.datasets.inspection.training_check import TrainingDataCheck

__all__ = ['Finding', 'TrainingDataCheck', 'has_errors', 'inspect']
