"""The pixels of each class in each picture of a data set, counted once and kept on the disk."""

import hashlib
import io
import json
import os
import pickle
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import print_log

from mmseg_custom.datasets.class_balance import class_weights, count_labels, labels_only
from mmseg_custom.parallel import process_pool, usable_cores
from mmseg_custom.registry import DATASETS
from mmseg_custom.writing import write_atomically

CACHE_VARIABLE = 'MMSEG_CUSTOM_CACHE'
# Starting processes takes as long as reading so many label maps.
FEWEST_IN_PARALLEL = 200
CHUNK = 32
MOST_PROCESSES = 16


@DATASETS.register_module()
class ClassPixels:
    """A data set whose samples are the class histograms of another one's label maps.

    The label maps are read as the training reads them, before augmentation. All are read once, on
    all cores; the counts are kept in a file whose name follows from the list of masks (paths,
    sizes, times of change), how they are read, and the classes: what changes is counted anew. With
    several processes the first one counts.

    Args:
        dataset: config of a training data set, possibly inside wrappers.

    Attributes:
        counts: int64 (N, K), pixels of class k in sample n.
        classes: K names.

    Raises:
        ValueError: the data set's pipeline loads no annotations, or a label is no class.
    """

    def __init__(self, dataset: Mapping) -> None:
        if not isinstance(dataset, Mapping):
            raise ValueError(
                f'dataset is a {type(dataset).__name__}; expected the config of a data set: its '
                'labels are read with a pipeline of their own'
            )
        self.dataset = labels_only(dataset)
        self.classes = tuple(self.dataset.metainfo['classes'])
        # What the first process found, or why it could not.
        found: list = [None, None]
        if is_main_process():
            try:
                found[0] = self._counts()
            except (ValueError, OSError) as error:
                found[1] = error
        broadcast_object_list(found)
        if found[1] is not None:
            raise found[1]
        self.counts: np.ndarray = found[0]

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.counts[index]

    def weights(self, method: str) -> list[float]:
        """Return one weight per class by a method of ``class_balance.WEIGHTINGS``."""
        return class_weights(self.counts, method)

    def _counts(self) -> np.ndarray:
        path = cache_folder() / f'{_key(self.dataset, self.classes)}.npy'
        if path.is_file():
            return np.load(path, allow_pickle=False)
        counts = _count(self.dataset, len(self.classes))
        content = io.BytesIO()
        np.save(content, counts)
        try:
            write_atomically(path, content.getvalue())
        except OSError as error:
            print_log(f'the class counts are not kept: {path}: {error.strerror}', 'current')
        return counts


def cache_folder() -> Path:
    """Where counts are kept: ``class_pixels`` in ``$MMSEG_CUSTOM_CACHE`` or ``~/.cache``."""
    default = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache', 'mmseg_custom')
    return Path(os.environ.get(CACHE_VARIABLE) or default, 'class_pixels')


def _key(dataset, classes: tuple[str, ...]) -> str:
    """A name for what the counts depend on, but for the pictures' contents."""
    digest = hashlib.sha256(json.dumps(classes).encode())
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        info.pop('img_path', None)
        digest.update(pickle.dumps(sorted(info.items(), key=lambda item: item[0])))
        for path in info.values():
            if isinstance(path, str) and os.path.isfile(path):
                status = os.stat(path)
                digest.update(f'{status.st_size} {status.st_mtime_ns}'.encode())
    return digest.hexdigest()[:32]


def _count(dataset, num_classes: int) -> np.ndarray:
    processes = min(usable_cores(), MOST_PROCESSES)
    if len(dataset) < FEWEST_IN_PARALLEL or processes == 1:
        return _histograms(dataset, num_classes, range(len(dataset)))
    print_log(f'counting the classes of {len(dataset)} label maps, once', 'current')
    chunks = [
        range(first, min(first + CHUNK, len(dataset))) for first in range(0, len(dataset), CHUNK)
    ]
    with process_pool(processes, _keep, (dataset, num_classes)) as pool:
        return np.concatenate([*pool.map(_chunk, chunks)])


_kept: tuple = ()


def _keep(*arguments) -> None:
    global _kept
    _kept = arguments


def _chunk(indices: range) -> np.ndarray:
    return _histograms(*_kept, indices)


def _histograms(dataset, num_classes: int, indices: range) -> np.ndarray:
    counts = []
    for index in indices:
        sample = dataset[index]
        where = sample.get('seg_map_path', 'a label map')
        counts.append(count_labels(sample['gt_seg_map'], num_classes, where))
    return np.stack(counts)
