"""What a model says of one picture."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from mmseg_custom.inference.georeference import Georeference, read_georeference
from mmseg_custom.inference.regions import Found, Region, find_regions

TIFF_SUFFIXES = ('.tif', '.tiff')


@dataclass(frozen=True)
class RegionOptions:
    """How a class map is cut into regions.

    Attributes:
        whole_classes: one region for each class, instead of one for each connected component.
        min_area: smaller regions are left out, in pixels.
        leave_out: names of classes without regions, such as the background.
    """

    whole_classes: bool = False
    min_area: int = 1
    leave_out: Sequence[str] = ()


@dataclass(frozen=True)
class Prediction:
    """The classes of a picture's pixels.

    Attributes:
        labels: class of each pixel, (H, W), uint8 (int64 for more than 256 classes).
        confidence: probability of that class, (H, W), float32, 0..1; None where it is left out.
        classes: K names.
        palette: their colours, (red, green, blue) in 0..255.
        name: of the picture: its path, or a number.
        image: the picture, RGB uint8 (H, W, 3).
        probs: probabilities of all classes, (K, H, W), float32; None unless asked for.
        source: the file that the picture was read from; None for one in memory.
        options: of the regions.
    """

    labels: np.ndarray
    confidence: np.ndarray | None
    classes: tuple[str, ...]
    palette: Sequence[tuple[int, int, int]]
    name: str = ''
    image: np.ndarray | None = field(default=None, repr=False)
    probs: np.ndarray | None = field(default=None, repr=False)
    source: Path | None = None
    options: RegionOptions = RegionOptions()

    @cached_property
    def georeference(self) -> Georeference | None:
        """Where the pixels of a GeoTIFF lie; None for other pictures."""
        is_tiff = self.source is not None and self.source.suffix.lower() in TIFF_SUFFIXES
        return read_georeference(self.source) if is_tiff else None

    @cached_property
    def regions(self) -> list[Region]:
        """The regions, the largest first.

        Raises:
            ValueError: the prediction has no confidence.
        """
        return self.find_regions().regions

    def find_regions(self, *, min_value: float = 0.0, most: int | None = None) -> Found:
        """Find regions within bounds; see :func:`mmseg_custom.inference.regions.find_regions`.

        Args:
            min_value: as there.
            most: as there.

        Raises:
            ValueError: the prediction has no confidence, or an option names no class.
        """
        if self.confidence is None:
            raise ValueError('regions need the confidence; call Inferencer with confidence=True')
        options = self.options
        return find_regions(
            self.labels,
            self.confidence,
            self.classes,
            whole_classes=options.whole_classes,
            min_area=options.min_area,
            leave_out=options.leave_out,
            min_value=min_value,
            most=most,
        )
