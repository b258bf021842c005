"""``task='binary'``: what it sets, what contradicts it, and runs from a folder with no Python."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from config_leaves import CONFIG_DIR, composed, make_thin
from mmengine.config import Config
from single_prediction import predict_image

from mmseg_custom.engine import launch
from mmseg_custom.engine.class_count import fit_class_count, heads
from mmseg_custom.engine.config import load_config
from mmseg_custom.engine.task import fit_task
from mmseg_custom.inference.predictor import load_model

SEGFORMER = CONFIG_DIR / 'segformer/segformer_mit-b0_folder.py'
MASK = CONFIG_DIR / 'segmenter/segmenter_vit-t_mask_folder.py'
LOSSES = [
    dict(type='BinaryCrossEntropyLoss', loss_weight=1.0),
    dict(type='BinaryDiceLoss', loss_weight=1.0),
]


def leaf(decoder: str, folder: Path) -> Path:
    """The config for a folder of each decoder."""
    if decoder == 'linear':
        return composed('FCNHead', 'folder_512x512', folder)
    named = {'mlp': CONFIG_DIR / 'segformer/segformer-mlp_mit-b0_folder.py', 'mask': MASK}
    return named.get(decoder, SEGFORMER)


def fitted(path: Path, root: Path, *options: str) -> Config:
    config = load_config(str(path), [f'data_root={root}', *options])
    fit_task(config)
    fit_class_count(config)
    return config


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / 'dataset.yaml').write_text('classes: [background, thing]\n')
    return tmp_path


@pytest.mark.parametrize('decoder', ['conv', 'mlp', 'mask', 'linear'])
def test_one_key_sets_everything(root, decoder):
    config = fitted(leaf(decoder, root), root, 'task=binary')
    found = list(heads(config.model))
    assert len(found) == (2 if decoder == 'mask' else 1)
    for _, head in found:
        assert (head.num_classes, head.out_channels, head.threshold) == (2, 1, 0.5)
        assert head.foreground_prior == 0.03 and head.loss_decode == LOSSES
    assert config.val_evaluator.foreground == config.test_evaluator.foreground == 1
    assert config.default_hooks.checkpoint.save_best == 'fgIoU'
    assert config.default_hooks.checkpoint.rule == 'greater'
    assert {config[name].dataset.metainfo.task for name in launch.LOADERS} == {'binary'}
    before = config.pretty_text
    fit_task(config)
    assert config.pretty_text == before


@pytest.mark.parametrize('classes', ['[thing]', '[background, thing]'])
def test_the_folder_names_the_task(tmp_path, classes):
    (tmp_path / 'dataset.yaml').write_text(f'classes: {classes}\ntask: binary\n')
    config = fitted(SEGFORMER, tmp_path)
    assert config.task == 'binary' and config.model.decode_head.out_channels == 1


@pytest.mark.parametrize(('kind', 'count'), [('DRIVEDataset', 2), ('CamVidDataset', 11)])
def test_data_sets_with_classes_of_their_own(kind, count):
    config = load_config(str(SEGFORMER), ['task=binary'])
    for name in launch.LOADERS:
        config[name].dataset = dict(type=kind, data_root='none', pipeline=[])
    if count != 2:
        with pytest.raises(ValueError, match=f'but the data set has {count} '):
            fit_task(config)
        return
    fit_task(config)
    assert config.model.decode_head.out_channels == 1
    assert 'metainfo' not in config.train_dataloader.dataset


def test_without_it_nothing_changes(root):
    config = load_config(str(SEGFORMER), [f'data_root={root}'])
    before = config.pretty_text
    fit_task(config)
    assert config.pretty_text == before


@pytest.mark.parametrize(
    ('yaml', 'options', 'message'),
    [
        ('[a, b, c]', ['task=binary'], r'two classes.* has 3 entries \(a, b, c\); leave task out'),
        ('[a, b]', ['task=Binary'], "task is 'Binary'; expected 'semantic' or 'binary'"),
        ('[a, b]\ntask: two', [], "task is 'two'; expected semantic or binary"),
        (
            '[a, b]\ntask: semantic',
            ['task=binary'],
            'task=binary but .*dataset.yaml has task: semantic; leave one of them out',
        ),
        ('[a, b]\ntask: binary', ['task=semantic'], 'task=semantic but the data set is binary'),
        (
            '[a, b]',
            ['task=binary', 'model.decode_head.out_channels=2'],
            'has out_channels=1, but model.decode_head.out_channels=2; leave it out',
        ),
        (
            '[a, b]',
            ['task=binary', 'model.decode_head.num_classes=1'],
            'has num_classes=2, but model.decode_head.num_classes=1; leave it out',
        ),
        (
            '[a, b]',
            ['task=binary', 'model.decode_head.threshold=1.5'],
            'between 0 and 1, got 1.5; set model.decode_head.threshold=0.5 or leave it out',
        ),
        (
            '[a, b]',
            ['task=binary', 'model.decode_head.loss_decode.class_weight=[1.0,9.0]'],
            r'class_weight=\[1.0, 9.0\] belongs to; leave it out, or set model.decode_head.foregr',
        ),
        (
            '[a, b]',
            ['task=binary', 'model.decode_head.loss_decode={"type": "DiceLoss"}'],
            'DiceLoss takes for class 0 or for a softmax; set model.decode_head.loss_decode to B',
        ),
        (
            '[a, b]',
            ['task=binary', 'model.decode_head.loss_decode={"type": "DiceLos"}'],
            "type='DiceLos' is no registered model",
        ),
        (
            '[a, b]',
            ['task=binary', 'default_scope=mmseg'],
            'needs default_scope=mmseg_custom, but it is mmseg',
        ),
    ],
)
def test_contradictions(tmp_path, yaml, options, message):
    (tmp_path / 'dataset.yaml').write_text(f'classes: {yaml}\n')
    with pytest.raises(ValueError, match=message) as caught:
        fitted(SEGFORMER, tmp_path, *options)
    assert '\n' not in str(caught.value)


def test_a_classifier_has_no_such_task(tmp_path):
    config = load_config(str(CONFIG_DIR / 'quickstart/mit-b0_classification.py'), ['task=binary'])
    config.train_dataloader.dataset = dict(type='FolderDataset', metainfo=dict(classes=['a', 'b']))
    with pytest.raises(ValueError, match='task=binary needs a segmentor'):
        fit_task(config)


def write_pictures(root: Path, count: int = 3) -> None:
    """Noise with a brighter bar; the first row is ignored."""
    generator = np.random.default_rng(0)
    for split in ('train', 'val'):
        for kind in ('images', 'masks'):
            (root / kind / split).mkdir(parents=True)
        for index in range(count):
            label = np.zeros((64, 96), np.uint8)
            label[20:30, 10 + 20 * index :][:, :24] = 1
            image = generator.integers(0, 120, (64, 96, 3), np.uint8) + 120 * label[..., None]
            label[0] = 255
            cv2.imwrite(f'{root}/images/{split}/{index}.png', image)
            cv2.imwrite(f'{root}/masks/{split}/{index}.png', label)


@pytest.mark.parametrize('decoder', ['conv', 'mask'])
def test_a_folder_with_one_class_trains_tests_and_predicts(tmp_path, decoder):
    root, work_dir = tmp_path / 'data', tmp_path / 'run'
    write_pictures(root)
    (root / 'dataset.yaml').write_text('classes: [thing]\n')
    options = [f'data_root={root}', 'task=binary', 'max_iters=4', 'crop_size=(64,64)']
    options += ['default_hooks.logger.interval=1', 'early_stopping=3']
    if decoder == 'mask':
        options += ['default_hooks.report.curves=False', 'model.test_cfg.mode=slide']
        options += ['model.test_cfg.crop_size=(64,64)', 'model.test_cfg.stride=(48,48)']

    def config():
        config = load_config(str(leaf(decoder, root)), options)
        make_thin(config.model)
        for name in launch.LOADERS:
            config[name].update(num_workers=0, persistent_workers=False)
            for transform in config[name].dataset.pipeline:
                if transform['type'] in ('Resize', 'RandomResize'):
                    transform['scale'] = (96, 64)
        return config

    runner = launch.train(config(), str(work_dir))
    assert runner.train_dataloader.dataset.metainfo['task'] == 'binary'
    assert runner.message_hub.get_info('best_ckpt').split('/')[-1].startswith('best_fgIoU')
    summary = json.loads((work_dir / 'summary.json').read_text())
    assert (work_dir / 'curves.png').is_file() is (decoder == 'conv')
    names = {'mIoU', 'fgIoU', 'fgDice', 'fgPrecision', 'fgRecall', 'val/loss'}
    assert names <= set(summary['last_val'])
    assert {'decode.loss_bce', 'decode.loss_dice'} <= set(summary['last_train'])

    checkpoint = str(work_dir / 'iter_4.pth')
    assert torch.load(checkpoint)['meta']['dataset_meta']['classes'] == ('background', 'thing')
    scores = launch.test(config(), checkpoint, str(tmp_path / 'test'), out=str(tmp_path / 'out'))
    report = json.loads((tmp_path / 'test/report/metrics.json').read_text())
    matrix = np.array(report['confusion_matrix'])
    labels = [cv2.imread(str(p), 0) for p in sorted((root / 'masks/val').iterdir())]
    outputs = [cv2.imread(str(p), 0) for p in sorted((tmp_path / 'out').rglob('*.png'))]
    pairs = [(label == 1, out == 1, label != 255) for label, out in zip(labels, outputs)]
    hits = sum((label & out & valid).sum() for label, out, valid in pairs)
    union = sum(((label | out) & valid).sum() for label, out, valid in pairs)
    assert matrix[1, 1] == hits and matrix.sum() == 3 * 63 * 96
    assert scores['fgIoU'] == round(100 * hits / union, 2) == round(report['summary']['fgIoU'], 2)
    assert scores['fgIoU'] == summary['last_val']['fgIoU']

    # The checkpoint says that there is one output channel, where the config does not.
    options.remove('task=binary')
    model = load_model(config(), checkpoint, 'cpu')
    for path, out in zip(sorted((root / 'images/val').iterdir()), outputs):
        assert np.array_equal(predict_image(model, path), out)
