"""What the samples of a split add up to."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from mmengine.dataset import BaseDataset

from mmseg_custom.datasets.class_balance import median_frequency_weights, sum_counts
from mmseg_custom.datasets.inspection.samples import Rules, SampleFacts
from mmseg_custom.datasets.mask_reader import MaskReader


@dataclass
class Split:
    """One data set of a config or folder, and what its samples are.

    Attributes:
        name: ``'train'``, ``'val'``, ``'test'``, or ``'val, test'`` where they are the same.
        dataset: None where it cannot be built.
        rules: of the data set; None without one.
        error: why it cannot be built, with the fix.
        samples: one per sample, in the order of the data set.
        member: ``'1 of 2'`` of several data sets that one split mixes, else empty.
    """

    name: str
    dataset: BaseDataset | None = None
    rules: Rules | None = None
    error: str = ''
    samples: list[SampleFacts] = field(default_factory=list)
    member: str = ''

    @property
    def title(self) -> str:
        """The name, which the members of a mixture share, and which of them it is."""
        return f'{self.name} ({self.member})' if self.member else self.name

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, (K,)."""
        return tuple(self.dataset.metainfo['classes'])

    @property
    def is_binary(self) -> bool:
        """Whether one logit is trained for the second of two classes."""
        return self.dataset.metainfo.get('task') == 'binary'

    @property
    def mask_reader(self) -> MaskReader | None:
        """What knows the values of mask files; None where the data set has no such files."""
        reader = getattr(self.dataset, 'mask_reader', None)
        return reader if isinstance(reader, MaskReader) else None


@dataclass(frozen=True)
class Totals:
    """Sums over the samples whose masks could be read.

    Attributes:
        pixels: of each class, (K,).
        present: labelled pixels of the masks that each class occurs in, (K,).
        masks: how many masks each class occurs in, (K,).
        ignored: pixels that are left out.
        values: raw value to pixels.
        sizes: (width, height) of images to their number.
        image_kinds, mask_kinds: kind to number.
    """

    pixels: np.ndarray
    present: np.ndarray
    masks: np.ndarray
    ignored: int
    values: Counter
    sizes: Counter
    image_kinds: Counter
    mask_kinds: Counter

    @classmethod
    def of(cls, samples: Sequence[SampleFacts], num_classes: int) -> 'Totals':
        """Add up the samples of data sets with the same classes."""
        masks = [facts.mask for facts in samples if facts.mask is not None]
        images = [facts.image for facts in samples if facts.image is not None]
        pixels, present = sum_counts((mask.pixels for mask in masks), num_classes)
        values: Counter = Counter()
        for mask in masks:
            values.update(mask.values)
        return cls(
            pixels=pixels,
            present=present,
            masks=sum((mask.pixels > 0 for mask in masks), np.zeros(num_classes, np.int64)),
            ignored=sum(mask.ignored for mask in masks),
            values=values,
            sizes=Counter(image.size() for image in images),
            image_kinds=Counter(image.kind for image in images),
            mask_kinds=Counter(mask.kind for mask in masks),
        )

    @property
    def ignored_share(self) -> float:
        """Share of the pixels that are left out, 0 to 1."""
        return self.ignored / max(1, self.ignored + int(self.pixels.sum()))

    def weights(self) -> list[float]:
        """Median frequency weights, (K,); ones where no class occurs."""
        if not self.pixels.any():
            return [1.0] * len(self.pixels)
        return median_frequency_weights(self.pixels, self.present)
