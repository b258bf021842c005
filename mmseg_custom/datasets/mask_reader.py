"""Class indices of a sample from its mask file, with the line to write where that fails."""

from dataclasses import dataclass

import numpy as np
import yaml
from mmseg.datasets import BaseSegDataset

from mmseg_custom.datasets.label_map import IGNORE_NAME, UNKNOWN, LabelMap, describe_counts
from mmseg_custom.datasets.mask_files import MaskFile, read_mask
from mmseg_custom.labels import IGNORE_INDEX


@dataclass(frozen=True)
class MaskReader:
    """What a data set puts under ``mask_reader`` of its samples, for ``LoadAnnotations``.

    Args:
        label_map: from the files' values to classes.
        declared: the label map was written by the user, as ``labels``.
        where: the file in which labels are, or would be, written; None for a data set whose class
            says what the files hold.
    """

    label_map: LabelMap
    declared: bool = False
    where: str | None = None

    def __call__(self, results: dict) -> np.ndarray:
        """Return the labels of the sample, (H, W) uint8: class indices, or 255.

        Args:
            results: the sample, with ``seg_map_path``.

        Raises:
            OSError: there is no such file.
            ValueError: it is no mask, or holds values that are no class.
        """
        path = results['seg_map_path']
        mask = read_mask(path)
        labels = self.label_map.lookup(mask.pixels, mask.palette)
        if (labels == UNKNOWN).any():
            counts = self.label_map.unknown(mask.pixels, mask.palette)
            raise ValueError(f'{path} {self._explain(counts, mask)}{_lossy(path)}')
        return labels

    def _explain(self, counts: dict[int | str, int], mask: MaskFile) -> str:
        """What the values are that nothing names, and what to write."""
        found = f'holds {describe_counts(counts)}'
        if self.declared:
            return (
                f'{found}, which labels of {self.where} do not name; add to a class, or leave out '
                f"with '{self._line(IGNORE_NAME, IGNORE_INDEX, list(counts)[:3])}'"
            )
        classes = self.label_map.classes
        raw_of = {index: raw for raw, index in self.label_map.values if index != IGNORE_INDEX}
        known = raw_of.values()
        expected = (
            f'the {len(classes)} classes are {min(known)}-{max(known)} in the files and '
            f'{IGNORE_INDEX} is ignored'
        )
        if self.where is None:
            return f'{found}, but {expected}; convert the label files to those values'
        if mask.kind == 'rgb':
            colour = next((name for name in counts if isinstance(name, str)), '#804080')
            return (
                f'is an RGB mask and {found}; expected class indices, or labels in {self.where} '
                f'that name its colours, e.g. \'labels: {{{classes[0]}: "{colour}", ...}}\''
            )
        wrong = [name for name in counts if isinstance(name, int)]
        return (
            f'{found}, but {expected}; add the class, set ignore_index: {wrong[0]}, or write in '
            f"{self.where} what each value is, e.g. '{self._example(raw_of, wrong)}'"
        )

    def _example(self, raw_of: dict[int, int], wrong: list[int]) -> str:
        """``labels`` that leave out what is wrong, with the first classes."""
        classes = self.label_map.classes
        labels = {classes[index]: raw_of[index] for index in sorted(raw_of)[:3]}
        line = labels_line({IGNORE_NAME: sorted({*wrong[:3], IGNORE_INDEX}), **labels})
        return line if len(raw_of) <= 3 else f'{line[:-1]}, ...}}'

    def _line(self, name: str, index: int, more: list[int | str]) -> str:
        raw = self.label_map.raw_names(index)
        raw += [f'"{one}"' if isinstance(one, str) else str(one) for one in more]
        return f'{name}: [{", ".join(raw)}]'


def index_reader(dataset: BaseSegDataset) -> MaskReader:
    """Return the reader of a data set whose masks hold class indices.

    Args:
        dataset: with its ``label_map`` and ``reduce_zero_label`` in their final state.
    """
    classes = dataset.metainfo['classes']
    return MaskReader(
        LabelMap.of_indices(
            classes,
            dataset.label_map,
            dataset.reduce_zero_label,
            len(dataset.METAINFO.get('classes', classes)),
        )
    )


def labels_line(labels: dict) -> str:
    """Write ``labels`` as the one line of a ``dataset.yaml``."""
    text = yaml.safe_dump(
        {'labels': labels}, default_flow_style=True, sort_keys=False, width=float('inf')
    )
    return text.strip()[1:-1]


def _lossy(path: str) -> str:
    is_jpeg = str(path).lower().endswith(('.jpg', '.jpeg'))
    return ' (JPEG changes values: masks are saved as PNG)' if is_jpeg else ''
