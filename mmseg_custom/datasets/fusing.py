"""Put the fused augmentation in place of mmseg's transforms, in data sets that are trained on."""

import logging
from collections.abc import Callable, Sequence

from mmcv import transforms as mmcv_transforms
from mmengine.logging import print_log
from mmseg.datasets import transforms as stock

from mmseg_custom.datasets.transforms.fused_augmentation import DrawScale, FusedAugmentation
from mmseg_custom.datasets.transforms.pack_small_labels import PackSmallLabels
from mmseg_custom.datasets.transforms.photometric import STEPS_OF_SEXTANT
from mmseg_custom.datasets.wrappers.remapping import RemapClasses
from mmseg_custom.registry import DATASETS, TRANSFORMS
from mmseg_custom.wrapped import inner_datasets

# Steps that change no picture: the random numbers of the resize may be drawn before them.
LOADERS = (
    mmcv_transforms.LoadImageFromFile,
    mmcv_transforms.LoadAnnotations,
    RemapClasses,
)


def fuse(pipeline: Sequence[dict | Callable], small_labels: bool = False) -> list[Callable]:
    """Replace neighbours ``RandomResize``, ``RandomCrop`` and what follows by one transform.

    After them, in this order and each if it is there, ``RandomFlip`` and ``PhotoMetricDistortion``
    are taken in. Everything else stays: other transforms, classes derived from these, and arguments
    that the fused transform does not know.

    Args:
        pipeline: transforms or their configs; objects are kept, not copied.
        small_labels: leave label maps in 8 bits, which our data preprocessor takes.

    Returns:
        Transforms that do the same, with the same random numbers.
    """
    steps = [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline]
    for start in range(len(steps) - 1):
        resize, crop, *rest = steps[start:]
        if _fuses_resize(resize) and type(crop) is stock.RandomCrop:
            break
    else:
        return steps
    flip = rest.pop(0) if rest and _fuses_flip(rest[0]) else None
    photometric = rest.pop(0) if rest and _fuses_photometric(rest[0]) else None
    before = steps[:start]
    drawn = bool(before) and all(map(_is_loader, before))
    planar = bool(rest) and type(rest[0]) is stock.PackSegInputs
    fused = FusedAugmentation(resize, crop, flip, photometric, drawn, planar)
    if planar and small_labels:
        rest[0] = PackSmallLabels(rest[0])
    return [*([DrawScale(resize)] if drawn else []), *before, fused, *rest]


def _fuses_resize(step: Callable) -> bool:
    if type(step) is not mmcv_transforms.RandomResize:
        return False
    resize = step.resize
    known = type(resize) in (stock.Resize, mmcv_transforms.Resize)
    return known and (resize.backend, resize.interpolation) == ('cv2', 'bilinear')


def _fuses_flip(step: Callable) -> bool:
    known = type(step) in (stock.RandomFlip, mmcv_transforms.RandomFlip)
    return known and step.swap_seg_labels is None


def _fuses_photometric(step: Callable) -> bool:
    known = type(step) is stock.PhotoMetricDistortion
    return known and step.hue_delta <= STEPS_OF_SEXTANT and step.saturation_lower >= 0


def _is_loader(step: Callable) -> bool:
    package = type(step).__module__.partition('.')[0]
    return isinstance(step, LOADERS) and package in ('mmcv', 'mmseg', 'mmseg_custom')


@DATASETS.register_module()
def FusedPipelines(dataset, small_labels: bool = False):
    """Build a data set whose pipelines, and those of the data sets in it, are fused.

    Args:
        dataset: a data set or the config of one.
        small_labels: see :func:`fuse`.

    Returns:
        That data set.
    """
    if isinstance(dataset, dict):
        dataset = DATASETS.build(dataset)
    if hasattr(dataset, 'full_init'):
        dataset.full_init()
    chains = set()
    for source in inner_datasets(dataset):
        pipeline = source.pipeline
        pipeline.transforms = fuse(pipeline.transforms, small_labels)
        found = [step for step in pipeline.transforms if isinstance(step, FusedAugmentation)]
        chains.update(', '.join(type(step).__name__ for step in one.chain) for one in found)
    for chain in sorted(chains):
        print_log(
            f'fused for speed: {chain} (fuse_pipeline=False runs them one by one)',
            logger='current',
            level=logging.INFO,
        )
    return dataset
