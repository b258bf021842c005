"""From a file to what is drawn of it: colours, labels, and which picture."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from generated_bands import write_bands
from mmengine.config import Config
from PIL import Image
from tool_modules import load_tool

from mmseg_custom.engine.browsing import browse, displayable
from mmseg_custom.engine.samplers import SampleStream, SeededDataset
from mmseg_custom.models.data_preprocessor import SegDataPreProcessor
from mmseg_custom.registry import DATASETS, SCOPE
from mmseg_custom.visualization.browsing import (
    GAP,
    MARGIN,
    BrowsedSample,
    common_entries,
    draw_grid,
    html_page,
)

tool = load_tool('analysis_tools/browse_dataset.py')
RED, BLUE = (230, 20, 10), (10, 30, 220)
NAME = '<script>alert("ü")</script>'
PALETTE = [[0, 0, 0], [0, 200, 0]]
LOADING = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
NORMALISATION = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])


def folder(root: Path, suffix: str = '.png', count: int = 1) -> Path:
    """Pictures of 32x64 that are red on the left and blue on the right, labelled 0, 1 and 255."""
    image = np.zeros((32, 64, 3), np.uint8)
    image[:, :32], image[:, 32:] = RED, BLUE
    labels = np.zeros((32, 64), np.uint8)
    labels[:, 32:], labels[:4] = 1, 255
    for name in ('images/train', 'masks/train'):
        (root / name).mkdir(parents=True)
    (root / 'dataset.yaml').write_text(f"classes: [background, '{NAME}']\npalette: {PALETTE}\n")
    for index in range(count):
        options = dict(quality=95, subsampling=0) if suffix == '.jpg' else {}
        Image.fromarray(image).save(root / f'images/train/{index}{suffix}', **options)
        cv2.imwrite(str(root / f'masks/train/{index}.png'), labels)
    return root


def configured(root: Path, *transforms: dict, **preprocessor) -> Config:
    pipeline = [*LOADING, *transforms, dict(type='PackSegInputs')]
    dataset = dict(type='FolderDataset', data_root=str(root), pipeline=pipeline)
    preprocessor = dict(type='SegDataPreProcessor', size=(32, 64), **preprocessor)
    loader = dict(dataset=dataset)
    return Config(dict(train_dataloader=loader, model=dict(data_preprocessor=preprocessor)))


@pytest.mark.parametrize('suffix', ['.png', '.jpg'])
@pytest.mark.parametrize('bgr_to_rgb', [True, False])
@pytest.mark.parametrize('normalised', [True, False])
def test_red_stays_red(tmp_path, suffix, bgr_to_rgb, normalised):
    """File, pipeline, preprocessor, and the PNG that is drawn; the network's channels are known."""
    options = dict(bgr_to_rgb=bgr_to_rgb, **(NORMALISATION if normalised else {}))
    config = configured(folder(tmp_path / 'data', suffix), **options)
    (sample,), facts = browse(config, num=1)
    tolerance = 0 if suffix == '.png' else 6
    for image in (sample.image, sample.augmented):
        np.testing.assert_allclose(image[8, 8].astype(int), RED, atol=tolerance)
        np.testing.assert_allclose(image[8, 56].astype(int), BLUE, atol=tolerance)
    drawn = draw_grid([sample], facts['classes'], facts['palette'], 'colours')
    # A tile is 360 wide and 180 high, so a pixel is a square of 5.6.
    top = int(np.flatnonzero((np.abs(drawn[:, MARGIN + GAP + 90] - np.int16(RED)) < 9).all(1))[0])
    colours = [drawn[top + 90, MARGIN + GAP + x].astype(int) for x in (90, 270)]
    np.testing.assert_allclose(colours, [RED, BLUE], atol=tolerance + 1)
    after = MARGIN + 2 * (GAP + 360) + 2 * GAP
    colours = [drawn[top + 90, after + x].astype(int) for x in (90, 270)]
    np.testing.assert_allclose(colours, [RED, BLUE], atol=tolerance + 1)
    labels = [drawn[top + 90, MARGIN + 360 + 2 * GAP + x].tolist() for x in (90, 270)]
    assert labels == PALETTE

    preprocessor = SegDataPreProcessor(size=(32, 64), **options)
    packed = DATASETS.build({'_scope_': SCOPE, **config.train_dataloader.dataset})[0]
    batch = {'inputs': [packed['inputs']], 'data_samples': [packed['data_samples']]}
    pixel = preprocessor(batch, training=True)['inputs'][0, :, 8, 8]
    if normalised:
        pixel = pixel * torch.tensor(options['std']) + torch.tensor(options['mean'])
    wanted = RED if bgr_to_rgb else RED[::-1]
    np.testing.assert_allclose(pixel.numpy(), wanted, atol=tolerance + 1e-3)


def test_samples_are_those_of_the_training(tmp_path):
    """The same pictures and augmentation as the first batches of a run with this seed."""
    crop = dict(type='RandomCrop', crop_size=(32, 40))
    config = configured(folder(tmp_path / 'data', count=6), crop)
    config.model.data_preprocessor.size = (32, 40)
    description = {'_scope_': SCOPE, **config.train_dataloader.dataset}
    drawn = dict(type='ConcatDataset', datasets=[description], repeats=[0.5])
    for wrapped in (description, drawn):
        config.train_dataloader.dataset = wrapped
        samples, facts = browse(config, num=4, seed=5)
        dataset = SeededDataset({'_scope_': SCOPE, **wrapped})
        wanted = [dataset[key] for _, key in zip(range(4), SampleStream(dataset, seed=5))]
        wanted = wanted[: facts['size']]
        names = [Path(one['data_samples'].img_path).stem for one in wanted]
        assert [sample.name for sample in samples] == names
        for sample, one in zip(samples, wanted):
            assert (sample.augmented == one['inputs'].numpy()[::-1].transpose(1, 2, 0)).all()
            assert (sample.augmented_labels == one['data_samples'].gt_sem_seg.data[0].numpy()).all()
            assert sample.image.shape == (32, 64, 3) and sample.sizes == '64x32 → 40x32'


@pytest.fixture
def sample():
    labels = np.array([[0, 0], [1, 255]], np.uint8)
    image = np.zeros((2, 2, 3), np.uint8)
    return BrowsedSample('a & b', image, labels, image, labels * 0)


def test_the_legend_has_every_class_that_is_shown(sample):
    """Class 1 and the unlabelled pixel lie outside the crop."""
    entries = common_entries([sample], ('sky', 'road', 'car'), [*PALETTE, [1, 2, 3]])
    assert [(one.name, one.share) for one in entries] == [
        ('sky', 1.0),
        ('road', None),
        ('not labelled', None),
    ]


def test_the_page_needs_no_other_file_and_escapes_names(sample):
    page = html_page([sample], ('sky', NAME), PALETTE, '<i>title</i>')
    assert '<script' not in page and '&lt;script&gt;alert(&quot;ü&quot;)' in page
    assert 'a &amp; b' in page and '&lt;i&gt;title' in page
    assert {s.partition(',')[0] for s in re.findall(r'(?:src|href)="([^"]*)"', page)} == {
        'data:image/jpeg;base64',
        'data:image/png;base64',
    }
    assert page.count('<img') == 4


@pytest.mark.parametrize('without', ['labels', 'augmented_labels'])
def test_pictures_without_labels(sample, without):
    shown = BrowsedSample(**{**vars(sample), without: None})
    assert html_page([shown], ('a', 'b'), PALETTE, '').count('<img') == 3
    one, five = (draw_grid([shown] * number, ('a', 'b'), PALETTE, 'title') for number in (1, 5))
    assert five.shape[1] > 1.8 * one.shape[1] and five.shape[0] > 2 * one.shape[0]


def test_other_channels_and_ranges():
    """Sixteen bits are stretched; of many channels the first three are shown as they are."""
    bands = np.zeros((1, 2, 5), np.uint16)
    bands[0, 0], bands[0, 1] = (100, 200, 300, 0, 0), (1100, 600, 350, 9, 9)
    assert displayable(bands, reverse=True)[0].tolist() == [[0, 26, 51], [255, 128, 64]]
    grey = displayable(np.array([[7, 250]], np.uint8), reverse=True)
    assert grey[0].tolist() == [[7] * 3, [250] * 3]


def test_the_tool(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv('MMSEG_CUSTOM_CACHE', str(tmp_path / 'cache'))
    root = folder(tmp_path / 'data', count=2)
    options = ['--num', '2', '--cfg-options', 'crop_size=(32,64)']
    for name in ('a.png', 'b.html'):
        tool.main([str(root), '--out', str(tmp_path / name), *options])
    drawn = '+rare_class_sampling={"min_pixels": 9}'
    tool.main([str(root), '--out', str(tmp_path / 'c.html'), *options, drawn])
    page = (tmp_path / 'c.html').read_text(encoding='utf-8')
    assert 'RareClassDataset of FolderDataset train: 2 of 2' in page
    assert '2 samples are in' in capsys.readouterr().out
    assert Image.open(tmp_path / 'a.png').size[0] > 1000
    assert (tmp_path / 'b.html').read_text(encoding='utf-8').count('<section>') == 2
    bands = write_bands(tmp_path / 'bands', {'train': 1})
    tool.main([str(bands), '--out', str(tmp_path / 'd.png'), '--cfg-options', 'crop_size=(32,32)'])
    # Bands of more than 8 bits are stretched; their upper 8 bits would be nearly black.
    assert np.asarray(Image.open(tmp_path / 'd.png'))[110:250, 40:180].mean() > 90
    (root / 'dataset.yaml').write_text('classes: [thing]\n')
    tool.main([str(root), '--out', str(tmp_path / 'e.html'), *options, 'task=binary'])
    with pytest.raises(ValueError, match=r'--out a\.gif: expected a name that ends in \.png or'):
        tool.main([str(root), '--out', 'a.gif'])
    with pytest.raises(ValueError, match='num=0'):
        tool.main([str(root), '--out', str(tmp_path / 'a.png'), '--num', '0'])
