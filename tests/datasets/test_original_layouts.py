"""Each data set's files as they are published: labels survive reading, resizing, flips and TTA.

A picture's colours say its classes and an oracle reads them back, so a prediction is perfect: mIoU
is 100 exactly when every step between the files and the metric is right. Labels near the borders of
the blocks are the ignored value, for resizing mixes colours there.
"""

import re

import numpy as np
import pytest
import torch
from config_leaves import CONFIG_DIR, DATA_FRAGMENTS
from generated_data import members, write_dataset
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope

from mmseg_custom.engine.class_count import dataset_metainfo
from mmseg_custom.engine.config import load_config
from mmseg_custom.models.decode_heads.decode_head import DecodeHead
from mmseg_custom.registry import DATASETS, METRICS, MODELS, register_all

OTHER_CROPS = ('ade20k_640x640', 'cityscapes_768x768')
BLOCK, BORDER, NUM_SHADES = 32, 6, 6


def colours(classes: np.ndarray) -> np.ndarray:
    """A colour (RGB) for each class, far from all others: its digits to the base of six."""
    digits = [classes // NUM_SHADES**place % NUM_SHADES for place in range(3)]
    return np.stack(digits, -1) * (255 // (NUM_SHADES - 1))


def coloured_blocks(generator, values, size):
    """A picture of blocks in their classes' colours, and its labels in the values of the files."""
    classes = generator.integers(0, len(values) - 1, (size[0] // BLOCK, size[1] // BLOCK))
    classes = np.kron(classes, np.ones((BLOCK, BLOCK), int))
    label = values[classes]
    rows, columns = np.indices(size) % BLOCK
    inside = [(place >= BORDER) & (place < BLOCK - BORDER) for place in (rows, columns)]
    label[~(inside[0] & inside[1])] = values[-1]
    return colours(classes)[..., ::-1].astype(np.uint8), label


@MODELS.register_module()
class PictureBackbone(torch.nn.Module):
    """Passes the picture on."""

    def forward(self, inputs):
        return (inputs,)


@MODELS.register_module()
class ColourReadingHead(DecodeHead):
    """Logits from the distance of each pixel to the classes' colours."""

    def forward(self, inputs):
        picture = self._transform_inputs(inputs)
        known = torch.from_numpy(colours(np.arange(self.num_classes))).to(picture)
        return -torch.cdist(picture.movedim(1, -1), known).movedim(-1, 1)


def oracle(num_classes: int, tta: bool):
    """A segmentor that reads the classes from the colours, with or without augmentation."""
    segmentor = dict(
        type='EncoderDecoder',
        data_preprocessor=dict(
            type='SegDataPreProcessor', mean=[0] * 3, std=[1] * 3, bgr_to_rgb=True
        ),
        backbone=dict(type='PictureBackbone'),
        decode_head=dict(
            type='ColourReadingHead', in_channels=3, channels=3, num_classes=num_classes
        ),
        test_cfg=dict(mode='whole'),
    )
    return MODELS.build(dict(type='SegTTAModel', module=segmentor) if tta else segmentor).eval()


@pytest.mark.parametrize('tta', [False, True], ids=['plain', 'tta'])
@pytest.mark.parametrize('fragment', DATA_FRAGMENTS)
def test_oracle_is_perfect(fragment, tta, tmp_path):
    register_all()
    init_default_scope('mmseg_custom')
    config = load_config(f'_base_/datasets/{fragment}.py', [f'data_root={tmp_path}'])
    (tmp_path / 'dataset.yaml').write_text('classes: [a, b, c, d, e]\n')
    dataset = config.val_dataloader.dataset
    classes = dataset_metainfo(dataset)['classes']
    write_dataset(dataset, tmp_path, len(classes), 2, (96, 160), coloured_blocks)
    for transform in dataset.pipeline:
        if transform['type'] == 'Resize':
            transform['scale'] = (250, 150)
    pipeline = config.tta_pipeline if tta else dataset.pipeline
    dataset = DATASETS.build({**dataset, 'pipeline': pipeline})

    evaluator = Evaluator(METRICS.build(config.val_evaluator))
    evaluator.dataset_meta = dataset.metainfo
    model = oracle(len(classes), tta)
    for index in range(len(dataset)):
        batch = pseudo_collate([dataset[index]])
        with torch.no_grad():
            evaluator.process(model.test_step(batch), batch)
    metrics = evaluator.evaluate(len(dataset))
    assert metrics['mIoU'] == metrics['aAcc'] == 100


@pytest.mark.parametrize('fragment', DATA_FRAGMENTS)
def test_training_labels_are_classes_or_ignored(fragment, tmp_path):
    """What a training step gets: every class of the files as its index, the rest as 255."""
    register_all()
    init_default_scope('mmseg_custom')
    config = load_config(f'_base_/datasets/{fragment}.py', [f'data_root={tmp_path}'])
    (tmp_path / 'dataset.yaml').write_text('classes: [a, b, c, d, e]\n')
    num_classes = len(dataset_metainfo(config.train_dataloader.dataset)['classes'])
    write_dataset(config.train_dataloader.dataset, tmp_path, num_classes, 24, (160, 160))
    found = set()
    for member in members(config.train_dataloader.dataset):
        steps = [t for t in member.pipeline if t['type'].startswith('Load')]
        dataset = DATASETS.build({**member, 'pipeline': steps})
        for index in range(len(dataset)):
            found.update(np.unique(dataset[index]['gt_seg_map']).tolist())
    assert found == {*range(num_classes), 255}


def test_documented_folders():
    """The table of docs/getting_started.md names every fragment, and the folder that it reads."""
    text = (CONFIG_DIR.parent / 'docs/getting_started.md').read_text()
    rows = re.findall(r'^\| [^|]+ \| `(data/[^`]+)` \| ([^|]+) \|', text, re.M)
    stated = {name: folder for folder, cell in rows for name in re.findall(r'`(\w+)\.py`', cell)}
    names = {*DATA_FRAGMENTS, *OTHER_CROPS} - {'folder_512x512'}
    assert stated == {name: load_config(f'_base_/datasets/{name}.py').data_root for name in names}


def test_fragments_are_all_here():
    names = {path.stem for path in (CONFIG_DIR / '_base_/datasets').glob('*.py')}
    classification = {'class_loaders', 'imagenet-1k', 'quickstart_classes_64x64'}
    # Their pictures come in no layout of others, or in that of folder_512x512.
    generated = {'quickstart_128x128', 'folder_bands_512x512', 'folder_microscopy_256x256'}
    names -= {'loaders', 'pipelines'} | generated | classification
    assert names == {*DATA_FRAGMENTS, *OTHER_CROPS}
