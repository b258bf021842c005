"""The quick start's training, from generated weights of each source, through the real tool."""

from pathlib import Path

import pytest
from generated_weights import ENCODERS, SEGMENTORS, save
from reference_networks import NVlabsSegFormer

from mmseg_custom.checkpoints.loading import open_weights
from mmseg_custom.datasets.synthetic import generate_quickstart_dataset

SEGFORMER = 'configs/quickstart/segformer_mit-b0_quickstart.py'
SEGMENTER = 'configs/quickstart/segmenter_vit-t_quickstart.py'
SHORT = [
    'max_iters=2',
    'crop_size=(64,64)',
    'train_dataloader.batch_size=2',
    'train_dataloader.num_workers=0',
    'val_dataloader.dataset.indices=2',
    'val_dataloader.num_workers=0',
    'default_hooks.logger.interval=1',
]
SMALL_MIT = [
    'model.backbone.embed_dims=8',
    'model.backbone.num_layers=[1,1,1,1]',
    'model.decode_head.in_channels=[8,16,40,64]',
    'model.decode_head.channels=12',
]
SMALL_VIT = [
    *('model.backbone.embed_dims=24', 'model.backbone.num_layers=2', 'model.backbone.num_heads=3'),
    *('model.decode_head.in_channels=24', 'model.decode_head.channels=24'),
    *('model.auxiliary_head.in_channels=24', 'model.auxiliary_head.channels=24'),
]
MASK = [
    'model.decode_head.embed_dims=24',
    'model.decode_head.num_heads=3',
    'model.decode_head.num_layers=2',
]
FCN = {'type': 'FCNHead', 'num_convs': 0, 'concat_input': False, 'in_channels': 24, 'channels': 24}
OPTIONS = {
    'SegformerHead': SMALL_MIT,
    'SegformerMLPHead': [*SMALL_MIT, 'model.decode_head.type=SegformerMLPHead'],
    'SegmenterMaskTransformerHead': [*SMALL_VIT, *MASK],
    # The mask decoder's norm has a learning rate of its own.
    'FCNHead': [
        *(*SMALL_VIT, 'optim_wrapper.paramwise_cfg=None'),
        f'model.decode_head={ {"_delete_": True, **FCN} }'.replace(' ', ''),
    ],
}
NEW = 'new_classes=True'


def generated(name: str, folder: Path) -> tuple[str, Path, list[str]]:
    """The quick start's config for a source, a file of it for 19 classes, and the options."""
    config, write = (SEGMENTORS | ENCODERS)[name]
    head = config()['decode_head']['type']
    options = list(OPTIONS[head])
    path = SEGFORMER if head.startswith('Segformer') else SEGMENTER
    if name in ENCODERS:
        return path, write(folder), options
    return path, write(folder, 19), [*options, NEW]


@pytest.fixture(scope='module')
def data_root(tmp_path_factory):
    root = tmp_path_factory.mktemp('generated') / 'quickstart'
    return generate_quickstart_dataset(root)


@pytest.mark.parametrize(
    'name',
    [
        name if name == 'Hugging Face' else pytest.param(name, marks=pytest.mark.slow)
        for name in (*SEGMENTORS, *ENCODERS)
    ],
)
def test_quick_start_from_weights(tmp_path, data_root, run_tool, name):
    config, path, options = generated(name, tmp_path)
    options = [*SHORT, *options, f'data_root={data_root}', f'load_from={path}']
    arguments = ['train.py', config, '--work-dir', tmp_path / 'run', '--cfg-options', *options]
    result = run_tool(*arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    backbone = next(line for line in lines if line[:1] == ['backbone'])
    assert int(backbone[1]) > 20 and backbone[2] == '-', 'not the whole backbone was loaded'
    assert 'train 2/2' in result.stdout
    saved = open_weights(tmp_path / 'run/iter_2.pth').description
    assert saved.source == 'this project' and saved.classes[0] == 'background'
    # What no parameter shows was recorded.
    assert saved.heads and saved.eps and saved.mean
    assert saved.image_size and saved.channel_order == 'rgb' and saved.reduce_labels is False


def test_another_class_count_ends_with_the_option(tmp_path, data_root, run_tool):
    config, path, options = generated('OpenMMLab SegFormer', tmp_path)
    options = [*SHORT, *options[:-1], f'data_root={data_root}', f'load_from={path}']
    arguments = ['train.py', config, '--work-dir', tmp_path / 'run', '--cfg-options', *options]
    result = run_tool(*arguments)
    assert result.returncode == 2
    (line,) = [line for line in result.stderr.splitlines() if line.startswith('error')]
    assert 'the file has 19 classes, the model 6' in line and 'new_classes=True' in line


@pytest.mark.slow
def test_weights_of_another_source_are_tested(tmp_path, data_root, run_tool):
    network = NVlabsSegFormer(num_classes=6)
    path = save(network, tmp_path / 'segformer.pth', meta={'CLASSES': list('abcdef')})
    options = [*SHORT, *OPTIONS['SegformerMLPHead'], f'data_root={data_root}']
    arguments = ['test.py', SEGFORMER, path, '--work-dir', tmp_path / 'run']
    options.append('test_dataloader.dataset.indices=2')
    result = run_tool(*arguments, '--cfg-options', *options)
    assert result.returncode == 0, result.stdout + result.stderr
    assert 'segmentor of NVlabs' in result.stdout and 'mIoU' in result.stdout


@pytest.mark.slow
def test_a_backbone_cannot_be_tested(tmp_path, data_root, run_tool):
    config, path, options = generated('NVlabs MiT', tmp_path)
    options = [*SHORT, *options, f'data_root={data_root}']
    arguments = ['test.py', config, path, '--work-dir', tmp_path / 'run', '--cfg-options', *options]
    result = run_tool(*arguments)
    assert result.returncode == 2
    (line,) = [line for line in result.stderr.splitlines() if line.startswith('error')]
    assert 'backbone of NVlabs, no decoder' in line
