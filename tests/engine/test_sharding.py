"""What is sharded, and what a sharded run refuses; tests/engine/test_processes.py trains one."""

import pytest
from config_leaves import CONFIG_DIR, copied, fill_class_counts, make_thin
from torch import nn

from mmseg_custom.engine.sharding import check_sharding, transformer_layers
from mmseg_custom.registry import MODELS


@pytest.mark.parametrize(
    ('name', 'number'),
    [
        # One layer in the backbone and one in the decoder.
        ('segmenter/segmenter_vit-l_mask_8xb1-160k_ade20k-512x512.py', 2),
        # One layer in each stage.
        ('segformer/segformer_mit-b5_8xb2-160k_ade20k-512x512.py', 4),
    ],
)
def test_the_layers_of_both_families_are_found(name, number):
    config = copied(CONFIG_DIR / name)
    fill_class_counts(config)
    make_thin(config.model)
    layers = transformer_layers(MODELS.build(config.model))
    assert [type(layer).__name__[-5:] for layer in layers] == ['Layer'] * number
    assert transformer_layers(nn.Linear(2, 2)) == []


@pytest.mark.parametrize(
    ('sharding', 'config', 'message'),
    [
        ('zero', {}, "sharding='zero', expected 'fsdp'"),
        ('fsdp', dict(compile=True), 'does not work together with compile; leave one out'),
        ('fsdp', dict(custom_hooks=[dict(type='mmseg_custom.EMAHook')]), 'together with EMAHook'),
        ('fsdp', dict(optim_wrapper=dict(dtype='float16')), r'together with float16 \(use bfloat'),
    ],
)
def test_what_needs_whole_parameters_is_refused(sharding, config, message):
    with pytest.raises(ValueError, match=message):
        check_sharding(sharding, config)
    check_sharding(None, config)
