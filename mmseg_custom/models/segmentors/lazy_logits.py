"""A data sample's logits, computed when someone asks for them."""

from mmengine.structures import PixelData
from torch import Tensor

from mmseg_custom.models.segmentors.block_prediction import LogitMap


class LazyLogits(PixelData):
    """``PixelData`` whose ``data``, float logits of shape (K, H, W), is computed at each access.

    It holds the head's low-resolution logits. So whoever reads ``sample.seg_logits.data``, such as
    mmseg's ``SegTTAModel``, gets the logits, and whoever does not costs neither time nor memory.
    Copies made by ``new``, ``to`` or ``cpu`` are plain ``PixelData`` that hold the values.
    """

    def __init__(self, source: LogitMap):
        super().__init__()
        # mmengine's element takes plain attributes for data fields.
        object.__setattr__(self, '_source', source)
        self._data_fields.add('data')

    @property
    def data(self) -> Tensor:
        """The logits, of shape (K, H, W)."""
        return self._source.logits()

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self._source.shape[1:]

    def new(self, *, metainfo: dict | None = None, **kwargs) -> PixelData:
        """Return a plain copy that holds the values."""
        metainfo = dict(self.metainfo_items()) if metainfo is None else metainfo
        return PixelData(metainfo=metainfo, **(kwargs or {'data': self.data}))

    def to_dict(self) -> dict:
        """Return the meta information only.

        mmengine's evaluator turns every sample into a dict for the metrics, which do not look at
        the logits. For one that does, set ``test_cfg.keep_logits=True``.
        """
        return dict(self.metainfo_items())
