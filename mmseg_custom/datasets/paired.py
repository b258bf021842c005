"""The base of data sets with one folder of images and one of masks for each split."""

from collections.abc import Sequence
from pathlib import Path

from mmseg.datasets import BaseSegDataset

from mmseg_custom.datasets.checks import IMAGE_SUFFIXES, find_by_stem, pair_images_and_masks
from mmseg_custom.datasets.mask_reader import MaskReader, index_reader
from mmseg_custom.datasets.split_names import listed_images
from mmseg_custom.datasets.suffixes import find_suffixes
from mmseg_custom.labels import IGNORE_INDEX


class PairedDataset(BaseSegDataset):
    """Images and masks with the same stem, checked when the data set is loaded.

    Differs from mmseg's base class in five ways: folders follow from ``split``; suffixes are found
    by themselves; an empty folder, a missing mask or a stem that occurs twice is an error at the
    start; the value that marks unlabelled pixels in the mask files may be any, since it is mapped
    to 255 before the pipeline sees it; and a mask with a value that is no class is an error when it
    is read.

    Args:
        data_root: the data set's folder.
        split: name of the sub-folder of the image and mask folders, e.g. ``'train'``.
        data_prefix: ``dict(img_path=..., seg_map_path=...)`` below ``data_root``; replaces what
            follows from ``split``.
        img_suffix: ending or endings of image names; None takes all in
            :data:`~mmseg_custom.datasets.checks.IMAGE_SUFFIXES`.
        seg_map_suffix: ending of a mask's name after the image's stem; None takes the one that
            pairs all images (:func:`~mmseg_custom.datasets.suffixes.find_suffixes`).
        ann_file: a list file of the split's images; see
            :func:`~mmseg_custom.datasets.split_names.listed_images`.
        ignore_index: value of unlabelled pixels in the mask files, 0-255.
        with_masks: False for pictures without ground truth (``test_mode`` only): nothing looks
            for masks and samples have no ``seg_map_path``.
        lazy_init: do not list the folders before the first sample is asked for.
        kwargs: other arguments of mmseg's ``BaseSegDataset``.

    Attributes:
        mask_reader: what samples carry for ``LoadAnnotations``, called with a sample; returns its
            labels, (H, W) uint8.

    Raises:
        FileNotFoundError: a folder or a mask is missing, or a folder holds no images.
        ValueError: stems occur twice, or arguments contradict each other.
    """

    IMAGE_DIR = 'images'
    MASK_DIR = 'masks'
    # Masks in the folder that no image has; known when the samples are listed.
    unused_masks: Sequence[str] = ()

    def __init__(
        self,
        data_root: str,
        split: str = 'train',
        data_prefix: dict | None = None,
        img_suffix: str | Sequence[str] | None = None,
        seg_map_suffix: str | None = None,
        ann_file: str = '',
        ignore_index: int = IGNORE_INDEX,
        with_masks: bool = True,
        test_mode: bool = False,
        lazy_init: bool = False,
        **kwargs,
    ) -> None:
        if not with_masks and not test_mode:
            raise ValueError('with_masks=False needs test_mode=True: training needs the masks')
        if img_suffix is None:
            img_suffix = IMAGE_SUFFIXES
        self.split = split
        self.with_masks = with_masks
        super().__init__(
            data_root=str(data_root),
            data_prefix=data_prefix
            or {
                'img_path': f'{self.IMAGE_DIR}/{split}',
                'seg_map_path': f'{self.MASK_DIR}/{split}',
            },
            img_suffix=(img_suffix,) if isinstance(img_suffix, str) else tuple(img_suffix),
            seg_map_suffix=seg_map_suffix,
            ann_file=str(ann_file),
            test_mode=test_mode,
            lazy_init=True,
            **kwargs,
        )
        self._map_ignored(ignore_index)
        self.mask_reader = self._make_mask_reader()
        if not lazy_init:
            self.full_init()

    def _map_ignored(self, ignore_index: int) -> None:
        """Add ``{ignore_index: 255}`` to the label map that ``LoadAnnotations`` applies.

        mmseg's own map, made when the user selects classes, covers the class indices only and
        would let the void value through.
        """
        if ignore_index != IGNORE_INDEX:
            # LoadAnnotations shifts all values by one first when reduce_zero_label is set.
            value = ignore_index - int(self.reduce_zero_label)
            if value in (self.label_map or range(len(self._metainfo['classes']))):
                raise ValueError(
                    f'ignore_index={ignore_index} is also the value of a class in the masks; '
                    'take a value that is no class'
                )
            self.label_map = {**(self.label_map or {}), value: IGNORE_INDEX}
            self._metainfo['label_map'] = self.label_map

    def _make_mask_reader(self) -> MaskReader:
        return index_reader(self)

    def get_data_info(self, idx: int) -> dict:
        """Return a sample as :meth:`load_data_list` lists it, with ``mask_reader``."""
        return {**super().get_data_info(idx), 'mask_reader': self.mask_reader}

    def _update_palette(self) -> list:
        """Return one colour per class; classes picked in another order keep their own colours.

        mmseg keeps the old order of colours when all classes are there in a new order.
        """
        known = self.METAINFO
        palette = self._metainfo.get('palette')
        if self.label_map is not None and palette == known.get('palette'):
            colours = dict(zip(known['classes'], palette))
            return [colours[name] for name in self._metainfo['classes']]
        return super()._update_palette()

    def load_data_list(self) -> list[dict]:
        """List the samples of the split, sorted by name.

        Returns:
            One dict per image: ``img_path``, ``seg_map_path`` (only with masks), ``label_map``,
            ``reduce_zero_label`` and an empty ``seg_fields``.
        """
        self._check_root()
        image_dir = Path(self.data_prefix['img_path'])
        images, is_whole = self._images(image_dir)
        if self.with_masks:
            samples = self._pair(images, image_dir, is_whole)
        else:
            samples = [{'img_path': str(image_dir / images[stem])} for stem in sorted(images)]
        for sample in samples:
            sample.update(
                label_map=self.label_map, reduce_zero_label=self.reduce_zero_label, seg_fields=[]
            )
        return samples

    def _check_root(self) -> None:
        if not Path(self.data_root).is_dir():
            raise FileNotFoundError(
                f'data_root {self.data_root} does not exist; expected a folder with '
                f'{self.IMAGE_DIR}/{self.split} and {self.MASK_DIR}/{self.split}, set data_root=...'
            )

    def _images(self, image_dir: Path) -> tuple[dict[str, str], bool]:
        """Map stem to path for the images of the split; and whether they are all of the folder."""
        images = find_by_stem(image_dir, self.img_suffix)
        if not self.ann_file:
            return images, True
        return listed_images(images, Path(self.ann_file), image_dir, Path(self.data_root)), False

    def _pair(self, images: dict[str, str], image_dir: Path, is_whole: bool) -> list[dict]:
        """Find the masks of the images."""
        mask_dir, suffix = Path(self.data_prefix['seg_map_path']), self.seg_map_suffix
        if suffix is None:
            if image_dir == mask_dir:
                raise ValueError(
                    f'images and masks lie in the same folder {image_dir}; set both endings, e.g. '
                    'img_suffix: _image.png and seg_map_suffix: _mask.png'
                )
            images, suffix = find_suffixes(images, mask_dir)
        pairs, self.unused_masks = pair_images_and_masks(
            images, image_dir, mask_dir, suffix, is_whole
        )
        return [{'img_path': image, 'seg_map_path': mask} for image, mask in pairs]
