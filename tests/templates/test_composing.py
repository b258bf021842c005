"""The config that a template composes: what it sets, what is learnt, and that it trains."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from small_templates import CLASSES, GENERAL, SEGFORMER, SEGMENTER, small, write_blocks

from mmseg_custom.engine import run_comparison
from mmseg_custom.engine.band_count import fit_bands
from mmseg_custom.engine.class_count import fit_class_count
from mmseg_custom.engine.config import load_config
from mmseg_custom.engine.launch import train
from mmseg_custom.engine.task import fit_task
from mmseg_custom.registry import DATASETS, SCOPE
from mmseg_custom.templates.composing import ANY_LENGTH, compose
from mmseg_custom.templates.params_file import default_params


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    return write_blocks(tmp_path_factory.mktemp('blocks'))


@pytest.fixture
def composed(folder, tmp_path):
    """Compose and read what ``tools/train.py`` would."""

    def read(params, num_train: int = 6):
        path = tmp_path / 'composed.py'
        path.write_text(compose(params, folder, num_train))
        return load_config(str(path))

    return read


def steps(config, loader: str) -> dict:
    """The transforms of a loader by their names."""
    dataset = config[loader].dataset
    pipeline = dataset.get('pipeline') or dataset.datasets[0].pipeline
    return {step.type: step for step in pipeline}


def test_every_field_reaches_the_config(composed, folder):
    config = composed(
        small(
            *(SEGFORMER,),
            image_size=[64],
            num_epochs=25,
            invalid_data_tolerance_percent=7.5,
            seed=3,
            device='cpu',
            precision='bfloat16',
            backbone='mit-b2',
        ),
        num_train=100,
    )
    assert config.model.backbone.num_layers == [3, 4, 6, 3]
    assert steps(config, 'train_dataloader')['RandomResize'].scale == (ANY_LENGTH, 64)
    assert steps(config, 'val_dataloader')['Resize'].scale == (ANY_LENGTH, 64)
    assert steps(config, 'train_dataloader')['RandomCrop'].crop_size == (64, 64)
    assert config.model.data_preprocessor.size == config.crop_size == (64, 64)
    assert config.train_dataloader.batch_size == 3
    assert config.train_cfg == dict(type='EpochBasedTrainLoop', max_epochs=25, val_interval=3)
    assert 'end' not in config.param_scheduler[-1]
    # 34 steps in an epoch.
    assert config.default_hooks.logger.interval == 8
    assert config.default_hooks.checkpoint.interval == 3
    assert (config.per_item_lr, config.optim_wrapper.optimizer.lr) == (1e-4, None)
    assert (config.optim_wrapper.type, config.optim_wrapper.dtype) == (
        'AmpOptimWrapper',
        'bfloat16',
    )
    assert config.randomness == dict(seed=3, deterministic=True)
    assert config.device == 'cpu'
    assert config.invalid_data_tolerance_percent == 7.5
    assert config.load_from is None
    for name in ('train', 'val', 'test'):
        dataset = config[f'{name}_dataloader'].dataset
        assert (dataset.type, dataset.data_root) == ('FolderDataset', str(folder))


def test_two_sizes_are_the_exact_width_and_height(composed):
    config = composed(small(image_size=[96, 64]))
    for loader, name in (('train_dataloader', 'RandomResize'), ('val_dataloader', 'Resize')):
        step = steps(config, loader)[name]
        assert (step.scale, step.keep_ratio) == ((96, 64), False)
    assert config.crop_size == (64, 96)


def test_no_rate_is_written_as_such(composed):
    config = composed(small(per_item_lrate=0.0))
    assert 'per_item_lr' not in config and config.optim_wrapper.optimizer.lr == 0.0


@pytest.mark.parametrize(
    'template, fields, weights, schedule',
    [
        (SEGFORMER, {}, 'segformer_mit-b0_ade20k', (0.9, 0.999)),
        (SEGFORMER, dict(backbone='mit-b5'), 'segformer_mit-b5_ade20k', (0.9, 0.999)),
        (SEGFORMER, dict(pretrained_weights='mit_b0'), 'mit_b0', (0.9, 0.999)),
        (SEGFORMER, dict(pretrained_weights=None), None, (0.9, 0.95)),
        (SEGMENTER, dict(backbone='vit-l'), 'segmenter_vit-l_mask_ade20k', (0.9, 0.999)),
        (
            *(SEGMENTER, dict(backbone='vit-s', decoder='linear')),
            *('segmenter_vit-s_fcn_ade20k', (0.9, 0.999)),
        ),
        (GENERAL, {}, 'segformer_mit-b0_ade20k', (0.9, 0.999)),
    ],
)
def test_weights_and_with_them_the_optimizer(composed, template, fields, weights, schedule):
    config = composed(default_params(template).updated(**fields))
    assert config.load_from == weights
    assert config.get('new_classes', False) is (weights is not None)
    assert tuple(config.optim_wrapper.optimizer.betas) == schedule


@pytest.mark.parametrize('backbone, channels', [('vit-t', 192), ('vit-s', 384), ('vit-b', 768)])
def test_a_mask_decoder_without_its_weights_has_a_linear_head_beside_it(
    composed, backbone, channels
):
    fields = dict(backbone=backbone, image_size=[72])
    config = composed(small(SEGMENTER, **fields))
    assert config.model.auxiliary_head.in_channels == config.model.backbone.embed_dims == channels
    assert config.model.backbone.img_size == (80, 80), 'whole patches'
    config = composed(small(SEGMENTER, **fields, pretrained_weights='ade20k'))
    assert 'auxiliary_head' not in config.model


@pytest.mark.parametrize(
    'config, windows',
    [
        ('segmenter/segmenter_vit-l_mask_8xb1-80k_cityscapes-768x768.py', True),
        ('segformer/segformer_mit-b0_8xb2-40k_voc12aug-512x512.py', False),
        ('quickstart/segformer_mit-b0_quickstart.py', False),
    ],
)
def test_a_general_config_keeps_its_network_and_takes_the_rest(composed, folder, config, windows):
    found = composed(small(GENERAL, config=config, image_size=[64], num_epochs=2))
    leaf = load_config(config)
    for name in ('type', 'embed_dims', 'num_layers'):
        assert found.model.backbone[name] == leaf.model.backbone[name]
    assert found.optim_wrapper.optimizer.type == leaf.optim_wrapper.optimizer.type
    assert found.model.backbone.get('init_cfg') is None
    assert found.train_cfg.type == 'EpochBasedTrainLoop'
    assert found.log_processor.by_epoch
    assert all('end' not in one for one in found.param_scheduler[-1:])
    train_steps, val_steps = (steps(found, f'{name}_dataloader') for name in ('train', 'val'))
    resize = train_steps.get('RandomResize') or train_steps['Resize']
    assert resize.scale == val_steps['Resize'].scale == (ANY_LENGTH, 64)
    assert train_steps['RandomCrop'].crop_size == (64, 64)
    assert [*val_steps].index('Resize') < [*val_steps].index('LoadAnnotations')
    if windows:
        assert found.model.test_cfg.crop_size == (64, 64)
        assert found.model.test_cfg.stride == (43, 43)
    fit_class_count(found)
    assert found.model.decode_head.num_classes == len(CLASSES)


@pytest.mark.parametrize('template', [SEGFORMER, SEGMENTER])
def test_bands_are_those_of_the_data(tmp_path, template):
    root = write_blocks(tmp_path / 'bands')
    facts = dict(bands=['nir', 'red', 'green', 'blue', 'sar'], mean=[1.0] * 5, std=[2.0] * 5)
    with (root / 'dataset.yaml').open('a') as file:
        yaml.safe_dump({**facts, 'rgb_bands': ['red', 'green', 'blue']}, file)
    path = tmp_path / 'composed.py'
    path.write_text(compose(small(template, image_size=[64]), root, 6))
    config = load_config(str(path))
    fit_bands(config)
    assert config.model.backbone.in_channels == 5
    assert list(config.model.backbone.rgb_channels) == [1, 2, 3]
    assert config.model.data_preprocessor.mean == facts['mean']
    for name in ('train_dataloader', 'val_dataloader'):
        assert steps(config, name)['LoadBandsFromFile'].bands == [0, 1, 2, 3, 4]
        assert '.tif' in config[name].dataset.img_suffix
    assert steps(config, 'train_dataloader')['RandomCrop'].crop_size == (64, 64)


@pytest.mark.parametrize(
    'concepts, other, classes, targets',
    [
        # What background, road, car and tree become.
        (['car', 'road'], 'background', ('background', 'road', 'car'), (0, 1, 2, 0)),
        (['car', 'road'], 'ignore', ('road', 'car'), (255, 0, 1, 255)),
        (['background', 'car'], 'ignore', ('background', 'car'), (0, 255, 1, 255)),
        (['tree'], 'background', ('background', 'tree'), (0, 0, 0, 1)),
        (['tree', 'car', 'road', 'background'], 'ignore', CLASSES, (0, 1, 2, 3)),
        (None, 'ignore', CLASSES, (0, 1, 2, 3)),
    ],
)
def test_concepts_and_what_the_others_become(composed, folder, concepts, other, classes, targets):
    config = composed(small(concepts=concepts, other_concepts=other))
    plain = dict(type='FolderDataset', data_root=str(folder), split='train', _scope_=SCOPE)
    load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
    wanted = DATASETS.build(dict(**plain, pipeline=load))
    chosen = config.train_dataloader.dataset
    for leaf in chosen.get('datasets', [chosen]):
        leaf.pipeline = load
    found = DATASETS.build(dict(_scope_=SCOPE, **chosen))
    assert found.metainfo['classes'] == classes
    table, seen = np.array([*targets, *[255] * 252]), set()
    for index in range(len(wanted)):
        labels = wanted[index]['gt_seg_map']
        seen.update(labels.ravel().tolist())
        np.testing.assert_array_equal(found[index]['gt_seg_map'], table[labels])
    assert seen == {0, 1, 2, 3, 255}
    colours = dict(zip(CLASSES, wanted.metainfo['palette']))
    for name, colour in zip(classes, found.metainfo['palette']):
        assert colour == colours[name]


def test_one_concept_and_background_are_a_binary_task(composed):
    config = composed(small(concepts=['tree']))
    fit_task(config)
    fit_class_count(config)
    head = config.model.decode_head
    assert (config.task, head.num_classes, head.out_channels) == ('binary', 2, 1)
    assert 'task' not in composed(small(concepts=['tree', 'car']))


@pytest.mark.parametrize(
    'fields, num_train, error',
    [
        (
            dict(batch_size=9),
            8,
            r'batch_size is 9, but .* has 8 training images; set .*: 8',
        ),
        (dict(concepts=['cat']), 6, r"concepts: 'cat' is no class of the data set.*mean car\?"),
        (dict(concepts=['car', 'car']), 6, r"concepts: 'car' occurs twice"),
        (dict(concepts=['car'], other_concepts='ignore'), 6, r"only 'car' is left"),
        (dict(concepts=['background']), 6, r"only 'background' is left"),
        (dict(pretrained_weights='ade20'), 6, r'no file .*ade20; did you mean ade20k\?'),
    ],
)
def test_what_does_not_fit_the_data_is_refused(folder, fields, num_train, error):
    with pytest.raises((ValueError, FileNotFoundError), match=error):
        compose(small(**fields), folder, num_train)


@pytest.mark.parametrize(
    'text, error',
    [
        ('model = dict(', r'cannot be read \(SyntaxError: .*\); mend it, or choose one of docs'),
        ('model = dict(type=unknown)', 'cannot be read \\(NameError: '),
        ("_base_ = 'gone.py'", 'cannot be read \\(FileNotFoundError: .*gone.py'),
        ("model = dict(type='EncoderDecoder')", 'is no segmentor; expected a decode_head'),
        ('model = dict(decode_head={})', 'has no train_dataloader, val_dataloader, optim_wrapper'),
    ],
)
def test_a_config_that_does_not_train_is_named(folder, tmp_path, text, error):
    path = tmp_path / 'mine.py'
    path.write_text(text)
    with pytest.raises(ValueError, match=f'config {path} {error}') as raised:
        compose(small(GENERAL, config=str(path)), folder, 6)
    assert '\n' not in str(raised.value)


def run(params, folder: Path, work_dir: Path, *options: str) -> tuple[dict, list]:
    """Train as ``tools/train.py`` does; the outcome after one epoch."""
    work_dir.mkdir()
    config = work_dir / 'composed.py'
    config.write_text(compose(params, folder, 6))
    train(load_config(str(config), [*options]), str(work_dir / 'run'))
    return run_comparison.outcome(work_dir / 'run', 'epoch_1.pth')


def test_a_composed_config_trains(folder, tmp_path):
    """Two steps of the smallest SegFormer on one concept, from other weights than it leaves."""
    torch.set_num_threads(1)
    workers = [f'{name}_dataloader.num_workers=0' for name in ('train', 'val')]
    state, log = run(small(concepts=['tree']), folder, tmp_path / 'a', *workers)
    assert state['state_dict.decode_head.conv_seg.weight'].shape[0] == 1
    assert all(torch.isfinite(value).all() for value in state.values() if torch.is_tensor(value))
    assert any('fgIoU' in line for line in log)


@pytest.mark.slow
@pytest.mark.parametrize(
    'template, fields',
    [(SEGFORMER, dict(concepts=['car', 'tree'])), (SEGMENTER, dict(precision='bfloat16'))],
)
def test_the_same_params_give_the_same_weights(folder, tmp_path, template, fields):
    torch.set_num_threads(1)
    one, two, other = (
        run(small(template, seed=seed, **fields), folder, tmp_path / name)
        for name, seed in (('a', 1), ('b', 1), ('c', 2))
    )
    assert run_comparison.differences(one, two) == []
    assert run_comparison.differences(one, other)
