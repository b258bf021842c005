"""What training minimises."""

from mmseg_custom.models.losses.binary_losses import BinaryCrossEntropyLoss, BinaryDiceLoss
from mmseg_custom.models.losses.cross_entropy_loss import CrossEntropyLoss
from mmseg_custom.models.losses.low_memory_cross_entropy import upsampled_cross_entropy

__all__ = [
    'BinaryCrossEntropyLoss',
    'BinaryDiceLoss',
    'CrossEntropyLoss',
    'upsampled_cross_entropy',
]
