"""Every leaf config builds, agrees with its data, and takes a training and a validation step."""

import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from generated_data import write_dataset
from mmengine.registry import init_default_scope

from mmseg_custom.engine.class_count import dataset_metainfo
from mmseg_custom.engine.config import drop_pretrained, load_config
from mmseg_custom.engine.launch import build_runner, prepare, train
from mmseg_custom.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS, register_all

CONFIG_DIR = Path(__file__).resolve().parents[1] / 'configs'
LEAVES = sorted(p for p in CONFIG_DIR.rglob('*.py') if '_base_' not in p.parts)
leaves = pytest.mark.parametrize('path', LEAVES, ids=lambda p: p.stem)


def transforms(pipeline):
    """All transforms of a pipeline, those inside TestTimeAug too."""
    for transform in pipeline:
        yield transform
        for branch in transform.get('transforms', []):
            yield from transforms(branch if isinstance(branch, list) else [branch])


@pytest.fixture(autouse=True)
def scope():
    register_all()
    init_default_scope('mmseg_custom')


@leaves
def test_class_count_is_the_data_sets(path):
    config = load_config(str(path))
    stated = config.model.decode_head.num_classes
    if path.stem.endswith('_folder'):
        assert stated is None, 'the number of classes of a folder is only known from the folder'
        return
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        meta = dataset_metainfo(config[loader].dataset)
        assert len(meta['classes']) == len(meta['palette']) == stated


@leaves
def test_crop_sizes_agree(path):
    config = load_config(str(path))
    crop_size = tuple(config.crop_size)
    crops = [
        tuple(t['crop_size'])
        for t in transforms(config.train_dataloader.dataset.pipeline)
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
    config = load_config(str(path))
    begins = [scheduler['begin'] for scheduler in config.param_scheduler]
    ends = [scheduler['end'] for scheduler in config.param_scheduler]
    assert begins == [0, *ends[:-1]], 'each schedule begins where the one before it ends'
    assert ends[-1] == config.train_cfg.max_iters == config.max_iters


@leaves
def test_every_custom_key_matches_a_parameter(path):
    config = load_config(str(path))
    keys = config.optim_wrapper.get('paramwise_cfg', {}).get('custom_keys', {})
    drop_pretrained(config)
    config.model.decode_head.setdefault('num_classes', 2)
    config.model.decode_head.num_classes = config.model.decode_head.num_classes or 2
    model = MODELS.build(config.model)
    names = [name for name, _ in model.named_parameters()]
    for key in keys:
        assert any(key in name for name in names), f'{key} matches no parameter'
    constructor = OPTIM_WRAPPER_CONSTRUCTORS.get('DefaultOptimWrapperConstructor')
    wrapper_cfg = config.optim_wrapper.to_dict()
    paramwise = wrapper_cfg.pop('paramwise_cfg', None)
    wrapper = constructor(wrapper_cfg, paramwise)(model)
    optimized = {id(p) for group in wrapper.optimizer.param_groups for p in group['params']}
    assert optimized == {id(p) for p in model.parameters() if p.requires_grad}


@leaves
def test_one_step_on_generated_data(path, tmp_path, monkeypatch):
    """Train one iteration through the real runner, then validate, at a small crop."""
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    config = load_config(
        str(path),
        [
            f'data_root={tmp_path}/data',
            'max_iters=1',
            'crop_size=(64,64)',
            'train_dataloader.batch_size=2',
        ],
    )
    if 'img_size' in config.model.backbone:
        config.model.backbone.img_size = (64, 64)
    if config.model.test_cfg.mode == 'slide':
        config.model.test_cfg.stride = (48, 48)
    count = config.model.decode_head.num_classes or 3
    if path.stem.endswith('_folder'):
        (tmp_path / 'data').mkdir()
        (tmp_path / 'data/dataset.yaml').write_text('classes: [a, b, c]\n')
    for name in ('train_dataloader', 'val_dataloader'):
        loader = config[name]
        loader.update(num_workers=0, persistent_workers=False)
        if loader.dataset.type != 'QuickstartDataset':
            write_dataset(loader.dataset, tmp_path / 'data', count)
        loader.dataset.indices = 2
        for transform in loader.dataset.pipeline:
            if transform['type'] in ('Resize', 'RandomResize'):
                transform['scale'] = (128, 96)
    runner = train(config, str(tmp_path / 'run'), from_scratch=True)
    assert math.isfinite(runner.message_hub.get_scalar('train/loss').current())
    assert 0 <= runner.message_hub.get_scalar('val/mIoU').current() <= 100
    assert (tmp_path / 'run/iter_1.pth').is_file()


@leaves
def test_header_names_source_command_hardware_result(path):
    text = path.read_text()
    for field in ('Source', 'Command', 'Hardware', 'Published'):
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
    prepare(config, str(tmp_path), 'none', 'train_dataloader')
    drop_pretrained(config)
    model = build_runner(config).model
    for part in (model, model.backbone, model.decode_head, model.decode_head.loss_decode):
        assert type(part).__module__.startswith('mmseg_custom.')
