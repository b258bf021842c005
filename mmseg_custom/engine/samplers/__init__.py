"""Which samples a training sees, in which order, and what their augmentation is seeded from."""

from mmseg_custom.engine.samplers.sample_stream import SampleStream
from mmseg_custom.engine.samplers.seeded_dataset import SeededDataset

__all__ = ['SampleStream', 'SeededDataset']
