"""Files of bands with a mistake, through the real tool: one line with file and fix, status 2."""

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from generated_bands import write_bands

pytestmark = pytest.mark.slow
LEAF = 'configs/segformer/segformer_mit-b0_folder_bands.py'
STATISTICS = 'mean: [1, 1, 1, 1]\nstd: [1, 1, 1, 1]\n'


def write(path: Path, shape=(64, 64, 4), value=0.0) -> None:
    picture = np.full(shape, value, np.float32)
    tifffile.imwrite(path, picture, photometric='minisblack', planarconfig='contig')


def two_bands(path):
    write(path, (64, 64, 2))
    return 'has 2 bands, expected 4; export the missing bands or leave the file out'


def not_a_number(path):
    write(path, value=np.nan)
    return r'1 of 1: images have values that are NaN or infinite: .* has 16384 of 16384 values'


def cut_off(path):
    path.write_bytes(path.read_bytes()[:3000])
    return r'1 of 1: files cannot be read: .*copy them again or remove them'


def palette(path):
    colours = np.zeros((3, 256), np.uint16)
    indices = np.zeros((64, 64), np.uint8)
    tifffile.imwrite(path, indices, photometric='palette', colormap=colours)
    return 'is a palette picture: .*export it with bands'


@pytest.mark.parametrize('spoil', [two_bands, not_a_number, cut_off, palette])
def test_a_training_names_file_and_fix(spoil, tmp_path, run_tool):
    """From a worker process, as in a real training."""
    root = write_bands(tmp_path / 'data', {'train': 1, 'val': 1})
    path = root / 'images/train/0.tif'
    message = spoil(path)
    with (root / 'dataset.yaml').open('a') as file:
        file.write(STATISTICS)
    workers = ['train_dataloader.num_workers=1', 'train_dataloader.batch_size=2']
    options = ['--cfg-options', f'data_root={root}', 'max_iters=1', 'crop_size=(64,64)', *workers]
    result = run_tool('train.py', LEAF, '--work-dir', tmp_path / 'run', *options)
    assert result.returncode == 2, result.stderr
    (line,) = (line for line in result.stderr.splitlines() if line.startswith('error: '))
    assert str(path) in line
    assert re.search(message, line)


def test_without_tifffile(tmp_path, run_tool):
    root = write_bands(tmp_path / 'data', {'train': 1})
    (tmp_path / 'tifffile.py').write_text('raise ModuleNotFoundError("no tifffile")\n')
    search_path = f'{tmp_path}:{Path(__file__).parents[2]}'
    result = run_tool('analysis_tools/band_statistics.py', root, PYTHONPATH=search_path)
    assert result.returncode == 2
    assert result.stderr.strip().endswith('run: pip install "mmseg_custom[data]"')
    assert result.stderr.startswith(f'error: {root}/images/train/0.tif needs tifffile')
