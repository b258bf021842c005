"""The base of data sets that draw the samples of another one."""

from collections.abc import Mapping

from mmseg_custom.datasets.wrappers.class_pixels import ClassPixels
from mmseg_custom.registry import DATASETS


class DrawnDataset:
    """Samples of another data set, drawn by what its label maps hold.

    Draws take NumPy's global generator, which
    :class:`~mmseg_custom.engine.samplers.SeededDataset` seeds from seed, pass and index: they are
    the same with any number of loader workers and processes, and in a run that is resumed.

    Args:
        dataset: config of the data set.
        lazy_init: do not list and count before the first sample is asked for.
    """

    def __init__(self, dataset: Mapping, lazy_init: bool = False) -> None:
        self._config = dataset
        self.dataset = DATASETS.build(dataset)
        self._ready = False
        if not lazy_init:
            self.full_init()

    @property
    def metainfo(self) -> dict:
        """Classes, palette and the like of the data set."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """List the samples, count their classes, and prepare the draws."""
        if self._ready:
            return
        self.dataset.full_init()
        pixels = ClassPixels(self._config)
        if len(pixels) != len(self.dataset):
            raise ValueError(
                f'{type(self).__name__} draws pictures, but its data set repeats or draws them '
                'itself; put it inside, around the data set that lists the files'
            )
        self.prepare(pixels)
        self._ready = True

    def prepare(self, pixels: ClassPixels) -> None:
        """Prepare the draws.

        Args:
            pixels: class histograms of all samples.
        """
        raise NotImplementedError

    def sample_of(self, index: int) -> int:
        """Return the sample that an index stands for; it may be drawn."""
        raise NotImplementedError

    def get_data_info(self, index: int) -> dict:
        """Return what the data set knows of the sample of an index."""
        return self.dataset.get_data_info(self.sample_of(index))

    def __len__(self) -> int:
        self.full_init()
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict:
        self.full_init()
        return self.dataset[self.sample_of(index)]
