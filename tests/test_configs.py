"""Every leaf config agrees with itself, its data and its parameters; small ones take a step."""

import math
import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import torch
from config_leaves import (
    CONFIG_DIR,
    DATA_FRAGMENTS,
    DECODERS,
    LEAVES,
    composed,
    copied,
    fill_class_counts,
    leaves,
    reduced,
    resolved,
    smallest_of_each,
    transforms,
)
from generated_data import members, write_dataset
from mmengine.registry import init_default_scope

from mmseg_custom.checkpoints.published import find
from mmseg_custom.engine import launch
from mmseg_custom.engine.class_count import dataset_metainfo, heads
from mmseg_custom.engine.config import drop_pretrained, load_config
from mmseg_custom.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS, register_all


@pytest.fixture(autouse=True)
def scope():
    register_all()
    init_default_scope('mmseg_custom')


@leaves
def test_class_count_is_the_data_sets(path):
    config = resolved(path)
    (stated,) = {head.get('num_classes') for _, head in heads(config.model)}
    if '_folder' in path.stem:
        assert stated is None, 'the number of classes of a folder is only known from the folder'
        return
    for loader in launch.LOADERS:
        meta = dataset_metainfo(config[loader].dataset)
        assert len(meta['classes']) == len(meta['palette']) == stated


@leaves
def test_crop_sizes_agree(path):
    config = resolved(path)
    crop_size = tuple(config.crop_size)
    crops = [
        tuple(t['crop_size'])
        for dataset in members(config.train_dataloader.dataset)
        for t in transforms(dataset.pipeline)
        if t['type'] == 'RandomCrop'
    ]
    assert all(crop == crop_size for crop in crops)
    assert tuple(config.model.data_preprocessor.size) == crop_size
    if config.model.test_cfg.mode == 'slide':
        assert tuple(config.model.test_cfg.crop_size) == crop_size
    backbone = config.model.backbone
    if 'img_size' in backbone:
        patch = backbone.patch_size
        assert tuple(backbone.img_size) == tuple(math.ceil(s / patch) * patch for s in crop_size)


@leaves
def test_schedules_end_at_max_iters(path):
    config = resolved(path)
    begins = [scheduler['begin'] for scheduler in config.param_scheduler]
    ends = [scheduler['end'] for scheduler in config.param_scheduler]
    assert begins == [0, *ends[:-1]], 'each schedule begins where the one before it ends'
    assert ends[-1] == config.train_cfg.max_iters == config.max_iters


@leaves
def test_top_level_pipelines_are_the_loaders(path):
    """What a reader of the resolved config sees first is what the loaders have."""
    config = resolved(path)
    for name, loader in zip(('train_pipeline', 'test_pipeline', 'test_pipeline'), launch.LOADERS):
        for dataset in members(config[loader].dataset):
            assert dataset.pipeline == config[name]


@leaves
def test_every_custom_key_matches_a_parameter(path):
    config = copied(path)
    keys = config.optim_wrapper.get('paramwise_cfg', {}).get('custom_keys', {})
    drop_pretrained(config)
    fill_class_counts(config)
    with torch.device('meta'):
        model = MODELS.build(config.model)
    names = [name for name, _ in model.named_parameters()]
    for key in keys:
        assert any(key in name for name in names), f'{key} matches no parameter'
    constructor = OPTIM_WRAPPER_CONSTRUCTORS.get('DefaultOptimWrapperConstructor')
    wrapper_cfg = config.optim_wrapper.to_dict()
    paramwise = wrapper_cfg.pop('paramwise_cfg', None)
    wrapper_cfg['optimizer'].pop('fused', None)  # not on the meta device
    wrapper = constructor(wrapper_cfg, paramwise)(model)
    optimized = {id(p) for group in wrapper.optimizer.param_groups for p in group['params']}
    assert optimized == {id(p) for p in model.parameters() if p.requires_grad}


def decoder_and_data(config):
    """Which leaves differ in more than size: model family, decoder, data set and crop."""
    dataset = members(config.val_dataloader.dataset)[0]
    return config.model.backbone.type, config.model.decode_head.type, dataset.type


def take_a_step(config, work_dir):
    """Train one iteration through the real runner and validate; return the checkpoint."""
    torch.set_num_threads(1)
    runner = launch.train(config, str(work_dir), from_scratch=True)
    assert math.isfinite(runner.message_hub.get_scalar('train/loss').current())
    assert 0 <= runner.message_hub.get_scalar('val/mIoU').current() <= 100
    checkpoint = work_dir / 'iter_1.pth'
    assert checkpoint.is_file()
    return str(checkpoint)


def step_and_test(path, data, folder):
    """Train one iteration, validate, and test with augmentation."""
    checkpoint = take_a_step(reduced(path, data), folder / 'run')
    config = reduced(path, data)
    config.tta_pipeline[-1].transforms[0] = config.tta_pipeline[-1].transforms[0][:2]
    metrics = launch.test(config, checkpoint, str(folder / 'test'), tta=True)
    assert 0 <= metrics['mIoU'] <= 100


WITH_LEAF = smallest_of_each(decoder_and_data)


@pytest.mark.parametrize('path', WITH_LEAF, ids=lambda p: p.stem)
def test_one_step_on_generated_data(path, tmp_path, tmp_path_factory, monkeypatch):
    """A leaf for each decoder and data set that has one."""
    monkeypatch.chdir(tmp_path)
    is_quickstart = path.parent.name == 'quickstart'  # its pictures take long to draw
    data = (tmp_path_factory.getbasetemp() if is_quickstart else tmp_path) / 'data'
    step_and_test(path, data, tmp_path)


def without_leaf():
    """The decoders and data sets that no leaf puts together."""
    have = {decoder_and_data(resolved(path))[1:] for path in WITH_LEAF}
    types = {
        data: members(load_config(f'_base_/datasets/{data}.py').val_dataloader.dataset)[0].type
        for data in DATA_FRAGMENTS
    }
    return [(d, data) for d, data in product(DECODERS, types) if (d, types[data]) not in have]


@pytest.mark.parametrize(('decoder', 'data'), without_leaf())
def test_one_step_of_fragments(decoder, data, tmp_path, monkeypatch):
    """The other decoders and data sets, put together from their fragments."""
    monkeypatch.chdir(tmp_path)
    step_and_test(composed(decoder, data, tmp_path), tmp_path / 'data', tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    'path', [p for p in LEAVES if re.search(r'mit-b5|vit-l', p.stem)], ids=lambda p: p.stem
)
def test_one_step_at_full_depth(path, tmp_path, monkeypatch):
    """The largest networks as they are, at a small crop."""
    monkeypatch.chdir(tmp_path)
    config = reduced(path, tmp_path / 'data', thin=False)
    config.default_hooks.checkpoint.save_optimizer = False
    Path(take_a_step(config, tmp_path / 'run')).unlink()  # more than a gigabyte


@leaves
def test_header_names_source_command_hardware_result(path):
    text = path.read_text()
    fields = ['Source', 'Command', 'Hardware', 'Published']
    if resolved(path).model.backbone.get('init_cfg') and path.parent.name == 'segmenter':
        fields.append('Backbone')
    for field in fields:
        assert re.search(rf'^{field}:', text, re.M), f'the header does not say {field}'


STOCK_TOOL = """
import sys
from mmengine.config import Config
from mmengine.runner import Runner
import mmseg.registry
assert 'mmseg_custom' not in sys.modules
path, data_root, work_dir = sys.argv[1:]
config = Config.fromfile(path)
config.work_dir, config.launcher = work_dir, 'none'
config.train_dataloader.dataset.data_root = data_root
runner = Runner.from_cfg(config)
dataset = runner.build_dataloader(config.train_dataloader).dataset
for part in (runner.model, runner.model.backbone, runner.model.decode_head, dataset):
    print(f'{type(part).__module__}.{type(part).__name__}')
"""


def test_official_keys_load_in_stock_mmseg_tools(tmp_path):
    """A process that knows mmengine and mmseg only builds our model and data set."""
    path = CONFIG_DIR / 'segformer/segformer_mit-b0_1xb8-4k_camvid-360x480.py'
    write_dataset(load_config(str(path)).train_dataloader.dataset, tmp_path, 11)
    command = [sys.executable, '-W', 'ignore', '-c', STOCK_TOOL, path, tmp_path, tmp_path / 'run']
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    modules, names = zip(*(line.rsplit('.', 1) for line in result.stdout.splitlines()[-4:]))
    assert names == ('EncoderDecoder', 'MixVisionTransformer', 'SegformerHead', 'CamVidDataset')
    assert all(module.startswith('mmseg_custom.') for module in modules), modules


@pytest.mark.parametrize(
    'name',
    [
        'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py',
        'segformer/segformer_mit-b2_8xb1-160k_cityscapes-1024x1024.py',
        'segmenter/segmenter_vit-s_mask_8xb1-160k_ade20k-512x512.py',
        'segmenter/segmenter_vit-s_fcn_8xb1-160k_ade20k-512x512.py',
    ],
)
def test_official_configs_use_our_classes(name, tmp_path):
    import mmseg

    official = Path(mmseg.__file__).parent / '.mim/configs' / name
    config = load_config(str(official), ['default_scope=mmseg_custom'])
    launch.prepare(config, str(tmp_path), 'none', 'train_dataloader')
    drop_pretrained(config)
    model = launch.build_runner(config).model
    for part in (model, model.backbone, model.decode_head, model.decode_head.loss_decode):
        assert type(part).__module__.startswith('mmseg_custom.')


@leaves
def test_header_names_the_pretrained_backbone(path):
    """By its name in the table of published weights, with what it was trained on."""
    stated = re.search(r'^Backbone: +(\S+) \(AugReg: (.*)\)\.$', path.read_text(), re.M)
    init_cfg = resolved(path).model.backbone.get('init_cfg') or {}
    if path.parent.name != 'segmenter' or not init_cfg:
        assert stated is None
        return
    entry = find(init_cfg['checkpoint'])
    assert stated.groups() == (entry.name, entry.trained_on)
    assert '/augreg/' in find(entry.same_as).urls[0]
