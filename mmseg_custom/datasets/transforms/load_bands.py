"""The first step of a pipeline for pictures that have other bands than red, green and blue."""

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform

from mmseg_custom.bands import positions
from mmseg_custom.datasets.band_files import read_bands
from mmseg_custom.labels import IGNORE_INDEX
from mmseg_custom.registry import TRANSFORMS
from mmseg_custom.visualization.stretching import stretched


@TRANSFORMS.register_module()
class LoadBandsFromFile(BaseTransform):
    """Load a picture of any number of bands, as :mod:`mmseg_custom.datasets.band_files` says.

    Sets ``img`` (H, W, C; uint8, uint16 or float32; bands in the order of the file, or of
    ``bands``), ``img_shape``, ``ori_shape`` and, with ``nodata=``, ``nodata``, bool (H, W).
    What is left out here and said by the data set, training and testing fill in.

    Args:
        bands: indices of the bands to take, from 0; names are known once the data set's are.
        num_bands: how many the file must have; None takes what it has.
        rgb_bands: indices in the file of the bands that pictures show as red, green and blue.
        nodata: value of pixels without data, or 'nan'; a pixel with it in any band taken is
            one. Their labels are ignored where :class:`IgnoreNodata` follows.
        fill: what they hold instead, in the file's units: a number, or one per band taken.

    Raises:
        FileNotFoundError: there is no such file.
        ModuleNotFoundError: tifffile is not installed.
        ValueError: the file cannot be read, has other bands, or values that are not finite.
    """

    def __init__(
        self,
        bands: Sequence[int] | None = None,
        num_bands: int | None = None,
        rgb_bands: Sequence[int] | None = None,
        nodata: float | str | None = None,
        fill: float | Sequence[float] = 0,
    ) -> None:
        names = [band for band in (*(bands or ()), *(rgb_bands or ())) if isinstance(band, str)]
        if names:
            raise ValueError(
                f"bands: '{names[0]}' is a name, but the data set of this pipeline names no bands; "
                'give indices from 0'
            )
        self.bands = None if bands is None else list(bands)
        self.num_bands, self.rgb_bands = num_bands, rgb_bands
        self.nodata, self.fill = None if nodata is None else float(nodata), fill

    def transform(self, results: dict) -> dict:
        """Load ``results['img_path']``."""
        path = results['img_path']
        image = read_bands(path)
        self._check_count(image, path)
        if self.bands is not None:
            image = np.ascontiguousarray(image[..., self.bands])
        if self.nodata is not None:
            image, results['nodata'] = self._without_nodata(image)
        _check_finite(image, path)
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    def to_rgb(self, image: np.ndarray) -> np.ndarray:
        """Show a picture that this loader read: RGB uint8 (H, W, 3), stretched above 8 bits."""
        return stretched(image, positions(self.rgb_bands, self.bands))

    def _check_count(self, image: np.ndarray, path: str) -> None:
        count = image.shape[2]
        if self.num_bands not in (None, count):
            is_bands_first = str(path).endswith('.npy') and image.shape[0] == self.num_bands
            fix = (
                'save it as (H, W, bands): numpy.moveaxis(array, 0, -1)'
                if is_bands_first
                else 'export the missing bands or leave the file out; the number comes from bands '
                'and mean of the data set'
            )
            raise ValueError(f'{path} has {count} bands, expected {self.num_bands}; {fix}')
        if self.bands is not None and max(self.bands) >= count:
            raise ValueError(
                f'{path} has {count} bands, 0 to {count - 1}, but bands={self.bands} asks for '
                f'{max(self.bands)}'
            )

    def _without_nodata(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        missing = np.isnan(image) if np.isnan(self.nodata) else image == self.nodata
        missing = missing.any(axis=2)
        image = image.copy()
        image[missing] = self.fill
        return image, missing

    def __repr__(self) -> str:
        """Class and arguments."""
        return (
            f'{type(self).__name__}(bands={self.bands}, num_bands={self.num_bands}, '
            f'rgb_bands={self.rgb_bands}, nodata={self.nodata}, fill={self.fill})'
        )


def _check_finite(image: np.ndarray, path: str) -> None:
    if image.dtype.kind != 'f' or np.isfinite(image).all():
        return
    wrong = ~np.isfinite(image)
    row, column, band = np.argwhere(wrong)[0]
    raise ValueError(
        f'{path}: {wrong.sum()} of {wrong.size} values are not finite (first: '
        f"{image[row, column, band]} at row {row}, column {column}, band {band}); set 'nodata: "
        "nan' in dataset.yaml if they mark missing pixels, or mend the file"
    )


@TRANSFORMS.register_module()
class IgnoreNodata(BaseTransform):
    """Give pixels without data the label 255; stands behind ``LoadAnnotations``.

    Changes ``gt_seg_map`` where :class:`LoadBandsFromFile` found ``nodata``.
    """

    def transform(self, results: dict) -> dict:
        """See the class."""
        missing, labels = results.get('nodata'), results.get('gt_seg_map')
        if missing is not None and labels is not None:
            labels = labels.copy()
            labels[missing] = IGNORE_INDEX
            results['gt_seg_map'] = labels
        return results
