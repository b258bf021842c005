"""Your own pictures: a folder of images, a folder of masks, and a ``dataset.yaml``."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mmseg_custom.datasets.dataset_yaml import (
    LAYOUT_KEYS,
    YAML_NAME,
    checked,
    folder_metainfo,
    read_dataset_yaml,
)
from mmseg_custom.datasets.folder_layout import FolderLayout
from mmseg_custom.datasets.label_map import UNKNOWN, LabelMap
from mmseg_custom.datasets.mask_files import read_mask
from mmseg_custom.datasets.mask_reader import MaskReader, labels_line
from mmseg_custom.datasets.paired import PairedDataset
from mmseg_custom.datasets.split_names import val_share as divide
from mmseg_custom.registry import DATASETS

BLACK_AND_WHITE = LabelMap(('0', '255'), ((0, 0), (255, 1)))
# How many masks are opened, and how many where one of them holds 255, to find a third value.
MASKS_LOOKED_AT, MOST_MASKS_LOOKED_AT = 64, 1000


@DATASETS.register_module()
class FolderDataset(PairedDataset):
    """A folder of your own: ``images/<split>``, ``masks/<split>`` and ``dataset.yaml``.

    A mask holds indices into ``classes``, and 255 (or ``ignore_index``) where pixels are left out
    of loss and metrics; or any values or colours, and ``labels`` says which class each is. Labels
    reach the pipeline as indices and 255. The arguments ``images`` to ``val_share`` are also keys
    of ``dataset.yaml``; those given here win.

    Args:
        data_root: the folder.
        split: ``'train'``, ``'val'``, ``'test'`` or another name.
        metainfo: ``classes``, ``palette``, ``ignore_index``, ``labels``; see
            :func:`~mmseg_custom.datasets.dataset_yaml.folder_metainfo`.
        images: the folder of pictures below ``data_root``, with ``{split}``; None finds
            ``images/{split}``, ``{split}/images`` and some other usual names.
        masks: the same for masks (``annotations``, ``labels``, ...).
        splits: split to its list file (``train.txt``) or the name of its folder.
        val_share: part of the training pictures that becomes the split ``val``, 0 to 1.
        img_suffix: ending or endings of pictures; None takes all known ones.
        seg_map_suffix: ending of a mask's name after the picture's stem; None finds it.
        lazy_init: do not list the folders before the first sample is asked for.
        kwargs: other arguments of :class:`~mmseg_custom.datasets.paired.PairedDataset`.

    Raises:
        FileNotFoundError: a folder, a mask or the class names are missing, or there are no images.
        ValueError: ``dataset.yaml`` or an argument does not fit, stems occur twice, or masks hold
            0 and 255 only and nothing says which class 255 is.
    """

    def __init__(
        self,
        data_root: str,
        split: str = 'train',
        metainfo: Mapping | None = None,
        images: str | None = None,
        masks: str | None = None,
        splits: Mapping[str, str] | None = None,
        val_share: float | None = None,
        img_suffix: str | Sequence[str] | None = None,
        seg_map_suffix: str | None = None,
        lazy_init: bool = False,
        **kwargs,
    ) -> None:
        if 'ignore_index' in kwargs:
            metainfo = {**(metainfo or {}), 'ignore_index': kwargs.pop('ignore_index')}
        facts = self.metainfo_from_config({'data_root': data_root, 'metainfo': metainfo})
        self.labels: LabelMap | None = facts.pop('labels', None)
        ignore_index = facts.pop('ignore_index')
        if self.labels and kwargs.get('reduce_zero_label'):
            raise ValueError(
                "reduce_zero_label=True beside labels; expected one of them, write 'ignore: 0' "
                'under labels'
            )
        in_config = self.labels and 'labels' in (metainfo or {})
        self._where = 'metainfo' if in_config else str(Path(data_root) / YAML_NAME)
        given = {'images': images, 'masks': masks, 'splits': splits, 'val_share': val_share}
        given.update(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix)
        layout = _layout_keys(given, Path(data_root))
        super().__init__(
            data_root,
            split,
            metainfo=facts,
            ignore_index=ignore_index,
            img_suffix=layout.pop('img_suffix', None),
            seg_map_suffix=layout.pop('seg_map_suffix', None),
            lazy_init=True,
            **kwargs,
        )
        self._layout = None if 'data_prefix' in kwargs else FolderLayout(Path(data_root), **layout)
        self._val_share = None
        if not lazy_init:
            self.full_init()

    @classmethod
    def metainfo_from_config(cls, dataset: Mapping) -> dict:
        """Return ``folder_metainfo`` of a data set's config, without building it."""
        return folder_metainfo(dataset.get('data_root'), dataset.get('metainfo'))

    def _make_mask_reader(self) -> MaskReader:
        if self.labels is None:
            return replace(super()._make_mask_reader(), where=self._where)
        return MaskReader(self.labels, declared=True, where=self._where)

    def load_data_list(self) -> list[dict]:
        """List the samples of the split, sorted by name.

        Returns:
            As :meth:`PairedDataset.load_data_list`.
        """
        self._check_root()
        if self._layout is not None:
            files = self._layout.find(self.split, self.with_masks)
            self.data_prefix = {'img_path': str(files.image_dir)}
            if files.mask_dir is not None:
                self.data_prefix['seg_map_path'] = str(files.mask_dir)
            self.ann_file = str(files.list_file or self.ann_file)
            self._val_share = files.share
        return super().load_data_list()

    def _images(self, image_dir: Path) -> tuple[dict[str, str], bool]:
        images, is_whole = super()._images(image_dir)
        if self._val_share is None:
            return images, is_whole
        return divide(images, self._val_share, self.split == 'val'), False

    def full_init(self) -> None:
        """List the samples, and look whether 255 is a class in the masks.

        Raises:
            ValueError: masks hold 0 and 255 only, and no ``labels`` say what they are.
        """
        if self._fully_initialized:
            return
        super().full_init()
        if self.labels is None:
            self._refuse_black_and_white()

    def _refuse_black_and_white(self) -> None:
        """Look at masks in a fixed random order until one holds something else than 0 and 255."""
        seen = set()
        order = np.random.default_rng(0).permutation(len(self))[:MOST_MASKS_LOOKED_AT]
        for count, index in enumerate(order.tolist()):
            path = self.get_data_info(index).get('seg_map_path')
            if path is None or (count == MASKS_LOOKED_AT and 1 not in seen):
                return
            try:
                found = BLACK_AND_WHITE.lookup(read_mask(path).pixels)
            except ValueError:
                continue  # an unreadable mask says nothing here, and is an error when it is loaded
            seen |= set(np.unique(found).tolist())
            if UNKNOWN in seen:
                return
        if seen == {0, 1}:
            background, thing = self.metainfo['classes'][:2]
            line = labels_line({background: 0, thing: 255})
            raise ValueError(
                f'the masks in {self.data_prefix["seg_map_path"]} hold 0 and 255 only '
                f'({len(order)} looked at), and 255 is left out unless labels say what it is; '
                f"write in {self.mask_reader.where}: '{line}'"
            )


def _layout_keys(given: Mapping, root: Path) -> dict:
    """The layout keys of ``dataset.yaml``, if it is there, and those given in the config."""
    found = read_dataset_yaml(root) if (root / YAML_NAME).is_file() else {}
    found = {key: value for key, value in found.items() if key in LAYOUT_KEYS}
    return {**found, **checked(given, LAYOUT_KEYS, 'FolderDataset')}
