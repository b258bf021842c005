"""From a loader's pictures to the network's input."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.models.data_preprocessor import SegDataPreProcessor as UpstreamSegDataPreProcessor

from mmseg_custom.models.layers.images import check_channels, check_normalisation
from mmseg_custom.registry import MODELS


@MODELS.register_module()
class SegDataPreProcessor(UpstreamSegDataPreProcessor):
    """mmseg's ``SegDataPreProcessor``, faster, and for test batches of pictures that differ.

    A training batch is normalised where it is stacked, in place: the same numbers, without a copy
    of the pictures for each step. Label maps may come in 8 bits.

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
        swaps = bool(kwargs.get('bgr_to_rgb') or kwargs.get('rgb_to_bgr'))
        check_normalisation(mean, std, swaps)
        super().__init__(mean, std, **kwargs)
        self.swaps_colours = swaps

    @property
    def takes_small_labels(self) -> bool:
        """Whether training label maps may come in 8 bits; batch augmentation is given 64."""
        return self.batch_augments is None

    def forward(self, data: dict, training: bool = False) -> dict:
        """Move to the device, normalise and stack.

        Args:
            data: ``inputs``, a list of uint8, uint16 or float images of shape (C, H, W), BGR where
                they are colours; and ``data_samples``, a list of ``SegDataSample`` with
                ``gt_sem_seg`` (1, H, W).
            training: whether to pad to ``size`` and augment as training does.

        Returns:
            ``inputs``: float tensor of shape (N, C, H, W), or a list of N tensors of shape
            (1, C, H, W) where the sizes differ; and ``data_samples``.

        Raises:
            ValueError: a picture has other channels than ``mean``.
        """
        images = data['inputs']
        check_channels(images, getattr(self, 'mean', None))
        size = self._size_of_batch(data) if training else None
        if size is not None:
            images = [self._moved(image) for image in images]
            samples = zip(images, data['data_samples'])
            return {
                'inputs': self._stack_images(images, size),
                'data_samples': [
                    self._pad_labels(image, sample, size) for image, sample in samples
                ],
            }
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

    def _size_of_batch(self, data: dict) -> tuple[int, int] | None:
        """Height and width that a training batch is padded to.

        None where it is mmseg's to prepare: batch augmentation, other data than pictures of one
        depth and label maps, or what it refuses.
        """
        images, samples = data['inputs'], data.get('data_samples') or [None]
        known = {'gt_sem_seg', '_gt_sem_seg'}
        depths = {image.shape[0] if image.ndim == 3 else None for image in images}
        if (
            len(depths) > 1
            or None in depths
            or (self._enable_normalize and not depths == {len(self.mean)} == {len(self.std)})
            or self.batch_augments is not None
            or (self.size is None) == (self.size_divisor is None)
            or not all('gt_sem_seg' in (sample or ()) for sample in samples)
            or not all(known.issuperset(sample.keys()) for sample in samples)
        ):
            return None
        if self.size is not None:
            smallest = self.size[-2:]
            sizes = {tuple(map(max, smallest, image.shape[1:])) for image in images}
            return sizes.pop() if len(sizes) == 1 else None
        sides = (max(image.shape[axis] for image in images) for axis in (1, 2))
        return tuple(-(-side // self.size_divisor) * self.size_divisor for side in sides)

    def _moved(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self.device, non_blocking=self._non_blocking)

    def _stack_images(self, images: list[torch.Tensor], size: tuple[int, int]) -> torch.Tensor:
        """Stack to float32 (N, C, *size), normalised, with ``pad_val`` at the right and below."""
        depth = images[0].shape[0]
        turned = self.swaps_colours and depth == 3
        channels = (2, 1, 0) if turned else range(depth)
        batch = images[0].new_empty((len(images), depth, *size), dtype=torch.float32)
        for image, out in zip(images, batch):
            height, width = image.shape[1:]
            part = out[:, :height, :width]
            for plane, channel in zip(part, channels):
                plane.copy_(image[channel])
            if self._enable_normalize:
                part.sub_(self.mean).div_(self.std)
            if part.shape != out.shape:
                out[:, height:] = self.pad_val
                out[:, :height, width:] = self.pad_val
        return batch

    def _pad_labels(self, image: torch.Tensor, sample, size: tuple[int, int]):
        """Return a copy of the sample of a picture, on the device, padded as the picture is."""
        height, width = image.shape[1:]
        padding = (0, size[1] - width, 0, size[0] - height)
        labels = self._moved(sample.gt_sem_seg.data)
        if any(padding):
            labels = F.pad(labels, padding, value=self.seg_pad_val)
        padded = type(sample)(gt_sem_seg=PixelData(data=labels.long()))
        facts = dict(img_shape=image.shape[1:], pad_shape=labels.shape[1:], padding_size=padding)
        for key, value in {**sample.metainfo, **facts}.items():
            # `set_metainfo` would copy each value deeply.
            padded.set_field(value, key, field_type='metainfo')
        return padded
