# ViT-Ti/16 backbone of Segmenter (https://arxiv.org/abs/2105.05633), without a decoder:
# segmenter_vit-t16_mask.py and segmenter_vit-t16_fcn.py add one. The leaf sets the image size.
# The patch embedding has a bias, as in the AugReg weights and in OpenMMLab's Segmenters, which
# mmseg 1.2 drops (its default is none). LayerNorm eps 1e-6 in the backbone as in the AugReg
# weights; mmseg's decoder keeps 1e-5.
data_preprocessor = dict(
    type='SegDataPreProcessor',
    mean=[127.5, 127.5, 127.5],
    std=[127.5, 127.5, 127.5],
    bgr_to_rgb=True,
    pad_val=0,
    seg_pad_val=255,
)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=data_preprocessor,
    backbone=dict(
        type='VisionTransformer',
        patch_size=16,
        patch_bias=True,
        in_channels=3,
        embed_dims=192,
        num_layers=12,
        num_heads=3,
        drop_path_rate=0.1,
        attn_drop_rate=0.0,
        drop_rate=0.0,
        final_norm=True,
        norm_cfg=dict(type='LN', eps=1e-6, requires_grad=True),
        with_cls_token=True,
        interpolate_mode='bicubic',
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
