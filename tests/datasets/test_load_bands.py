"""Pictures of bands as arrays: every storage gives the same numbers, damage is one line."""

import importlib
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image

from mmseg_custom.datasets.band_files import read_bands
from mmseg_custom.datasets.transforms import IgnoreNodata, LoadBandsFromFile

# Every band has numbers of its own, above 8 bits, so that a swap or a cast is seen.
BANDS = np.arange(48 * 32 * 4, dtype=np.uint16).reshape(48, 32, 4) * 10 + [0, 1, 2, 3]
BANDS = BANDS.astype(np.uint16)
FALLBACK = 'tifffile._imagecodecs'
STORAGES = {
    'interleaved': dict(planarconfig='contig'),
    'planar': dict(planarconfig='separate'),
    'tiled': dict(planarconfig='contig', tile=(16, 16)),
    'deflate': dict(planarconfig='contig', compression='zlib', predictor=False),
    'planar, tiled, deflate': dict(planarconfig='separate', tile=(16, 16), compression='zlib'),
    'LZW': dict(planarconfig='contig', compression='lzw'),
    'big endian': dict(planarconfig='contig', byteorder='>'),
}


@pytest.mark.parametrize('storage', STORAGES)
def test_every_tiff_storage_gives_the_same_bands(storage, tmp_path):
    options = {'photometric': 'minisblack', **STORAGES[storage]}
    stored = BANDS if options['planarconfig'] == 'contig' else np.moveaxis(BANDS, 2, 0)
    tifffile.imwrite(tmp_path / 'a.tif', stored, **options)
    found = read_bands(tmp_path / 'a.tif')
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, BANDS)


def test_bands_as_pages(tmp_path):
    with tifffile.TiffWriter(tmp_path / 'a.tiff') as file:
        for band in np.moveaxis(BANDS, 2, 0):
            file.write(band, contiguous=True, photometric='minisblack')
    np.testing.assert_array_equal(read_bands(tmp_path / 'a.tiff'), BANDS)


@pytest.mark.parametrize('name', ['a.tif', 'a.png'])
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
@pytest.mark.parametrize('count', [3, 4])
def test_colours_stay_in_the_order_of_the_file(name, dtype, count, tmp_path):
    """Red is first in the file, and first in the array: nothing turns into OpenCV's BGR."""
    red, green, blue, alpha = 200, 100, 50, 25
    picture = np.full((5, 7, count), [red, green, blue, alpha][:count], dtype)
    if name == 'a.tif':
        kinds = dict(extrasamples=['unassalpha']) if count == 4 else {}
        tifffile.imwrite(tmp_path / name, picture, photometric='rgb', **kinds)
    elif dtype == np.uint8:
        Image.fromarray(picture).save(tmp_path / name)
    else:
        _write_png16(tmp_path / name, picture)
    found = read_bands(tmp_path / name)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, picture)


def _write_png16(path, picture):
    """A PNG of 16 bits by its specification: rows of big-endian samples, red first."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack('>I', len(data)) + checked + struct.pack('>I', zlib.crc32(checked))

    height, width, count = picture.shape
    header = struct.pack('>IIBBBBB', width, height, 16, {3: 2, 4: 6}[count], 0, 0, 0)
    rows = b''.join(b'\0' + row.astype('>u2').tobytes() for row in picture)
    chunks = chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b'')
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + chunks)


@pytest.mark.parametrize(
    ('dtype', 'kept'),
    [('u1', 'u1'), ('u2', 'u2'), ('f4', 'f4'), ('i2', 'f4'), ('f8', 'f4'), ('u4', 'f4')],
)
def test_numpy_files_and_number_types(dtype, kept, tmp_path):
    array = (np.arange(24).reshape(2, 3, 4) + (-7 if dtype in ('i2', 'f8') else 0)).astype(dtype)
    np.save(tmp_path / 'a.npy', array)
    tifffile.imwrite(tmp_path / 'a.tif', array, photometric='minisblack', planarconfig='contig')
    for name in ('a.npy', 'a.tif'):
        found = read_bands(tmp_path / name)
        assert found.dtype == np.dtype(kept)
        np.testing.assert_array_equal(found, array)
    np.save(tmp_path / 'one.npy', array[..., 0])
    np.testing.assert_array_equal(read_bands(tmp_path / 'one.npy'), array[..., :1])


def _palette_tiff(path):
    colours = np.zeros((3, 256), np.uint16)
    tifffile.imwrite(path, np.zeros((8, 8), np.uint8), photometric='palette', colormap=colours)


def _palette_png(path):
    picture = Image.new('P', (8, 8))
    picture.putpalette([9] * 768)
    picture.save(path)


BROKEN = {
    'cut off TIFF': ('a.tif', lambda p: (tifffile.imwrite(p, BANDS), _cut(p)), 'cannot be read'),
    'TIFF without a directory': ('a.tif', lambda p: p.write_bytes(b'II*\0'), 'cannot be read'),
    'no TIFF': ('a.tif', lambda p: p.write_text('text'), 'not a TIFF file'),
    'empty TIFF': ('a.tif', lambda p: p.touch(), r'a.tif \(0 bytes\) cannot be read'),
    'palette TIFF': ('a.tif', _palette_tiff, 'a.tif is a palette picture.* export it with bands'),
    'palette PNG': ('a.png', _palette_png, 'a.png is a palette picture'),
    'time series': (
        'a.tif',
        lambda p: tifffile.imwrite(p, np.zeros((2, 3, 8, 8), np.uint8), photometric='minisblack'),
        'shape .*2, 3, 8, 8.* save one picture per file',
    ),
    'complex numbers': (
        'a.npy',
        lambda p: np.save(p, np.zeros((4, 4), complex)),
        'holds complex128 values',
    ),
    'objects': ('a.npy', lambda p: np.save(p, np.array([{}])), 'allow_pickle=False.*anew'),
    'cut off .npy': ('a.npy', lambda p: (np.save(p, BANDS), _cut(p)), 'cannot be read'),
    'cut off PNG': ('a.png', lambda p: (Image.new('RGB', (64, 64)).save(p), _cut(p)), 'cannot'),
    'JPEG': ('a.jpg', lambda p: p.touch(), 'reads .tif .tiff .npy .png; convert'),
}


def _cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize('case', BROKEN)
def test_what_cannot_be_read_is_one_line_with_the_file(case, tmp_path):
    name, write, message = BROKEN[case]
    write(tmp_path / name)
    with pytest.raises(ValueError, match=message) as raised:
        read_bands(tmp_path / name)
    assert str(tmp_path / name) in str(raised.value) and '\n' not in str(raised.value)


def test_without_tifffile(tmp_path, monkeypatch):
    (tmp_path / 'a.tif').touch()
    monkeypatch.setitem(sys.modules, 'tifffile', None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "mmseg_custom\[data\]"$'):
        read_bands(tmp_path / 'a.tif')


def test_a_compression_without_its_package(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / 'a.tif', BANDS, compression='lerc', photometric='minisblack')
    # What tifffile itself falls back to.
    monkeypatch.setattr(tifffile.tifffile, 'imagecodecs', importlib.import_module(FALLBACK))
    with pytest.raises(ValueError, match=r'imagecodecs.*"mmseg_custom\[data\]", or compress with'):
        read_bands(tmp_path / 'a.tif')


def load(array, tmp_path, **arguments):
    np.save(tmp_path / 'a.npy', array)
    return LoadBandsFromFile(**arguments)({'img_path': str(tmp_path / 'a.npy')})


def test_bands_are_taken_in_the_order_asked_for(tmp_path):
    results = load(BANDS, tmp_path, bands=[3, 0], num_bands=4)
    np.testing.assert_array_equal(results['img'], BANDS[..., [3, 0]])
    assert results['img_shape'] == results['ori_shape'] == (48, 32) and 'nodata' not in results


@pytest.mark.parametrize(
    ('array', 'arguments', 'message'),
    [
        (BANDS[..., :2], dict(num_bands=4), r'a.npy has 2 bands, expected 4; export'),
        (np.moveaxis(BANDS, 2, 0), dict(num_bands=4), r'has 32 bands, .*numpy.moveaxis'),
        (BANDS, dict(bands=[0, 4]), r'has 4 bands, 0 to 3, but bands=\[0, 4\] asks for 4'),
    ],
)
def test_other_numbers_of_bands(array, arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        load(array, tmp_path, **arguments)


def test_names_need_a_data_set_that_names_its_bands():
    with pytest.raises(ValueError, match="'nir' is a name, but .* give indices"):
        LoadBandsFromFile(bands=['nir'])


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_values_that_are_not_finite(value, tmp_path):
    array = np.ones((4, 5, 3), np.float32)
    array[2, 1, 0] = array[3, 4, 2] = value
    with pytest.raises(
        ValueError, match=r'a.npy: 2 of 60 values .* row 2, column 1, band 0\); .*nodata: nan'
    ):
        load(array, tmp_path)
    # Of a band that is not taken they do not matter.
    assert load(array, tmp_path, bands=[1])['img'].all()


@pytest.mark.parametrize(('nodata', 'dtype'), [('nan', np.float32), (-9999, np.float32), (0, 'u2')])
def test_pixels_without_data_are_filled_and_their_labels_ignored(nodata, dtype, tmp_path):
    array = np.full((4, 5, 3), 7, dtype)
    array[2, 1, 0] = array[3, 4, 2] = float(nodata)
    results = load(array, tmp_path, bands=[0, 1], nodata=nodata, fill=[5, 6])
    expected = np.full((4, 5, 2), 7, dtype)
    expected[2, 1] = 5, 6
    if nodata == 'nan':
        expected[3, 4] = 7
    np.testing.assert_array_equal(results['img'], expected)
    results['gt_seg_map'] = labels = np.ones((4, 5), np.uint8)
    ignored = IgnoreNodata()(results)['gt_seg_map']
    assert ignored[2, 1] == 255 and (ignored == 1).sum() == 19 and labels.all()


def test_three_bands_are_shown(tmp_path):
    """The bands named, each stretched between two of its own percentiles."""
    loader = LoadBandsFromFile(bands=[3, 2, 1, 0], rgb_bands=[2, 1, 0])
    ramp = np.linspace(0, 1, 101)[None]
    image = np.stack([ramp * 9, ramp * 0, ramp[:, ::-1] * 5000 + 100, ramp * 50], axis=2)
    red, green, blue = np.moveaxis(loader.to_rgb(image.astype(np.float32)), 2, 0)
    assert not red.any(), 'a band of one value is black'
    np.testing.assert_array_equal(green, blue[:, ::-1])
    assert (blue[0, :3] == 0).all() and (blue[0, 98:] == 255).all()
    assert blue[0, 50] == 128 and (np.diff(blue[0].astype(int)) >= 0).all()
    eight_bits = np.arange(60, dtype=np.uint8).reshape(3, 5, 4)
    np.testing.assert_array_equal(loader.to_rgb(eight_bits), eight_bits[..., [1, 2, 3]])
    few = LoadBandsFromFile(bands=[0, 3], rgb_bands=[2, 1, 0])
    np.testing.assert_array_equal(few.to_rgb(eight_bits[..., :2]), eight_bits[..., [0, 0, 0]])
