"""The quick start's training, from generated weights of each source, through the real tool."""

import numpy as np
import pytest
import torch
from generated_weights import (
    augreg_arrays,
    build,
    save,
    segformer,
    segmenter,
    write_rstrudel,
)
from reference_networks import NVlabsMiT, NVlabsSegFormer, RstrudelSegmenter, TimmViT

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
MLP = 'model.decode_head.type=SegformerMLPHead'
MASK = [
    'model.decode_head.embed_dims=24',
    'model.decode_head.num_heads=3',
    'model.decode_head.num_layers=2',
]
NEW = 'new_classes=True'


def nvlabs_backbone(folder):
    return SEGFORMER, save(NVlabsMiT(num_classes=10), folder / 'mit.pth'), SMALL_MIT


def nvlabs_segformer(folder):
    path = save(NVlabsSegFormer(), folder / 'segformer.pth', meta={'CLASSES': list('abcde')})
    return SEGFORMER, path, [*SMALL_MIT, MLP, NEW]


def openmmlab_backbone(folder):
    return SEGFORMER, save(build(segformer()).backbone, folder / 'mit.pth'), SMALL_MIT


def openmmlab_segformer(folder):
    model = build(segformer(num_classes=19, head=dict(type='SegformerHead')))
    return SEGFORMER, save(model, folder / 'x.pth', meta={}), [*SMALL_MIT, NEW]


def openmmlab_segmenter(folder):
    model = build(segmenter(num_classes=19, img_size=64))
    return SEGMENTER, save(model, folder / 'x.pth', meta={}), [*SMALL_VIT, *MASK, NEW]


def hugging_face(folder, kind='SemanticSegmentation'):
    transformers = pytest.importorskip('transformers')
    config = transformers.SegformerConfig(
        hidden_sizes=[8, 16, 40, 64], depths=[1, 1, 1, 1], decoder_hidden_size=12, num_labels=5
    )
    getattr(transformers, f'SegformerFor{kind}')(config).save_pretrained(folder / 'theirs')
    return SEGFORMER, folder / 'theirs', [*SMALL_MIT, MLP, NEW]


def hugging_face_classifier(folder):
    return hugging_face(folder, 'ImageClassification')


def augreg(folder):
    np.savez(folder / 'vit.npz', **augreg_arrays(TimmViT()))
    return SEGMENTER, folder / 'vit.npz', [*SMALL_VIT, *MASK]


def timm(folder):
    torch.save({'model': TimmViT().state_dict()}, folder / 'deit.pth')
    return SEGMENTER, folder / 'deit.pth', [*SMALL_VIT, *MASK]


def rstrudel(folder):
    path = write_rstrudel(folder / 'theirs', RstrudelSegmenter(num_classes=19))
    return SEGMENTER, path, [*SMALL_VIT, *MASK, NEW]


SLOW = [
    *(
        nvlabs_segformer,
        nvlabs_backbone,
        openmmlab_backbone,
        openmmlab_segformer,
        openmmlab_segmenter,
    ),
    *(hugging_face_classifier, augreg, timm, rstrudel),
]
CASES = [hugging_face, *(pytest.param(c, marks=pytest.mark.slow) for c in SLOW)]


@pytest.fixture(scope='module')
def data_root(tmp_path_factory):
    root = tmp_path_factory.mktemp('generated') / 'quickstart'
    return generate_quickstart_dataset(root)


@pytest.mark.parametrize('case', CASES)
def test_quick_start_from_weights(tmp_path, data_root, run_tool, case):
    config, path, options = case(tmp_path)
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
    config, path, options = openmmlab_segformer(tmp_path)
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
    options = [*SHORT, *SMALL_MIT, MLP, f'data_root={data_root}']
    arguments = ['test.py', SEGFORMER, path, '--work-dir', tmp_path / 'run']
    options.append('test_dataloader.dataset.indices=2')
    result = run_tool(*arguments, '--cfg-options', *options)
    assert result.returncode == 0, result.stdout + result.stderr
    assert 'segmentor of NVlabs' in result.stdout and 'mIoU' in result.stdout


@pytest.mark.slow
def test_a_backbone_cannot_be_tested(tmp_path, data_root, run_tool):
    config, path, options = nvlabs_backbone(tmp_path)
    options = [*SHORT, *options, f'data_root={data_root}']
    arguments = ['test.py', config, path, '--work-dir', tmp_path / 'run', '--cfg-options', *options]
    result = run_tool(*arguments)
    assert result.returncode == 2
    (line,) = [line for line in result.stderr.splitlines() if line.startswith('error')]
    assert 'backbone of NVlabs, no decoder' in line
