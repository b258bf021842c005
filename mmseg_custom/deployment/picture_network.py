"""A segmentor as one network from pixels to probabilities, for files that stand alone."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PictureNetwork(nn.Module):
    """Normalisation, backbone, head, resizing to the picture, and probabilities.

    Args:
        model: a trained segmentor of ours, in evaluation mode.

    Raises:
        ValueError: it predicts in windows.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        if (model.test_cfg or {}).get('mode', 'whole') != 'whole':
            raise ValueError(
                "model.test_cfg.mode is 'slide', but a file holds the network of one window; set "
                '--cfg-options model.test_cfg.mode=whole'
            )
        self.model = model.eval()
        preprocessor = model.data_preprocessor
        channels = next(model.parameters()).new_ones(3, 1, 1)
        normalises = getattr(preprocessor, '_enable_normalize', False)
        mean = preprocessor.mean if normalises else 0 * channels
        std = preprocessor.std if normalises else channels
        self.register_buffer('mean', mean.detach().clone(), persistent=False)
        self.register_buffer('std', std.detach().clone(), persistent=False)
        # The test pipeline reads BGR.
        self.takes_bgr = not preprocessor.channel_conversion

    def forward(self, images: Tensor) -> Tensor:
        """Predict.

        Args:
            images: RGB in 0..255, float32 (N, 3, H, W).

        Returns:
            Probabilities of the K classes, float32 (N, K, H, W); both classes of a binary task.
        """
        if self.takes_bgr:
            images = images.flip(1)
        maps = self.model.decode_head(self.model.extract_feat((images - self.mean) / self.std))
        maps = F.interpolate(
            maps, images.shape[2:], mode='bilinear', align_corners=self.model.align_corners
        )
        if maps.shape[1] > 1:
            return maps.softmax(1)
        foreground = maps.sigmoid()
        return torch.cat((1 - foreground, foreground), 1)
