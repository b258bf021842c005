"""Hugging Face's image processor and our test pipeline: one becomes the other.

A ``preprocessor_config.json`` of SegFormer resizes to a fixed size, multiplies by
``rescale_factor``, and normalises with a mean and a standard deviation of numbers in 0..1. Here
the pipeline resizes and the data preprocessor normalises pixels in 0..255, which is the same: ``(x
/ 255 - m) / s`` equals ``(x - 255 m) / (255 s)``. The resizing is Pillow's, as in Hugging Face's
own Pillow processor; its processor on torchvision rounds differently.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Mean and standard deviation of RGB pixels in 0..255.
IMAGENET = tuple(tuple(255 * value for value in values) for values in (IMAGENET_MEAN, IMAGENET_STD))
HALF = ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
# Pillow's numbers of its filters.
FILTERS = {0: 'nearest', 2: 'bilinear', 3: 'bicubic', 1: 'lanczos', 4: 'box', 5: 'hamming'}


@dataclass(frozen=True)
class ImageProcessor:
    """How a picture becomes the network's input.

    Attributes:
        mean: subtracted from RGB pixels in 0..255.
        std: by which they are divided then.
        size: (height, width) in pixels to which pictures are resized without keeping their shape;
            None leaves their size.
        interpolation: how they are resized.
        reduce_labels: whether label 0 is ignored and the others count from 1.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: tuple[int, int] | None = None
    interpolation: str = 'bilinear'
    reduce_labels: bool = False


def read_processor(config: Mapping) -> ImageProcessor:
    """Read the content of a ``preprocessor_config.json`` of SegFormer.

    Args:
        config: the file's names and values; older files say ``reduce_labels`` for
            ``do_reduce_labels`` and give ``size`` as one number.

    Raises:
        ValueError: it crops, or a value is not one that SegFormer's processor takes.
    """
    if config.get('do_center_crop'):
        raise ValueError('preprocessor_config.json has do_center_crop, which SegFormer has not')
    factor = config.get('rescale_factor', 1 / 255) if config.get('do_rescale', True) else 1.0
    normalises = config.get('do_normalize', True)
    mean = config.get('image_mean', IMAGENET_MEAN) if normalises else (0.0, 0.0, 0.0)
    std = config.get('image_std', IMAGENET_STD) if normalises else (1.0, 1.0, 1.0)
    resample = config.get('resample', 2)
    if resample not in FILTERS:
        raise ValueError(
            f'preprocessor_config.json has resample={resample}, expected one of {list(FILTERS)}'
        )
    return ImageProcessor(
        mean=tuple(value / factor for value in mean),
        std=tuple(value / factor for value in std),
        size=_size(config.get('size', 512)) if config.get('do_resize', True) else None,
        interpolation=FILTERS[resample],
        reduce_labels=bool(config.get('do_reduce_labels', config.get('reduce_labels', False))),
    )


def _size(size) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    if isinstance(size, Mapping) and {'height', 'width'} <= set(size):
        return int(size['height']), int(size['width'])
    raise ValueError(
        f'preprocessor_config.json has size={size}, expected a number or height and width'
    )


def write_processor(processor: ImageProcessor) -> dict:
    """Return the content of a ``preprocessor_config.json`` of SegFormer; the inverse of reading."""
    height, width = processor.size or (512, 512)
    numbers = {name: number for number, name in FILTERS.items()}
    return {
        'image_processor_type': 'SegformerImageProcessor',
        'do_resize': processor.size is not None,
        'size': {'height': height, 'width': width},
        'resample': numbers[processor.interpolation],
        'do_rescale': True,
        'rescale_factor': 1 / 255,
        'do_normalize': True,
        'image_mean': [round(value / 255, 9) for value in processor.mean],
        'image_std': [round(value / 255, 9) for value in processor.std],
        'do_reduce_labels': processor.reduce_labels,
    }


def to_pipeline(processor: ImageProcessor) -> tuple[list[dict], dict]:
    """Return the test pipeline and the changes to the data preprocessor of a config."""
    steps: list[dict] = [dict(type='LoadImageFromFile')]
    if processor.size is not None:
        height, width = processor.size
        resize = dict(type='Resize', scale=(width, height), keep_ratio=False, backend='pillow')
        steps.append({**resize, 'interpolation': processor.interpolation})
    steps.append(dict(type='LoadAnnotations', reduce_zero_label=processor.reduce_labels))
    steps.append(dict(type='PackSegInputs'))
    data_preprocessor = dict(mean=list(processor.mean), std=list(processor.std), bgr_to_rgb=True)
    return steps, data_preprocessor


def from_pipeline(pipeline: Sequence[Mapping], data_preprocessor: Mapping) -> ImageProcessor:
    """Read a test pipeline and a data preprocessor; the inverse of :func:`to_pipeline`.

    A resizing that keeps the picture's shape has no counterpart there and is left out: the
    processor then leaves the size of pictures as it is.

    Raises:
        ValueError: the data preprocessor does not normalise RGB pictures.
    """
    mean, std = data_preprocessor.get('mean'), data_preprocessor.get('std')
    if not mean or not std or not data_preprocessor.get('bgr_to_rgb'):
        raise ValueError(
            'an image processor needs data_preprocessor.mean and std of RGB pictures '
            f'(bgr_to_rgb=True), got {dict(data_preprocessor)}'
        )
    size, interpolation, reduce_labels = None, 'bilinear', False
    for step in pipeline:
        if step['type'] == 'Resize' and not step.get('keep_ratio', False) and step.get('scale'):
            width, height = step['scale']
            size, interpolation = (height, width), step.get('interpolation', 'bilinear')
        if step['type'] == 'LoadAnnotations':
            reduce_labels = bool(step.get('reduce_zero_label'))
    return ImageProcessor(tuple(mean), tuple(std), size, interpolation, reduce_labels)


def post_process_semantic_segmentation(
    outputs, target_sizes: Sequence[tuple[int, int]] | Tensor | None = None
) -> list[Tensor]:
    """Turn logits into class maps as the method of that name of Hugging Face's processor does.

    Args:
        outputs: logits of shape (N, K, h, w), or an object that has them as ``logits``.
        target_sizes: (height, width) of each picture in pixels; None keeps the size of the logits.

    Returns:
        N class maps (H, W), int64.

    Raises:
        ValueError: there are not as many sizes as pictures.
    """
    logits = outputs if isinstance(outputs, Tensor) else outputs.logits
    if target_sizes is None:
        return list(logits.argmax(dim=1))
    if len(target_sizes) != len(logits):
        raise ValueError(
            f'expected one target size per picture, got {len(target_sizes)} for {len(logits)}'
        )
    sizes = [tuple(int(side) for side in size) for size in torch.as_tensor(target_sizes)]
    return [
        F.interpolate(one[None], size, mode='bilinear', align_corners=False)[0].argmax(dim=0)
        for one, size in zip(logits, sizes, strict=True)
    ]
