"""The mean over all positions and one linear layer."""

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmseg_custom.registry import MODELS


@MODELS.register_module()
class LinearClsHead(BaseModule):
    """Class logits from the last map of an encoder; names as in mmpretrain.

    Args:
        in_channels: channels of the map.
        num_classes: K; ``None`` is filled in from the data set by ``tools/train.py``.
        label_smoothing: share of the target that is spread over all classes, 0 to 1.
        init_cfg: initialisation.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        label_smoothing: float = 0.0,
        init_cfg: dict | list[dict] | None = dict(type='TruncNormal', layer='Linear', std=0.02),  # noqa: B006
    ) -> None:
        super().__init__(init_cfg)
        if num_classes is None or num_classes < 2:
            raise ValueError(f'num_classes={num_classes}; expected at least 2')
        self.num_classes, self.label_smoothing = num_classes, label_smoothing
        self.fc = nn.Linear(in_channels, num_classes)

    def forward(self, features: tuple[Tensor, ...]) -> Tensor:
        """Return logits (N, K) of an encoder's maps, of which the last, (N, C, h, w), counts."""
        return self.fc(features[-1].mean((2, 3)))

    def loss(self, features: tuple[Tensor, ...], targets: Tensor) -> dict[str, Tensor]:
        """Return the cross-entropy, averaged over the pictures.

        Args:
            features: maps of the encoder.
            targets: int64 class indices (N,), or float shares of the classes (N, K).
        """
        logits = self(features).float()
        return {'loss': F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)}
