# Segmenter with the mask decoder: two transformer layers over patch and class tokens.
_base_ = './segmenter_vit-t16.py'
model = dict(
    decode_head=dict(
        type='SegmenterMaskTransformerHead',
        in_channels=192,
        channels=192,
        embed_dims=192,
        num_layers=2,
        num_heads=3,
        dropout_ratio=0.0,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    )
)
