import copy

import pytest
import torch
from mmengine.hooks import Hook
from torch import nn
from training_runs import configured, run

from mmseg_custom.engine.freezing import freeze
from mmseg_custom.registry import HOOKS


def network() -> nn.Module:
    """An encoder of two blocks with batch norm and dropout, and a head."""
    model = nn.Module()
    model.backbone = nn.Sequential(
        *(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)) for _ in range(2))
    )
    model.head = nn.Linear(3, 2)
    return model


@pytest.mark.parametrize('pattern', ['backbone', 'backbone.*', 'back*'])
def test_a_frozen_part_computes_as_in_eval(pattern):
    model = network()
    model.train()
    assert 'backbone' in freeze(model, [pattern])
    images = torch.randn(8, 3)
    before = copy.deepcopy(model.backbone.state_dict())
    for network_ in (model, copy.deepcopy(model)):
        network_.train()
        torch.testing.assert_close(network_.backbone(images), network_.backbone(images))
        assert not any(module.training for module in network_.backbone.modules())
        assert network_.head.training
        assert not network_.backbone(images).requires_grad
    after = model.backbone.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_a_pattern_may_mean_some_parameters_of_a_module():
    model = network()
    text = freeze(model, ['backbone.0', '*.bias'])
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {
        *('backbone.0.0.weight', 'backbone.0.0.bias', 'backbone.0.1.weight', 'backbone.0.1.bias'),
        *('backbone.1.0.bias', 'backbone.1.1.bias', 'head.bias'),
    }
    assert text.endswith('in eval mode: backbone.0')
    model.train()
    assert not model.backbone[0].training and model.backbone[1][1].training


@pytest.mark.parametrize(
    ('patterns', 'message'),
    [
        (['backbon.*'], r"'backbon\.\*' matches no parameter; did you mean backbone"),
        (['backbone', 'xyz'], r"'xyz' matches no parameter; the parts of this model are backbone,"),
        ('*', 'leaves nothing to train'),
        (True, 'freeze=True; expected names'),
    ],
)
def test_errors(patterns, message):
    with pytest.raises(ValueError, match=message):
        freeze(network(), patterns)


@HOOKS.register_module()
class RememberHook(Hook):
    """Keep the weights that a training begins with."""

    def before_train(self, runner):
        self.weights = copy.deepcopy(runner.model.state_dict())


def test_a_training_leaves_them_as_they_are(tmp_path, training_pictures):
    config = configured(
        training_pictures,
        *('max_iters=2', 'freeze=[backbone.layers.0,decode_head.fusion_conv.bn]'),
        *('layer_decay=0.5', 'default_hooks.checkpoint.interval=2', 'train_cfg.val_interval=2'),
        hooks=(dict(type='RememberHook'),),
    )
    runner = run(config, tmp_path)
    before = next(hook for hook in runner.hooks if isinstance(hook, RememberHook)).weights
    after = runner.model.state_dict()
    same = {name for name in after if torch.equal(after[name], before[name])}
    frozen = {
        n for n in after if n.startswith(('backbone.layers.0.', 'decode_head.fusion_conv.bn'))
    }
    assert any('running_mean' in name for name in frozen)
    assert frozen <= same
    changed = after.keys() - same
    assert {name.split('.')[2] for name in changed if 'backbone' in name} == {'1', '2', '3'}
    rates = {
        name: next(
            group['initial_lr']
            for group in runner.optim_wrapper.param_groups
            if group['params'][0] is parameter
        )
        for name, parameter in runner.model.named_parameters()
        if parameter.requires_grad
    }
    top = rates['decode_head.conv_seg.weight']
    # One block in each of four stages: the last is one layer below the head.
    assert rates['backbone.layers.3.2.weight'] == pytest.approx(top / 2)
    assert rates['backbone.layers.1.0.projection.weight'] == pytest.approx(top / 8)
