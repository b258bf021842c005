"""Learning rates that follow the global batch, and floors that follow the learning rate."""

import math

import pytest
import torch
from mmengine.optim import CosineAnnealingLR
from training_runs import configured, run

from mmseg_custom.engine import PolyLR
from mmseg_custom.engine.config import load_config
from mmseg_custom.engine.learning_rate import rate_of_items, samples_per_step, scale_of_batch

B0 = 'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py'


def configuration(lr=None, accumulated=1, batch_size=2, **keys) -> dict:
    wrapper = dict(optimizer=dict(type='SGD', lr=lr), accumulative_counts=accumulated)
    return dict(train_dataloader=dict(batch_size=batch_size), optim_wrapper=wrapper, **keys)


def test_the_batch_is_the_product():
    assert samples_per_step(configuration(accumulated=4), 8) == 64
    rate, line = rate_of_items(configuration(accumulated=4, per_item_lr=1e-5), 8)
    assert rate == pytest.approx(6.4e-4)
    expected = '0.00064 = 1e-05 x 2 per process x 8 process(es) x 4 accumulated'
    assert line == f'learning rate {expected}'
    assert rate_of_items(configuration(lr=6.4e-4, accumulated=4, per_item_lr=1e-5), 8)[0] == rate
    assert rate_of_items(configuration(lr=1e-3), 8) is None


@pytest.mark.parametrize(
    ('rule', 'factor'), [({}, 4), (dict(rule='linear'), 4), (dict(rule='sqrt'), 2)]
)
def test_scaling_rules(rule, factor):
    scale = dict(enable=True, base_batch_size=16, **rule)
    found, line = scale_of_batch(configuration(accumulated=4), scale, 8)
    assert found == factor and 'in the global batch of 64' in line and 'chosen for 16' in line
    assert scale_of_batch(configuration(), {**scale, 'enable': False}, 8) == (1.0, '')


@pytest.mark.parametrize(
    ('keys', 'message'),
    [
        (dict(lr=6e-5, per_item_lr=1e-5), r'= 2e-05, but .*lr=6e-05; set .*optimizer.lr=None'),
        (dict(per_item_lr=0), r'per_item_lr=0, expected a positive number'),
        (dict(per_item_lr=True), r'per_item_lr=True, expected a positive number'),
        (dict(per_item_lr=1e-5, batch_size=None), r'needs train_dataloader.batch_size'),
        (
            dict(per_item_lr=1e-5, auto_scale_lr=dict(enable=True, base_batch_size=16)),
            r'per_item_lr and auto_scale_lr.enable=True both scale',
        ),
    ],
)
def test_contradictions_are_errors(keys, message):
    with pytest.raises(ValueError, match=message):
        rate_of_items(configuration(**keys), 1)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(), 'base_batch_size=None, expected the global batch'),
        (dict(base_batch_size=16, rule='cubic'), "rule='cubic', expected 'linear' or 'sqrt'"),
    ],
)
def test_scaling_that_is_not_defined(options, message):
    with pytest.raises(ValueError, match=message):
        scale_of_batch(configuration(), dict(enable=True, **options), 1)


def test_groups_and_floors_of_a_run_follow(tmp_path, training_pictures):
    """The decoder's group keeps its multiple down to the floor."""
    schedule = dict(type='PolyLR', eta_min_ratio=0.1, begin=0, end=2, by_epoch=False)
    root = dict(enable=True, base_batch_size=1, rule='sqrt')
    for name, lr, keys, rate in (
        ('per item', None, dict(per_item_lr=1e-4), 4e-4),
        ('square root', 1e-4, dict(auto_scale_lr=root), 2e-4),
    ):
        config = configured(training_pictures, 'max_iters=2', 'train_cfg.val_interval=2')
        config.param_scheduler = [schedule]
        config.custom_hooks = []
        config.optim_wrapper.update(
            accumulative_counts=2,
            paramwise_cfg=dict(custom_keys={'decode_head': dict(lr_mult=10.0)}),
        )
        config.optim_wrapper.optimizer.lr = lr
        config.update(keys)
        groups = run(config, tmp_path / name).optim_wrapper.param_groups
        found = sorted({(group['initial_lr'], group['lr']) for group in groups})
        assert found == [
            (pytest.approx(rate), pytest.approx(0.1 * rate)),
            (pytest.approx(10 * rate), pytest.approx(rate)),
        ]


@pytest.mark.parametrize('kind', [PolyLR, CosineAnnealingLR])
def test_a_ratio_is_the_floor_that_was_a_number(kind):
    """Bit for bit where there is one rate: configs that give a ratio train as before."""
    length = dict(T_max=20) if kind is CosineAnnealingLR else dict(power=0.9, end=20)
    curves = []
    for floor in (dict(eta_min=1e-4), dict(eta_min_ratio=0.1)):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-3)
        schedule = kind(optimizer, by_epoch=False, **length, **floor)
        curves.append([])
        for _ in range(20):
            optimizer.step()
            schedule.step()
            curves[-1].append(optimizer.param_groups[0]['lr'])
    assert curves[0] == curves[1]
    assert math.isclose(curves[0][-1], 1e-4)


def test_a_floor_is_given_once_and_below_the_rate():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1e-3)
    with pytest.raises(ValueError, match='eta_min=0.0 or eta_min_ratio=0.1, not both'):
        PolyLR(optimizer, eta_min=0.0, eta_min_ratio=0.1)
    with pytest.raises(ValueError, match='eta_min_ratio=10, expected the share'):
        PolyLR(optimizer, eta_min_ratio=10)


def test_the_command_line_knows_the_keys():
    scale = ['auto_scale_lr.enable=True', 'auto_scale_lr.base_batch_size=16']
    wrapper = ['model_wrapper_cfg.static_graph=True', 'model_wrapper_cfg.bucket_cap_mb=50']
    other = ['per_item_lr=1e-5', 'sharding=fsdp', 'env_cfg.dist_cfg.timeout=600']
    config = load_config(B0, [*scale, 'auto_scale_lr.rule=sqrt', *wrapper, *other])
    assert config.auto_scale_lr == dict(enable=True, base_batch_size=16, rule='sqrt')
    assert config.model_wrapper_cfg == dict(static_graph=True, bucket_cap_mb=50)
    for wrong in ('auto_scale_lr.base_batch=16', 'model_wrapper_cfg.static_grapf=True'):
        with pytest.raises(ValueError, match=f"unknown key '{wrong.split('=')[0]}'"):
            load_config(B0, [*scale, *wrapper, wrong])
