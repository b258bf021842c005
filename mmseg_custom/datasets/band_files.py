"""Pictures of any number of bands as arrays: TIFF, .npy and PNG, with the bands as in the file."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from mmseg_custom.messages import import_extra

TIFF_SUFFIXES = ('.tif', '.tiff')
BAND_SUFFIXES = (*TIFF_SUFFIXES, '.npy', '.png')
INSTALL = 'run: pip install "mmseg_custom[data]"'
# Kept as they are; other numbers become float32.
KEPT_DTYPES = (np.uint8, np.uint16, np.float32)


def read_bands(path: str | Path) -> np.ndarray:
    """Read a picture with all its bands.

    Args:
        path: a TIFF (bands interleaved, planar or as pages; tiled and compressed as far as tifffile
            reads it), a ``.npy`` file of shape (H, W) or (H, W, C), or a PNG of 8 or 16 bits.

    Returns:
        (H, W, C), uint8, uint16 or float32, the bands in the order of the file.

    Raises:
        FileNotFoundError: there is no such file.
        ModuleNotFoundError: it is a TIFF and tifffile is not installed.
        ValueError: it is cut off or damaged, holds palette indices, no numbers, or more axes.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'picture {path} does not exist')
    suffix = path.suffix.lower()
    if suffix not in BAND_SUFFIXES:
        raise ValueError(
            f'{path}: LoadBandsFromFile reads {" ".join(BAND_SUFFIXES)}; convert the file, or read '
            '8-bit colour pictures with LoadImageFromFile'
        )
    read = {'.npy': _read_npy, '.png': _read_png}.get(suffix, _read_tiff)
    array = read(path)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or 0 in array.shape:
        raise ValueError(f'{path} has the shape {array.shape}; expected (H, W, bands)')
    if array.dtype.kind not in 'uif':
        raise ValueError(
            f'{path} holds {array.dtype} values; expected whole or floating point numbers'
        )
    return array if array.dtype in KEPT_DTYPES else array.astype(np.float32)


def _unreadable(path: Path, error: Exception, fix: str = 'copy or export it anew') -> ValueError:
    reason = ' '.join(str(error).split()) or type(error).__name__
    return ValueError(f'{path} ({path.stat().st_size} bytes) cannot be read ({reason}); {fix}')


def _palette_error(path: Path) -> ValueError:
    return ValueError(
        f'{path} is a palette picture: its values are indices of colours, not brightness; export '
        'it with bands'
    )


def _read_npy(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise _unreadable(path, error, 'save it anew with numpy.save, (H, W, bands)') from error


def _read_png(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as picture:
            if picture.mode == 'P':
                raise _palette_error(path)
    except (UnidentifiedImageError, SyntaxError) as error:
        raise _unreadable(path, error) from error
    # Pillow reads 16-bit colour as 8 bits.
    array = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None:
        raise _unreadable(path, ValueError('no complete picture'))
    # OpenCV swaps red and blue of what a file holds.
    order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}
    return array[..., order[array.shape[2]]] if array.ndim == 3 else array


def _read_tiff(path: Path) -> np.ndarray:
    tifffile = import_extra('tifffile', 'data', path)
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            is_palette = series.keyframe.photometric == tifffile.PHOTOMETRIC.PALETTE
            array, axes = series.asarray(), series.axes
    except Exception as error:  # what a damaged file leads to has no common class
        lacks_codec = 'imagecodecs' in str(error)
        fix = f'{INSTALL}, or compress with deflate'
        raise _unreadable(path, error, *[fix] * lacks_codec) from error
    if is_palette:
        raise _palette_error(path)
    return _bands_last(array, axes, path)


def _bands_last(array: np.ndarray, axes: str, path: Path) -> np.ndarray:
    """Move the one axis that is neither rows (Y) nor columns (X) to the end."""
    kept = [axis for axis, length in zip(axes, array.shape) if axis in 'YX' or length > 1]
    array = array.reshape([n for axis, n in zip(axes, array.shape) if axis in 'YX' or n > 1])
    others = [axis for axis in kept if axis not in 'YX']
    if len(others) > 1 or sorted(set(kept) & {*'YX'}) != ['X', 'Y']:
        raise ValueError(
            f'{path} has the axes {axes} with the shape {array.shape}; expected rows, columns and '
            'bands, so save one picture per file'
        )
    order = [kept.index(axis) for axis in ('Y', 'X', *others)]
    return np.ascontiguousarray(array.transpose(order))
