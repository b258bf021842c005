"""Pictures in one folder per class, as ImageNet and most collections of pictures come."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmengine.dataset import BaseDataset

from mmseg_custom.datasets.checks import IMAGE_SUFFIXES, first_names, list_files
from mmseg_custom.registry import DATASETS


@DATASETS.register_module()
class ClassFolderDataset(BaseDataset):
    """``<data_root>/<split>/<class>/*.jpg``; deeper folders belong to their class.

    Args:
        data_root: the folder.
        split: name of the sub-folder, usually ``'train'`` or ``'val'``.
        class_split: the split whose sub-folders, sorted by name, are the classes of all splits.
        metainfo: ``dict(classes=(...))`` instead, names of the folders in index order.
        kwargs: other arguments of mmengine's ``BaseDataset``.

    Raises:
        FileNotFoundError: a folder is missing, or a class of ``class_split`` has no picture.
        ValueError: a folder is no class, or pictures lie outside the class folders.
    """

    def __init__(
        self,
        data_root: str,
        split: str = 'train',
        class_split: str = 'train',
        metainfo: Mapping | None = None,
        pipeline: Sequence = (),
        **kwargs,
    ) -> None:
        facts = {'data_root': data_root, 'class_split': class_split, 'metainfo': metainfo}
        self.split, self.class_split = split, class_split
        super().__init__(
            metainfo=self.metainfo_from_config(facts),
            data_root=str(data_root),
            data_prefix={'img_path': split},
            pipeline=list(pipeline),
            **kwargs,
        )

    @classmethod
    def metainfo_from_config(cls, dataset: Mapping) -> dict:
        """Return ``dict(classes=...)`` of a data set's config, without listing any picture.

        Raises:
            FileNotFoundError: the folder that names the classes is missing.
            ValueError: it has fewer than two sub-folders.
        """
        given = (dataset.get('metainfo') or {}).get('classes') or cls.METAINFO.get('classes')
        if given:
            return {'classes': tuple(given)}
        folder = Path(dataset['data_root'], dataset.get('class_split', 'train'))
        if not folder.is_dir():
            raise FileNotFoundError(
                f'folder {folder} does not exist; expected one sub-folder per class in it. Set '
                'data_root=..., or class_split=val where only that split is there'
            )
        names = sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[0] != '.')
        if len(names) < 2:
            raise ValueError(
                f'{folder} has {len(names)} sub-folders; expected one per class, at least two'
            )
        return {'classes': tuple(names)}

    def load_data_list(self) -> list[dict]:
        """List the pictures, sorted by path.

        Returns:
            One dict per picture: ``img_path`` and ``gt_label``, its class index.
        """
        folder = Path(self.data_prefix['img_path'])
        index_of = {name: index for index, name in enumerate(self.metainfo['classes'])}
        samples, loose, strange = [], [], set()
        for name in list_files(folder):
            if not name.lower().endswith(IMAGE_SUFFIXES):
                continue
            first, separator, _ = name.partition('/')
            if not separator:
                loose.append(name)
            elif first not in index_of:
                strange.add(first)
            else:
                samples.append({'img_path': str(folder / name), 'gt_label': index_of[first]})
        self._check(folder, samples, loose, sorted(strange))
        return samples

    def _check(
        self, folder: Path, samples: list[dict], loose: list[str], strange: list[str]
    ) -> None:
        if loose:
            raise ValueError(
                f'{len(loose)} pictures lie in {folder} itself ({first_names(loose)}); expected '
                'them in one sub-folder per class'
            )
        classes, source = self.metainfo['classes'], Path(self.data_root, self.class_split)
        if strange:
            raise ValueError(
                f'{folder} has folders that are no classes: {first_names(strange)}; the '
                f'{len(classes)} classes are the folders of {source}'
            )
        found = {sample['gt_label'] for sample in samples}
        empty = [name for index, name in enumerate(classes) if index not in found]
        if not samples or (empty and self.split == self.class_split):
            raise FileNotFoundError(
                f'0 pictures of {len(empty)} classes in {folder}: {first_names(empty)}; expected '
                f'suffixes {" ".join(IMAGE_SUFFIXES)}'
            )
