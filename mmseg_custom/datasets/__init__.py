"""Data sets."""

from mmseg_custom import registry  # noqa: F401  (mends mmcv before mmseg is imported)
from mmseg_custom.datasets import inspection, transforms
from mmseg_custom.datasets.cache_building import CachedDataset
from mmseg_custom.datasets.camvid import CamVidDataset
from mmseg_custom.datasets.class_folder import ClassFolderDataset
from mmseg_custom.datasets.dataset_yaml import folder_metainfo, read_dataset_yaml
from mmseg_custom.datasets.folder import FolderDataset
from mmseg_custom.datasets.fusing import FusedPipelines, fuse
from mmseg_custom.datasets.paired import PairedDataset
from mmseg_custom.datasets.stock import CheckedFiles
from mmseg_custom.datasets.synthetic import QuickstartDataset, generate_quickstart_dataset
from mmseg_custom.datasets.synthetic_classes import QuickstartClassesDataset
from mmseg_custom.datasets.wrappers import (
    ClassBalancedDataset,
    ClassPixels,
    ConcatDataset,
    RareClassDataset,
)

__all__ = [
    'CachedDataset',
    'CamVidDataset',
    'CheckedFiles',
    'ClassBalancedDataset',
    'ClassFolderDataset',
    'ClassPixels',
    'ConcatDataset',
    'FolderDataset',
    'FusedPipelines',
    'PairedDataset',
    'QuickstartClassesDataset',
    'QuickstartDataset',
    'RareClassDataset',
    'folder_metainfo',
    'fuse',
    'generate_quickstart_dataset',
    'inspection',
    'read_dataset_yaml',
    'transforms',
]
