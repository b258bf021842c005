import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from single_prediction import predict_image

from mmseg_custom.inference import tiles
from mmseg_custom.inference.georeference import read_georeference
from mmseg_custom.inference.predictor import load_model
from mmseg_custom.inference.tiled_tiff import TiffRows, write_class_map
from mmseg_custom.inference.tiles import predict_bands

tifffile = pytest.importorskip('tifffile')
ROOT = Path(__file__).parents[2]
PALETTE = [(10, 20, 30), (40, 50, 60), (70, 80, 90), (0, 0, 255)]


@pytest.fixture(scope='module')
def model(config_path, checkpoint_path):
    return load_model(config_path, checkpoint_path, 'cpu')


@pytest.fixture(scope='module')
def large():
    generator = np.random.default_rng(0)
    small = generator.integers(0, 256, (9, 11, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((330, 210), Image.Resampling.BICUBIC))


@pytest.mark.parametrize('batch_size', [1, 3])
def test_bands_without_overlap_are_the_windows_themselves(model, large, batch_size):
    read = lambda start, stop: large[start:stop]  # noqa: E731
    bands = list(predict_bands(model, read, (192, 320), (64, 64), 0, batch_size))
    assert [len(labels) for labels in bands] == [64, 64, 64]
    labels = np.concatenate(bands)
    for top in range(0, 192, 64):
        for left in range(0, 320, 64):
            window = np.s_[top : top + 64, left : left + 64]
            np.testing.assert_array_equal(labels[window], predict_image(model, large[window]))


def test_one_output_channel_has_a_threshold(binary, large):
    model = load_model(*binary, 'cpu')
    (labels,) = predict_bands(model, lambda a, b: large[a:b], (210, 330), (210, 330), 0)
    np.testing.assert_array_equal(labels, predict_image(model, large))
    assert set(np.unique(labels)) == {0, 1}


def test_overlapping_windows_average_as_a_sliding_window_does(model, large, monkeypatch):
    """Where all weights are equal: in the middle of the overlap of two windows."""
    read = lambda start, stop: large[start:stop]  # noqa: E731
    size = large.shape[:2]
    labels = np.concatenate(list(predict_bands(model, read, size, (96, 96), 32, 2)))
    assert labels.shape == size
    monkeypatch.setattr(tiles, 'CHUNK', 100)
    in_chunks = np.concatenate(list(predict_bands(model, read, size, (96, 96), 32, 2)))
    np.testing.assert_array_equal(in_chunks, labels)
    model.test_cfg.update(mode='slide', crop_size=(96, 96), stride=(64, 64))
    try:
        averaged = predict_image(model, large)
    finally:
        for key in ('crop_size', 'stride'):
            del model.test_cfg[key]
        model.test_cfg.mode = 'whole'
    assert (labels == averaged).mean() > 0.97
    inner = np.s_[32:64, 32:64]  # one window alone
    np.testing.assert_array_equal(labels[inner], predict_image(model, large[:96, :96])[inner])


@pytest.mark.parametrize(
    'form',
    [
        dict(),
        dict(tile=(64, 64), compression='zlib'),
        dict(rowsperstrip=7, compression='zlib'),
        dict(tile=(32, 48)),
        dict(tile=(64, 64), compression='lzw', predictor=True),
    ],
    ids=['one strip', 'tiles', 'strips', 'odd tiles', 'lzw'],
)
@pytest.mark.parametrize('bands', [1, 3, 4])
def test_rows_of_every_form_of_tiff(tmp_path, large, form, bands):
    picture = np.concatenate([large, large[..., :1]], axis=2)[..., :bands].squeeze()
    photometric = 'minisblack' if bands == 1 else 'rgb'
    tifffile.imwrite(tmp_path / 'a.tif', picture, photometric=photometric, **form)
    with TiffRows(tmp_path / 'a.tif') as rows:
        assert (rows.height, rows.width, rows.num_bands) == (210, 330, bands)
        expected = large if bands > 1 else large[..., :1].repeat(3, 2)
        for start, stop in [(0, 210), (5, 6), (60, 130), (209, 210)]:
            np.testing.assert_array_equal(rows.read(start, stop), expected[start:stop])


def test_a_class_map_keeps_its_georeference_and_colours(tmp_path):
    tags = [
        (33550, 'd', 3, (0.5, 0.5, 0.0), True),
        (33922, 'd', 6, (0.0, 0.0, 0.0, 500000.0, 5000000.0, 0.0), True),
    ]
    source = tmp_path / 'source.tif'
    tifffile.imwrite(source, np.zeros((9, 9, 3), np.uint8), photometric='rgb', extratags=tags)
    with TiffRows(source) as rows:
        geo_tags = rows.geo_tags
    labels = np.random.default_rng(0).integers(0, 4, (1100, 700)).astype(np.uint8)
    bands = (labels[start : start + 300] for start in range(0, 1100, 300))
    write_class_map(tmp_path / 'map.tif', bands, labels.shape, PALETTE, geo_tags)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / 'map.tif'), labels)
    shown = np.asarray(Image.open(tmp_path / 'map.tif').convert('RGB'))
    np.testing.assert_array_equal(shown, np.array(PALETTE)[labels])
    assert read_georeference(tmp_path / 'map.tif') == read_georeference(source)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith('.')] == []


def test_a_damaged_tile_is_named(tmp_path, large):
    path = tmp_path / 'large.tif'
    tifffile.imwrite(path, large, photometric='rgb', tile=(64, 64), compression='zlib')
    with tifffile.TiffFile(path) as file:
        start = file.pages[0].dataoffsets[7]
    content = bytearray(path.read_bytes())
    content[start + 2 : start + 40] = bytes(38)
    path.write_bytes(content)
    with TiffRows(path) as rows:
        np.testing.assert_array_equal(rows.read(0, 64), large[:64])
        with pytest.raises(ValueError, match='large.tif: tile 7 cannot be decoded .*export'):
            rows.read(64, 128)


def test_other_files_have_one_line(tmp_path, large):
    (tmp_path / 'a.tif').write_text('no picture')
    with pytest.raises(ValueError, match=r'a.tif is not a readable TIFF'):
        TiffRows(tmp_path / 'a.tif')
    (tmp_path / 'a.tif').write_bytes(b'II*\0\x08\0\0\0')
    with pytest.raises(ValueError, match=r'a.tif holds no picture; convert it'):
        TiffRows(tmp_path / 'a.tif')
    assert read_georeference(tmp_path / 'a.tif') is None
    tifffile.imwrite(tmp_path / 'c.tif', large, photometric='rgb', tile=(64, 64))
    (tmp_path / 'c.tif').write_bytes((tmp_path / 'c.tif').read_bytes()[:280])
    refused = pytest.raises(ValueError, match=r'c.tif is cut off: .* where tile 5 lies')
    with TiffRows(tmp_path / 'c.tif') as rows, refused:
        rows.read(0, 64)
    tifffile.imwrite(tmp_path / 'b.tif', np.zeros((9, 9), np.uint16))
    with pytest.raises(ValueError, match=r'b.tif holds 1 bands of uint16.*expected 8-bit'):
        TiffRows(tmp_path / 'b.tif')


@pytest.mark.slow
def test_the_tool_in_tiles(run_tool, config_path, checkpoint_path, large, tmp_path):
    source, out = tmp_path / 'pictures' / 'large.tif', tmp_path / 'out'
    source.parent.mkdir()
    tifffile.imwrite(source, large, photometric='rgb', tile=(64, 64))
    call = ('predict.py', config_path, checkpoint_path, source, '--out-dir', out, '--device', 'cpu')
    run = run_tool(*call, '--tile', '96', '--overlap', '16', '--batch-size', '2')
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(f'{source}  330x210  ')
    model = load_model(config_path, checkpoint_path, 'cpu')
    bands = predict_bands(model, lambda a, b: large[a:b], (210, 330), (96, 96), 16)
    expected = np.concatenate(list(bands))
    np.testing.assert_array_equal(tifffile.imread(out / 'large_classes.tif'), expected)
    refused = run_tool(*call, '--tile', '96', '--max-memory', '0.01', '--overwrite')
    assert refused.returncode == 1
    assert 'GiB with --tile 96, but --max-memory is 0.01; take a smaller' in refused.stderr


@pytest.mark.slow
def test_twenty_thousand_pixels_square_of_19_classes_in_two_gib(
    config_path, checkpoint_of_19_path, tmp_path
):
    """Peak memory of a whole call over that of the same call with a small picture."""

    def blank(path, side):
        tiles = (np.full((512, 512, 3), 127, np.uint8) for _ in range((-(-side // 512)) ** 2))
        tifffile.imwrite(
            path,
            tiles,
            shape=(side, side, 3),
            dtype=np.uint8,
            tile=(512, 512),
            photometric='rgb',
            compression='zlib',
        )

    def peak(path):
        call = [sys.executable, ROOT / 'tools/predict.py', config_path, checkpoint_of_19_path, path]
        options = ['--out-dir', path.with_suffix(''), '--device', 'cpu', '--tile', '512']
        process = subprocess.Popen([*map(str, (*call, *options))])
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0
        return 1024 * usage.ru_maxrss

    for side in (512, 20000):
        blank(tmp_path / f'{side}.tif', side)
    small, large = (peak(tmp_path / f'{side}.tif') for side in (512, 20000))
    assert large - small < 2 * 2**30
    with tifffile.TiffFile(tmp_path / '20000' / '20000_classes.tif') as file:
        assert file.pages[0].shape == (20000, 20000)
