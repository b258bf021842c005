import pytest
from config_leaves import CONFIG_DIR, copied, make_thin
from mmengine.optim import build_optim_wrapper

from mmseg_custom.engine.layer_decay import LayerDecayOptimWrapperConstructor, layer_ids
from mmseg_custom.registry import MODELS

MIT = {
    'backbone.layers.0.0.projection.weight': 0,
    'backbone.layers.0.1.0.attn.attn.in_proj_weight': 1,
    'backbone.layers.0.1.1.ffn.layers.0.weight': 2,
    'backbone.layers.0.2.weight': 2,
    'backbone.layers.1.0.norm.bias': 3,
    'backbone.layers.1.1.0.norm1.weight': 3,
    'backbone.layers.1.1.10.norm1.weight': 13,
    'backbone.layers.1.2.bias': 13,
    'decode_head.conv_seg.weight': 14,
    'decode_head.layers.0.1.0.weight': 14,
}
VIT = {
    'backbone.cls_token': 0,
    'backbone.pos_embed': 0,
    'backbone.patch_embed.projection.weight': 0,
    'backbone.layers.0.ln1.weight': 1,
    'backbone.layers.0.ffn.layers.0.0.weight': 1,
    'backbone.layers.11.attn.attn.out_proj.bias': 12,
    'backbone.ln1.weight': 13,
    'decode_head.cls_emb': 13,
    'decode_head.layers.1.ln1.weight': 13,
}


@pytest.mark.parametrize('table', [MIT, VIT], ids=['MiT', 'ViT'])
def test_layers_are_counted_from_the_picture(table):
    assert layer_ids(table) == table


def test_another_encoder_is_an_error():
    with pytest.raises(ValueError, match='needs a backbone MixVisionTransformer or Vision'):
        layer_ids(['backbone.stages.0.weight', 'decode_head.conv_seg.weight'])


@pytest.mark.parametrize(
    ('leaf', 'layers'),
    [
        ('segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py', 4),
        ('segmenter/segmenter_vit-t_mask_8xb1-160k_ade20k-512x512.py', 1),
    ],
)
def test_learning_rates_of_real_networks(leaf, layers):
    """The decay comes on top of what ``custom_keys`` multiply."""
    config = copied(CONFIG_DIR / leaf)
    make_thin(config.model)
    model = MODELS.build(dict(config.model, pretrained=None))
    custom = {'head': dict(lr_mult=10.0)}
    wrapper = build_optim_wrapper(
        model,
        dict(
            type='OptimWrapper',
            optimizer=dict(type='SGD', lr=1.0),
            constructor=LayerDecayOptimWrapperConstructor,
            paramwise_cfg=dict(custom_keys=custom, layer_decay=0.5),
        ),
    )
    rates = [group['lr'] for group in wrapper.param_groups]
    # mmengine adds one group that tells the base learning rate.
    assert len(rates) == len(list(model.parameters())) + 1
    wanted = {0.5**depth for depth in range(1, layers + 2)} | {10.0}
    # A ViT's final norm lies above its last block.
    assert set(rates) - {1.0} == wanted


@pytest.mark.parametrize('decay', [0, 1.5, 'a', True])
def test_the_factor_is_checked(decay):
    model = MODELS.build(dict(type='MixVisionTransformer', embed_dims=8, num_layers=[1] * 4))
    paramwise = dict(layer_decay=decay)
    with pytest.raises(ValueError, match=f'layer_decay={decay}; expected above 0 and at most 1'):
        build_optim_wrapper(
            model,
            dict(
                optimizer=dict(type='SGD', lr=1.0),
                constructor=LayerDecayOptimWrapperConstructor,
                paramwise_cfg=paramwise,
            ),
        )
