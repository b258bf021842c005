"""Mean and std of bands: those of all pixels at once, however they are read."""

import numpy as np
import pytest
import yaml
from PIL import Image
from tool_modules import load_tool

from mmseg_custom.datasets.band_statistics import (
    PIXELS_AT_ONCE,
    BandStatistics,
    folder_config,
    measure_bands,
)
from mmseg_custom.registry import register_all

SHAPES = [(8, 9), (16, 4), (5, 5)]


@pytest.fixture
def folder(tmp_path):
    """Three pictures of two bands in different sizes, as a data set, with holes in their masks."""
    register_all()
    generator = np.random.default_rng(0)
    for name in ('images', 'masks'):
        (tmp_path / name / 'train').mkdir(parents=True)
    for index, shape in enumerate(SHAPES):
        image = generator.integers(0, 60000, (*shape, 2)).astype(np.uint16)
        np.save(tmp_path / f'images/train/{index}.npy', image)
        mask = generator.choice(np.array([0, 1, 255], np.uint8), shape)
        Image.fromarray(mask).save(tmp_path / f'masks/train/{index}.png')
    (tmp_path / 'dataset.yaml').write_text('classes: [a, b]\nbands: [red, nir]\n')
    return tmp_path


def all_pixels(folder) -> np.ndarray:
    """(n, 2), float64."""
    images = [np.load(folder / f'images/train/{index}.npy') for index in range(len(SHAPES))]
    return np.concatenate([image.reshape(-1, 2) for image in images]).astype(np.float64)


def test_statistics_are_those_of_all_pixels(folder):
    pixels = all_pixels(folder)
    found = measure_bands(folder_config(str(folder), 'train'))
    assert found.count == len(pixels)
    np.testing.assert_allclose(found.mean, pixels.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(found.std, pixels.std(axis=0), rtol=1e-13)
    np.testing.assert_array_equal(found.minimum, pixels.min(axis=0))
    np.testing.assert_array_equal(found.maximum, pixels.max(axis=0))


def test_ignored_pixels_are_left_out_when_asked(folder):
    masks = [np.asarray(Image.open(folder / f'masks/train/{i}.png')) for i in range(len(SHAPES))]
    labelled = all_pixels(folder)[np.concatenate([mask.ravel() for mask in masks]) != 255]
    found = measure_bands(folder_config(str(folder), 'train', True), labelled_only=True)
    assert 0 < found.count == len(labelled) < sum(mask.size for mask in masks)
    np.testing.assert_allclose(found.mean, labelled.mean(axis=0), rtol=1e-13)


def test_pixels_without_data_are_left_out(folder):
    pixels = all_pixels(folder)
    value = int(pixels[3, 0])
    with (folder / 'dataset.yaml').open('a') as file:
        file.write(f'nodata: {value}\n')
    config = folder_config(str(folder), 'train')
    config['pipeline'][0]['bands'] = [0]  # all are measured whichever a training takes
    found = measure_bands(config)
    kept = pixels[(pixels != value).all(axis=1)]
    assert found.count == len(kept) < len(pixels)
    np.testing.assert_allclose(found.std, kept.std(axis=0), rtol=1e-13)


def test_nothing_cancels_far_from_zero():
    """The textbook's difference of squares would lose every digit here."""
    pixels = np.random.default_rng(0).normal(1e9, 1, (PIXELS_AT_ONCE + 1000, 1))
    found = BandStatistics.empty(1)
    found.add(pixels[:10])
    found.add(pixels[10:])
    np.testing.assert_allclose(found.std, pixels.std(axis=0), rtol=1e-9)


def test_mixed_numbers_of_bands(folder):
    np.save(folder / 'images/train/2.npy', np.zeros((5, 5, 3), np.uint16))
    with pytest.raises(ValueError, match=r'2.npy has 3 bands, but .*0.npy has 2; expected'):
        measure_bands(folder_config(str(folder), 'train'))


def test_colours_of_a_config_are_in_the_order_of_its_preprocessor(tmp_path, capsys):
    for name in ('images', 'masks'):
        (tmp_path / name / 'train').mkdir(parents=True)
    Image.new('RGB', (8, 8), (30, 20, 10)).save(tmp_path / 'images/train/a.png')
    Image.new('L', (8, 8)).save(tmp_path / 'masks/train/a.png')
    (tmp_path / 'dataset.yaml').write_text('classes: [a, b]\n')
    tool = load_tool('analysis_tools/band_statistics.py')
    tool.main(['segformer/segformer_mit-b0_folder.py', '--cfg-options', f'data_root={tmp_path}'])
    assert 'mean=[30.0, 20.0, 10.0], std=[0.0, 0.0, 0.0]' in capsys.readouterr().out


def test_the_tool_prints_and_writes_what_a_training_takes(folder, capsys):
    tool = load_tool('analysis_tools/band_statistics.py')
    tool.main([str(folder), '--write'])
    printed, pixels = capsys.readouterr().out, all_pixels(folder)
    written = yaml.safe_load((folder / 'dataset.yaml').read_text())
    assert written['classes'] == ['a', 'b'], 'what was there stays'
    np.testing.assert_allclose(written['mean'], pixels.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(written['std'], pixels.std(axis=0), rtol=1e-6)
    line = f'data_preprocessor = dict(mean={written["mean"]}, std={written["std"]})'
    assert line in printed and '|  nir |' in printed
    with pytest.raises(ValueError, match='already has mean or std'):
        tool.main([str(folder), '--write'])
