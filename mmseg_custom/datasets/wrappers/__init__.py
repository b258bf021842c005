"""Data sets made of data sets: mixed, repeated, balanced."""

from mmseg_custom.datasets.wrappers.class_balanced import ClassBalancedDataset
from mmseg_custom.datasets.wrappers.class_pixels import ClassPixels
from mmseg_custom.datasets.wrappers.concat import ConcatDataset
from mmseg_custom.datasets.wrappers.rare_class import RareClassDataset

__all__ = ['ClassBalancedDataset', 'ClassPixels', 'ConcatDataset', 'RareClassDataset']
