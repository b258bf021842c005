"""Label maps of one data set in the classes of another, matched by name."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from mmseg_custom.datasets.transforms.load_annotations import LoadAnnotations
from mmseg_custom.labels import IGNORE_INDEX
from mmseg_custom.messages import did_you_mean

BACKGROUND = 'background'
OTHERS = ('error', 'ignore', BACKGROUND)
# What a label that is no class becomes, until the error about it.
WRONG = 254
MAX_CLASSES = WRONG


def class_targets(
    classes: Sequence[str],
    targets: Sequence[str],
    aliases: Mapping[str, str | None],
    other: str,
    where: str,
) -> list[int]:
    """Find the target of each class by its name.

    Args:
        classes: K names of a data set.
        targets: names that they are mapped to.
        aliases: the target's name for a class that has another one; None ignores the class.
        other: what becomes of a class that is not among the targets: ``'error'``, ``'ignore'`` or
            ``'background'``, the target of that name.
        where: what the data set is called in messages.

    Returns:
        For each class an index into ``targets``, or 255.

    Raises:
        ValueError: a class has no target and ``other`` is ``'error'``.
    """
    found = []
    for name in map(str.strip, classes):  # mmseg's ADE20K has a class 'bed '
        target = aliases.get(name, name)
        if target in targets:
            found.append(targets.index(target))
        elif target is None or other == 'ignore':
            found.append(IGNORE_INDEX)
        elif other == BACKGROUND:
            found.append(targets.index(BACKGROUND))
        else:
            near = did_you_mean(name, targets)
            raise ValueError(
                f"{where}: class '{name}' is not among the classes {list(targets)}; "
                f"{near + ' ' if near else ''}add aliases={{'{name}': ...}} with a class or None, "
                "or set other='ignore' or other='background'"
            )
    return found


class RemappedMask:
    """A ``mask_reader`` that reads a label map as its data set means it, and then maps its classes.

    Args:
        targets: of each of the data set's K classes, the new index or 255.
        where: what the data set is called in messages.
        reader: the data set's own reader; None reads the file as ``LoadAnnotations`` does.
        label_map: of the data set, where it has no reader.
        reduce_zero_label: of the data set, where it has no reader.
    """

    def __init__(
        self,
        targets: Sequence[int],
        where: str,
        reader=None,
        label_map: Mapping[int, int] | None = None,
        reduce_zero_label: bool = False,
    ) -> None:
        self.where = where
        self.reader = reader
        self.reduce_zero_label = reduce_zero_label
        self.num_classes = len(targets)
        table = np.full(256, WRONG, np.uint8)
        table[: len(targets)] = targets
        table[IGNORE_INDEX] = IGNORE_INDEX
        if reader is None and label_map is not None:
            # One step instead of two: mmseg goes over the picture once for each class.
            values = np.arange(256)
            values[[*label_map]] = [*label_map.values()]
            table = table[values]
        self.table = table

    def __call__(self, results: dict) -> np.ndarray:
        """Read the label map of a sample.

        Args:
            results: the sample, as a data set's ``get_data_info`` returns it.

        Returns:
            uint8 (H, W): indices of the new classes, or 255.

        Raises:
            ValueError: the file holds a label that is none of the data set's classes.
        """
        labels = self._read(results)
        mapped = cv2.LUT(np.ascontiguousarray(labels), self.table)
        wrong = mapped == WRONG
        if wrong.any():
            value = labels[wrong][0]
            raise ValueError(
                f'{results.get("seg_map_path", results.get("img_path"))} holds {value} in '
                f'{(labels == value).sum()} pixels, but {self.where} has {self.num_classes} '
                'classes; check its labels and classes'
            )
        return mapped

    def _read(self, results: dict) -> np.ndarray:
        if self.reader is not None:
            return self.reader(results)
        plain = dict(
            seg_map_path=results['seg_map_path'],
            reduce_zero_label=self.reduce_zero_label,
            seg_fields=[],
        )
        return LoadAnnotations().transform(plain)['gt_seg_map']


class RemapClasses:
    """The first transform of a pipeline: lets ``LoadAnnotations`` read with :class:`RemappedMask`.

    Args:
        targets: of each of the data set's classes, the new index or 255.
        where: what the data set is called in messages.
    """

    def __init__(self, targets: Sequence[int], where: str) -> None:
        self.targets = tuple(targets)
        self.where = where

    def __call__(self, results: dict) -> dict:
        """Replace the ``mask_reader`` of a sample; its labels need no further mapping."""
        label_map, reduced = results.get('label_map'), results.get('reduce_zero_label', False)
        reader = RemappedMask(
            self.targets, self.where, results.get('mask_reader'), label_map, reduced
        )
        return {**results, 'mask_reader': reader, 'label_map': None, 'reduce_zero_label': False}
