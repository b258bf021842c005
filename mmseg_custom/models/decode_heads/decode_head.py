"""What every decode head of ours shares: the loss and prediction steps around ``forward``."""

from mmseg.models.decode_heads.decode_head import BaseDecodeHead


class DecodeHead(BaseDecodeHead):
    """mmseg's ``BaseDecodeHead`` with the same arguments and state-dict keys."""
