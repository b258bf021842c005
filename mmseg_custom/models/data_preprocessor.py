"""From a loader's pictures to the network's input."""

from collections.abc import Sequence

import torch
from mmseg.models.data_preprocessor import SegDataPreProcessor as UpstreamSegDataPreProcessor

from mmseg_custom.models.layers.images import check_channels, check_normalisation
from mmseg_custom.registry import MODELS


@MODELS.register_module()
class SegDataPreProcessor(UpstreamSegDataPreProcessor):
    """mmseg's ``SegDataPreProcessor``, which also takes test batches of pictures that differ.

    The stock class refuses a test batch of several sizes, and padding them to a common one would
    change what the network sees. Here each picture is prepared as if it came alone. If they come
    out in several sizes, ``inputs`` is a list, which ``EncoderDecoder.predict`` takes.

    Args:
        mean: subtracted, one per channel in the order after swapping; None normalises nothing.
        std: by which is divided then.
        kwargs: as in mmseg's class; ``bgr_to_rgb`` is for three channels.

    Raises:
        ValueError: mean and std differ in length, or colours of other than 3 channels are to swap.
    """

    def __init__(
        self, mean: Sequence[float] | None = None, std: Sequence[float] | None = None, **kwargs
    ) -> None:
        check_normalisation(mean, std, kwargs.get('bgr_to_rgb') or kwargs.get('rgb_to_bgr'))
        super().__init__(mean, std, **kwargs)

    def forward(self, data: dict, training: bool = False) -> dict:
        """Move to the device, normalise and stack.

        Args:
            data: ``inputs``, a list of uint8, uint16 or float images of shape (C, H, W), BGR where
                they are colours; and ``data_samples``, a list of ``SegDataSample``.
            training: whether to pad to ``size`` and augment as training does.

        Returns:
            ``inputs``: float tensor of shape (N, C, H, W), or a list of N tensors of shape
            (1, C, H, W) where the sizes differ; and ``data_samples``.

        Raises:
            ValueError: a picture has other channels than ``mean``.
        """
        images = data['inputs']
        check_channels(images, getattr(self, 'mean', None))
        if training or len({tuple(image.shape) for image in images}) == 1:
            return super().forward(data, training)
        samples = data.get('data_samples') or [None] * len(images)
        alone = [
            super(SegDataPreProcessor, self).forward(
                {'inputs': [image], 'data_samples': None if sample is None else [sample]}
            )
            for image, sample in zip(images, samples)
        ]
        inputs = [prepared['inputs'] for prepared in alone]
        if len({tuple(image.shape) for image in inputs}) == 1:
            inputs = torch.cat(inputs)
        if data.get('data_samples') is None:
            return {'inputs': inputs, 'data_samples': None}
        return {'inputs': inputs, 'data_samples': [p['data_samples'][0] for p in alone]}
