# A class head and the preparation of pictures for classification, in the leaf to be put beside the
# encoder of a segmentor's fragment: model = dict(_delete_=True, backbone=_base_.model.backbone,
# **_base_.classifier). Loss and mixing as PVTv2's recipe has them.
classifier = dict(
    type='ImageClassifier',
    data_preprocessor=dict(
        type='ImgDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    # MiT-B1 to B5 end with 512 channels, B0 with 256.
    head=dict(type='LinearClsHead', in_channels=512, num_classes=1000, label_smoothing=0.1),
    batch_mixing=dict(mixup_alpha=0.8, cutmix_alpha=1.0),
)
