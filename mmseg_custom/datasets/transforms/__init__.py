"""What happens to a picture between the file and the network."""

from mmseg_custom.datasets.transforms.class_inputs import PackClassInputs
from mmseg_custom.datasets.transforms.load_annotations import LoadAnnotations
from mmseg_custom.datasets.transforms.rand_augment import RandAugment
from mmseg_custom.datasets.transforms.random_erasing import RandomErasing
from mmseg_custom.datasets.transforms.random_resized_crop import RandomResizedCrop

__all__ = [
    'LoadAnnotations',
    'PackClassInputs',
    'RandAugment',
    'RandomErasing',
    'RandomResizedCrop',
]
