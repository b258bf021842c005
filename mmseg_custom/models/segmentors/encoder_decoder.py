"""Backbone and head as one segmentor: mmseg's ``EncoderDecoder``, faster and in less memory."""

from mmseg.models.segmentors import EncoderDecoder as UpstreamEncoderDecoder

from mmseg_custom.models.segmentors.children import scoped
from mmseg_custom.registry import MODELS


@MODELS.register_module()
class EncoderDecoder(UpstreamEncoderDecoder):
    """mmseg's ``EncoderDecoder`` with the same arguments, children and state-dict keys.

    Children are looked up in our registry first, whatever the default scope is.
    """

    def __init__(
        self,
        backbone: dict,
        decode_head: dict,
        neck: dict | None = None,
        auxiliary_head: dict | list[dict] | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        pretrained: str | None = None,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(
            backbone=scoped(backbone),
            decode_head=scoped(decode_head),
            neck=scoped(neck),
            auxiliary_head=scoped(auxiliary_head),
            train_cfg=train_cfg,
            test_cfg=test_cfg,
            data_preprocessor=scoped(data_preprocessor),
            pretrained=pretrained,
            init_cfg=init_cfg,
        )
