"""A data set whose random transforms depend on (seed, pass, index) alone."""

from mmengine.registry import DATASETS
from torch.utils.data import Dataset, get_worker_info

from mmseg_custom.engine.generators import kept_generators, seed_generators
from mmseg_custom.engine.samplers.sample_stream import SampleKey


class SeededDataset(Dataset):
    """Seed the generators from the key of a sample before its transforms run.

    mmengine seeds each loader worker once, so a picture's augmentation depends on how many workers
    and processes there are and on all pictures before it. Here any number of them, also none, gives
    the same, and a run can start anywhere.

    Everything else (``metainfo``, ``get_data_info``, ...) is the wrapped data set's.

    Args:
        dataset: a data set or the config of one.
    """

    def __init__(self, dataset) -> None:
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        if hasattr(self.dataset, 'full_init'):
            self.dataset.full_init()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: SampleKey | int):
        """Return the sample of a key of :class:`SampleStream`; a plain index is not seeded."""
        if not isinstance(key, tuple):
            return self.dataset[key]
        if get_worker_info() is not None:
            seed_generators(*key)
            return self.dataset[key[-1]]
        # In the training process these generators drive dropout and stochastic depth.
        with kept_generators():
            seed_generators(*key)
            return self.dataset[key[-1]]

    def __getattr__(self, name: str):
        # While a copy is made there is no data set yet. Special methods are looked up, too: torch
        # would fetch whole batches past `__getitem__`.
        if name == 'dataset' or name.startswith('__'):
            raise AttributeError(name)
        return getattr(self.dataset, name)
