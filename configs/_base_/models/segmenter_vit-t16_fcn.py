# Segmenter with the linear decoder, which mmseg builds as an FCNHead without convolutions.
_base_ = './segmenter_vit-t16.py'
model = dict(
    decode_head=dict(
        type='FCNHead',
        in_channels=192,
        channels=192,
        num_convs=0,
        concat_input=False,
        dropout_ratio=0.0,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    )
)
