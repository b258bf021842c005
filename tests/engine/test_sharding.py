"""What is sharded, and what a sharded run refuses; tests/engine/test_processes.py trains one."""

import pytest
import torch
from config_leaves import CONFIG_DIR, copied, fill_class_counts, make_thin
from mmengine.hooks import EMAHook
from mmengine.optim import OptimWrapper
from torch import nn

from mmseg_custom.engine.sharding import check_sharding, shard, transformer_layers
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
    ('config', 'hooks', 'message'),
    [
        (dict(sharding='zero'), [], "sharding='zero', expected 'fsdp'"),
        (dict(compile=True), [], 'does not work together with compile; leave one out'),
        (dict(model_wrapper_cfg=dict(bucket_cap_mb=1)), [], 'together with model_wrapper_cfg'),
        ({}, [EMAHook()], 'together with EMAHook'),
    ],
)
def test_what_needs_whole_parameters_is_refused(config, hooks, message):
    with pytest.raises(ValueError, match=message):
        check_sharding(dict(sharding='fsdp') | config, hooks)
    check_sharding({**config, 'sharding': None}, hooks)


def test_models_that_cannot_be_sharded_are_refused():
    model = nn.Linear(2, 2)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1.0))
    with pytest.raises(ValueError, match='shards transformer layers, and Linear has none'):
        shard(model, wrapper)
    wrapper.cast_dtype = torch.float16
    layer = nn.ModuleDict({'attn': model, 'ffn': nn.Linear(2, 2)})
    with pytest.raises(ValueError, match=r'with float16; set optim_wrapper.dtype=bfloat16'):
        shard(nn.Sequential(layer), wrapper)
