# From random weights for Segmenter. The LayerNorm over the classes bounds the logits of the mask
# decoder; its scale has to grow before they can be sure.
_base_ = './scratch_4k.py'
optim_wrapper = dict(
    optimizer=dict(lr=1.4e-3),
    paramwise_cfg=dict(custom_keys={'mask_norm': dict(lr_mult=10.0)}),
)
