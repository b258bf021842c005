"""The leaf configs, read once, and how to make one small enough for a step on a CPU."""

import copy
import functools
import math
from pathlib import Path

import pytest
from generated_data import members, write_dataset
from mmengine.config import Config

from mmseg_custom.engine.class_count import dataset_metainfo, heads
from mmseg_custom.engine.config import load_config
from mmseg_custom.engine.launch import LOADERS

CONFIG_DIR = Path(__file__).resolve().parents[1] / 'configs'
_ALL = sorted(p for p in CONFIG_DIR.rglob('*.py') if '_base_' not in p.parts)
CLASSIFIERS = [p for p in _ALL if p.parent.name == 'imagenet' or 'classification' in p.stem]
# Those that train segmentors.
LEAVES = [p for p in _ALL if p not in CLASSIFIERS]
leaves = pytest.mark.parametrize('path', LEAVES, ids=lambda p: p.stem)
# The data sets with an original layout, each at one crop.
DATA_FRAGMENTS = (
    *('ade20k', 'camvid_360x480', 'cityscapes_1024x1024', 'coco_stuff164k', 'folder_512x512'),
    *('pascal_context_480x480', 'pascal_context_59_480x480', 'pascal_voc12_aug'),
)
# Each decode head, with a backbone and a schedule of its family.
DECODERS = {
    'SegformerHead': ('segformer_mit-b0', 'adamw_20k'),
    'SegformerMLPHead': ('segformer_mit-b0', 'adamw_20k'),
    'FCNHead': ('segmenter_vit-t16_fcn', 'sgd_20k'),
    'SegmenterMaskTransformerHead': ('segmenter_vit-t16_mask', 'sgd_20k'),
}
COMPOSED = """
_base_ = {bases}
crop_size = _base_.crop_size
data_preprocessor = dict(size=crop_size)
model = dict(
    data_preprocessor=data_preprocessor, decode_head=dict(type='{decoder}', num_classes=None)
)
"""
COMPOSED_VIT = """
model['backbone'] = dict(img_size=crop_size)
model['test_cfg'] = dict(mode='slide', crop_size=crop_size, stride=crop_size)
"""


@functools.cache
def resolved(path: Path) -> Config:
    """A leaf as the runner gets it; shared by the tests, so it must not be changed."""
    return load_config(str(path))


def composed(decoder: str, data: str, folder: Path) -> Path:
    """Write a leaf of a decoder and a data set from their fragments, as a user would."""
    model, schedule = DECODERS[decoder]
    names = (f'models/{model}', f'datasets/{data}', f'schedules/{schedule}', 'default_runtime')
    text = COMPOSED + (COMPOSED_VIT if 'vit' in model else '')
    path = folder / f'{decoder}_{data}.py'
    bases = [f'{CONFIG_DIR}/_base_/{name}.py' for name in names]
    path.write_text(text.format(bases=bases, decoder=decoder))
    return path


def transforms(pipeline):
    """All transforms of a pipeline, those inside TestTimeAug too."""
    for transform in pipeline:
        yield transform
        for branch in transform.get('transforms', []):
            yield from transforms(branch if isinstance(branch, list) else [branch])


def fill_class_counts(config: Config, count: int = 2) -> None:
    """Give every head whose number of classes comes from the data ``count`` of them.

    And a backbone whose channels do three.
    """
    backbone = config.model.backbone
    backbone['in_channels'] = backbone.get('in_channels', 3) or 3
    for _, head in heads(config.model):
        head['num_classes'] = head.get('num_classes') or count


def reduced(path: Path, root: Path, *options: str, thin: bool = True) -> Config:
    """A leaf with crops of 64x64 on three generated pictures.

    Args:
        path: of the leaf.
        root: the pictures and, for a folder of one's own, its ``dataset.yaml`` are written here.
        *options: ``KEY=VALUE`` as on the command line.
        thin: also take a network of few layers and channels.
    """
    length = [] if any(option.startswith('max_epochs') for option in options) else ['max_iters=1']
    overrides = [f'data_root={root}', *length, 'crop_size=(64,64)', *options]
    config = load_config(str(path), [*overrides, 'train_dataloader.batch_size=2'])
    config.default_hooks.report.curves = False
    config.default_hooks.checkpoint.save_best = None
    config.test_evaluator.report_dir = None  # a picture of 150 by 150 classes takes a second
    if thin:
        make_thin(config.model)
    root.mkdir(parents=True, exist_ok=True)
    if config.val_dataloader.dataset.type == 'FolderDataset':
        (root / 'dataset.yaml').write_text('classes: [a, b, c]\n')
    count = len(dataset_metainfo(config.val_dataloader.dataset)['classes'])
    for name in LOADERS:
        loader = config[name]
        loader.update(num_workers=0, persistent_workers=False)
        if loader.dataset.type != 'QuickstartDataset':
            write_dataset(loader.dataset, root, count)
        for dataset in members(loader.dataset):
            dataset.indices = 2
            for transform in dataset.get('pipeline', []):
                if transform['type'] in ('Resize', 'RandomResize'):
                    transform['scale'] = (128, 96)
    return config


def make_thin(model: dict) -> None:
    """Take one layer per stage and few channels; in place."""
    backbone, head = model['backbone'], model['decode_head']
    if backbone['type'] == 'MixVisionTransformer':
        backbone.update(embed_dims=8, num_layers=[1] * 4)
        head.update(in_channels=[8 * number for number in backbone['num_heads']], channels=16)
        return
    backbone.update(embed_dims=48, num_layers=1, num_heads=3)
    for _, head in heads(model):
        head.update(in_channels=48, channels=48)
    if 'embed_dims' in model['decode_head']:
        model['decode_head'].update(embed_dims=48, num_layers=1, num_heads=3)


def smallest_of_each(key) -> list[Path]:
    """One leaf for each value of ``key(config)``: that with the fewest channels and layers."""

    def weight(path: Path) -> float:
        backbone = resolved(path).model.backbone
        layers = backbone.num_layers
        return backbone.embed_dims * (sum(layers) if isinstance(layers, list) else layers)

    chosen: dict = {}
    for path in LEAVES:
        value = key(resolved(path))
        if weight(path) < (weight(chosen[value]) if value in chosen else math.inf):
            chosen[value] = path
    return list(chosen.values())


def copied(path: Path) -> Config:
    """A leaf as the runner gets it, to be changed at will."""
    return copy.deepcopy(resolved(path))
