"""Configs of small networks that several tests build: a ViT, and Segmenter's two decoders."""

VIT = dict(
    type='VisionTransformer',
    img_size=(64, 64),
    embed_dims=16,
    num_layers=2,
    num_heads=2,
    final_norm=True,
)
LINEAR = dict(
    type='FCNHead',
    in_channels=16,
    channels=16,
    num_classes=6,
    num_convs=0,
    concat_input=False,
    dropout_ratio=0.0,
)
MASK = dict(
    type='SegmenterMaskTransformerHead',
    in_channels=16,
    channels=16,
    num_classes=6,
    num_layers=2,
    num_heads=2,
    embed_dims=16,
    dropout_ratio=0.0,
)
