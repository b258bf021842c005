"""Our ADE20K and Cityscapes configs are OpenMMLab's of the same name, but for what is listed here.

Differences that are meant: AdamW is fused; ``pos_block``, which matches no parameter, is gone; the
pretrained file stands at the backbone, by its name in our table; ViT's patch embedding has the bias
that the published files have; runs keep the best checkpoint; and whether label 0 is ignored is said
by the data set alone.
"""

import copy
from pathlib import Path

import mmseg
import pytest
from config_leaves import CONFIG_DIR, resolved
from mmengine.config import Config

from mmseg_custom.checkpoints.published import find
from mmseg_custom.registry import DATASETS, register_all

OFFICIAL_DIR = Path(mmseg.__file__).parent / '.mim/configs'
OFFICIAL = sorted(
    path.relative_to(OFFICIAL_DIR)
    for family in ('segformer', 'segmenter')
    for path in (OFFICIAL_DIR / family).glob('*.py')
)
configs = pytest.mark.parametrize('name', OFFICIAL, ids=lambda name: name.stem)


def normal(node):
    """Plain dicts and lists, without what is None or empty."""
    if isinstance(node, dict):
        entries = {key: normal(value) for key, value in node.items()}
        return {key: value for key, value in entries.items() if value not in (None, {}, [])}
    if isinstance(node, list | tuple):
        return [normal(item) for item in node]
    return node


def pair(name: Path) -> tuple[Config, Config]:
    return resolved(CONFIG_DIR / name), Config.fromfile(OFFICIAL_DIR / name)


def normal_model(config: Config) -> dict:
    model = normal(config.model.to_dict())
    url = model.pop('pretrained', None)
    if url is not None:
        model['backbone']['init_cfg'] = {'type': 'Pretrained', 'checkpoint': url}
    init = model['backbone']['init_cfg']
    init['checkpoint'] = find(init['checkpoint']).urls[0]
    if model['backbone']['type'] == 'VisionTransformer':
        model['backbone'].setdefault('patch_bias', True)
    return model


def normal_pipeline(pipeline: list, reduce_zero_label: bool) -> list:
    """Without ``reduce_zero_label``, once it is known to be what the data set says."""
    steps = normal(pipeline)
    for step in steps:
        if step['type'] == 'LoadAnnotations':
            stated = step.pop('reduce_zero_label', reduce_zero_label)
            assert stated == reduce_zero_label
        step['transforms'] = [
            normal_pipeline(branch, reduce_zero_label) for branch in step.get('transforms', [])
        ]
    return steps


def ignores_zero(dataset: dict) -> bool:
    """Whether the data set's class says that label 0 is ignored."""
    register_all()
    arguments = {'data_prefix': {'img_path': ''}, 'lazy_init': True}
    return DATASETS.build({'type': dataset['type'], **arguments}).reduce_zero_label


def test_every_official_config_has_its_counterpart():
    assert len(OFFICIAL) == 18
    assert [name for name in OFFICIAL if not (CONFIG_DIR / name).is_file()] == []


@configs
def test_model_and_test_mode(name):
    ours, official = pair(name)
    assert normal_model(ours) == normal_model(official)


@configs
def test_optimizer_and_schedule(name):
    ours, official = pair(name)
    wrapper = normal(ours.optim_wrapper.to_dict())
    wrapper['optimizer'].pop('fused', None)
    expected = normal(official.optim_wrapper.to_dict())
    expected.get('paramwise_cfg', {}).get('custom_keys', {}).pop('pos_block', None)
    assert wrapper == expected
    ours = copy.deepcopy(ours)
    for schedule in ours.param_scheduler:
        if 'eta_min_ratio' in schedule:
            schedule.eta_min = schedule.pop('eta_min_ratio') * ours.optim_wrapper.optimizer.lr
    for key in ('param_scheduler', 'train_cfg', 'val_cfg', 'test_cfg'):
        assert normal(ours[key]) == normal(official[key]), key
    interval = official.default_hooks.checkpoint.interval
    assert ours.default_hooks.checkpoint.interval == interval


@configs
def test_data_and_pipelines(name):
    ours, official = pair(name)
    assert tuple(ours.crop_size) == tuple(official.crop_size)
    zero = ignores_zero(ours.train_dataloader.dataset)
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader, expected = normal(ours[key].to_dict()), normal(official[key].to_dict())
        for dataset in (loader['dataset'], expected['dataset']):
            dataset['pipeline'] = normal_pipeline(dataset['pipeline'], zero)
            dataset['data_root'] = dataset['data_root'].rstrip('/')
        assert loader == expected, key
    # OpenMMLab's test-time augmentation leaves it to the data set, as all pipelines do here.
    assert normal_pipeline(ours.tta_pipeline, zero) == normal_pipeline(official.tta_pipeline, zero)
    for key in ('val_evaluator', 'test_evaluator', 'tta_model'):
        assert normal(ours[key]) == normal(official[key]), key


@pytest.mark.parametrize('setting', ['8xb2-160k_ade20k-512x512', '8xb1-160k_cityscapes-1024x1024'])
@pytest.mark.parametrize('size', ['b0', 'b1', 'b2', 'b3', 'b4', 'b5'])
def test_mlp_form_differs_in_decoder_and_epsilons_only(size, setting):
    """NVlabs' decoder is 256 wide for B0 and B1, 768 for the others."""
    name = f'mit-{size}_{setting}.py'
    ours = resolved(CONFIG_DIR / 'segformer' / f'segformer-mlp_{name}').to_dict()
    head = {'type': 'SegformerMLPHead', 'channels': 256 if size in ('b0', 'b1') else 768}
    expected = resolved(CONFIG_DIR / 'segformer' / f'segformer_{name}').to_dict()
    expected['model']['decode_head'].update(head)
    epsilons = {'norm_cfg': 1e-6, 'patch_norm_cfg': 1e-5, 'sr_norm_cfg': 1e-5}
    norms = {key: {'type': 'LN', 'eps': eps} for key, eps in epsilons.items()}
    expected['model']['backbone'].update(norms)
    assert ours == expected


@pytest.mark.parametrize('size', ['t', 's', 'b', 'l'])
def test_linear_decoder_stands_on_the_same_backbone(size):
    mask, linear = (
        resolved(CONFIG_DIR / f'segmenter/segmenter_vit-{size}_{head}_8xb1-160k_ade20k-512x512.py')
        for head in ('mask', 'fcn')
    )
    backbones = [{**config.model.backbone, 'img_size': None} for config in (mask, linear)]
    assert backbones[0] == backbones[1]
    head = linear.model.decode_head
    assert (head.type, head.num_convs, head.concat_input) == ('FCNHead', 0, False)
    assert head.in_channels == head.channels == linear.model.backbone.embed_dims
