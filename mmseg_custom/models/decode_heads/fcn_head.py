"""Convolutions and a 1x1 classifier; without convolutions Segmenter's linear decoder."""

from mmseg.models.decode_heads import FCNHead as UpstreamFCNHead

from mmseg_custom.models.decode_heads.decode_head import DecodeHead
from mmseg_custom.registry import MODELS


@MODELS.register_module()
class FCNHead(DecodeHead, UpstreamFCNHead):
    """mmseg's ``FCNHead`` with our loss and prediction steps; same arguments, keys and numbers.

    Segmenter's linear decoder is ``num_convs=0, concat_input=False``: its only parameters are
    ``conv_seg.weight`` and ``conv_seg.bias``.

    Raises:
        ValueError: without convolutions, ``channels`` differs from ``in_channels``.
    """

    def __init__(self, num_convs: int = 2, **kwargs):
        in_channels, channels = kwargs.get('in_channels'), kwargs.get('channels')
        if num_convs == 0 and in_channels != channels:
            raise ValueError(
                'without convolutions the classifier sees the backbone map, so channels must equal '
                f'in_channels, got channels={channels} and in_channels={in_channels}; set '
                f'decode_head.channels={in_channels}'
            )
        super().__init__(num_convs=num_convs, **kwargs)
