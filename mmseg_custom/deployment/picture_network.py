"""A segmentor as one network from pixels to logits, for files that stand alone.

Normalisation and the order of colours are inside, so that nobody forgets them.
"""

from collections.abc import Callable

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import mmseg_custom
from mmseg_custom.deployment.parity import Predict
from mmseg_custom.inference.onnx_model import TASK
from mmseg_custom.inference.predictor import array_pipeline, pipeline_input
from mmseg_custom.models.segmentors.block_prediction import LogitMap

# From images, RGB in 0..255, float32 (N, 3, H, W), to logits (N, K, H, W).
Run = Callable[[Tensor], Tensor]


class PictureNetwork(nn.Module):
    """Normalisation, backbone, head, and resizing to the picture.

    Args:
        model: a trained segmentor of ours.

    Raises:
        ValueError: it takes other pictures than RGB, or predicts in windows.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        if (model.test_cfg or {}).get('mode', 'whole') != 'whole':
            raise ValueError(
                "model.test_cfg.mode is 'slide', but the file holds the network alone; set "
                '--cfg-options model.test_cfg.mode=whole, or export to ONNX, which has windows'
            )
        preprocessor = model.data_preprocessor
        mean, std = torch.zeros(3, 1, 1), torch.ones(3, 1, 1)
        if hasattr(preprocessor, 'mean'):
            mean, std = preprocessor.mean.detach().clone(), preprocessor.std.detach().clone()
        if len(mean) not in (1, 3):
            raise ValueError(f'the model takes {len(mean)} bands; expected RGB pictures')
        self.model = model.eval()
        self.register_buffer('mean', mean)
        self.register_buffer('std', std)
        # The test pipeline reads BGR.
        self.takes_bgr = not preprocessor.swaps_colours

    def forward(self, images: Tensor) -> Tensor:
        """Predict.

        Args:
            images: RGB in 0..255, float32 (N, 3, H, W).

        Returns:
            Logits, float32 (N, K, H, W); their softmax over K are the probabilities. One output
            channel becomes two: zeros and its logits.
        """
        images = images.flip(1) if self.takes_bgr else images
        logits = self.model.decode_head(self.model.extract_feat((images - self.mean) / self.std))
        size, corners = images.shape[2:], self.model.align_corners
        logits = F.interpolate(logits, size, mode='bilinear', align_corners=corners)
        if logits.shape[1] == 1:
            logits = torch.cat((torch.zeros_like(logits), logits), 1)
        return logits


def describe(model: nn.Module) -> dict:
    """What a file says of itself: task, classes, colours, and the threshold of a binary task."""
    head = model.decode_head
    return dict(
        task=TASK,
        classes=list(model.dataset_meta['classes']),
        palette=[list(colour) for colour in model.dataset_meta['palette']],
        threshold=float(head.threshold) if head.out_channels == 1 else None,
        input='RGB in 0..255, float32',
        output='logits of the classes; softmax gives probabilities',
        versions={'mmseg_custom': mmseg_custom.__version__, 'torch': torch.__version__},
    )


def through_pipeline(model: nn.Module, run: Run) -> Predict:
    """A network's probabilities of pictures that a model's test pipeline prepares.

    Args:
        model: a segmentor, with its config.
        run: the network.
    """
    prepare = array_pipeline(model.cfg)

    def predict(picture: np.ndarray) -> np.ndarray:
        prepared = prepare({'img': pipeline_input(model, picture)})['inputs']
        return _probabilities(run(prepared.flip(0)[None].float()), picture, model.align_corners)

    return predict


def at_size(size: tuple[int, int], run: Run, align_corners: bool = False) -> Predict:
    """A network's probabilities of pictures that are stretched to one size.

    Args:
        size: height and width that the network takes.
        run: the network.
        align_corners: how its logits are resized to the picture.
    """

    def predict(picture: np.ndarray) -> np.ndarray:
        stretched = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_LINEAR)
        pixels = torch.from_numpy(stretched).permute(2, 0, 1)[None].float()
        return _probabilities(run(pixels), picture, align_corners)

    return predict


def _probabilities(logits: Tensor, picture: np.ndarray, align_corners: bool) -> np.ndarray:
    """From logits (1, K, h, w) to probabilities (K, H, W) of the picture's size."""
    size = tuple(logits.shape[2:])
    resized = LogitMap.from_logits(logits[0], size, align_corners)
    return resized.resize(picture.shape[:2], align_corners).logits().softmax(0).numpy()
