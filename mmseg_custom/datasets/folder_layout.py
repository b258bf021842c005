"""Where a folder keeps the pictures and the masks of a split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmseg_custom.datasets.checks import first_names, list_files
from mmseg_custom.datasets.dataset_yaml import YAML_NAME
from mmseg_custom.datasets.suffixes import MASK_SUFFIXES
from mmseg_custom.messages import did_you_mean

# The first name is this project's; the others are common and found where they are the only one.
IMAGE_DIRS = ('images', 'image', 'imgs', 'img', 'img_dir')
MASK_DIRS = ('masks', 'mask', 'annotations', 'labels', 'label', 'gt', 'ann_dir')
BY_SPLIT = ('{name}/{split}', '{split}/{name}')
FLAT = '{name}'
OTHER_SPLIT_NAMES = {'train': ('training',), 'val': ('valid', 'validation', 'dev')}


@dataclass(frozen=True)
class SplitFiles:
    """The files of a split.

    Attributes:
        image_dir: folder of the pictures.
        mask_dir: folder of the masks; None where none is looked for.
        list_file: the list of the split's pictures; None for all of the folder.
        share: what part of the pictures is set aside for ``val``; None for all.
    """

    image_dir: Path
    mask_dir: Path | None
    list_file: Path | None = None
    share: float | None = None


@dataclass(frozen=True)
class FolderLayout:
    """The layout keys of a ``dataset.yaml``.

    Args:
        root: the data set's folder.
        images: pattern of the picture folder below it, with ``{split}``; None finds it.
        masks: the same of the masks.
        splits: split to its list file (``.txt``) or to the name of its folder.
        val_share: part of the training pictures that becomes ``val``.
    """

    root: Path
    images: str | None = None
    masks: str | None = None
    splits: Mapping[str, str] = field(default_factory=dict)
    val_share: float | None = None

    def find(self, split: str, with_masks: bool = True) -> SplitFiles:
        """Find the folders of a split.

        Args:
            split: its name.
            with_masks: look for masks, too.

        Raises:
            FileNotFoundError: there is no such folder; the message says what there is.
            ValueError: the keys contradict each other, or several folders fit.
        """
        parted = self.val_share is not None and split in ('train', 'val')
        self._check(parted)
        name = 'train' if parted else split
        source = self.splits.get(name, name)
        list_file = self.root / source if source.endswith('.txt') else None
        folder = name if list_file else source
        styles = (*BY_SPLIT, FLAT) if parted or list_file else BY_SPLIT
        found = self._image_patterns(folder, styles)
        if not found:
            raise FileNotFoundError(self._missing_split(folder, split))
        image_dir = self._path(_only(found, IMAGE_DIRS[0], self.root), folder)
        mask_dir = self._path(self._masks_of(found[0], folder), folder) if with_masks else None
        return SplitFiles(image_dir, mask_dir, list_file, self.val_share if parted else None)

    def _check(self, parted: bool) -> None:
        by_split = self.images is None or '{split}' in self.images
        if parted and 'val' in self.splits:
            raise ValueError('val_share and splits.val both say what val is; remove one')
        if parted and by_split and (found := self._image_patterns('val', BY_SPLIT)):
            raise ValueError(
                f'val_share={self.val_share} but {self._path(found[0], "val")} exists; expected '
                'one of them, remove val_share or the folder'
            )
        if not by_split and not self.splits and self.val_share is None:
            raise ValueError(
                f'images={self.images} has no {{split}}, so all splits would have the same '
                "pictures; add {split}, or list files (splits), or 'val_share: 0.1'"
            )

    def _path(self, pattern: str, folder: str) -> Path:
        return self.root / pattern.replace('{split}', folder)

    def _existing(self, names: Sequence[str], folder: str, styles: Sequence[str]) -> list[str]:
        """Patterns whose folder exists, those with the split first and else the flat ones."""
        for group in ([style for style in styles if style != FLAT], [FLAT]):
            patterns = [style.replace('{name}', name) for style in group for name in names]
            found = [pattern for pattern in patterns if self._path(pattern, folder).is_dir()]
            if found or FLAT not in styles:
                return found
        return []

    def _image_patterns(self, folder: str, styles: Sequence[str]) -> list[str]:
        if self.images:
            return [self.images] if self._path(self.images, folder).is_dir() else []
        return self._existing(IMAGE_DIRS, folder, styles)

    def _masks_of(self, images: str, folder: str) -> str:
        """The pattern of the masks; where none is there the one expected, for its error."""
        if self.masks:
            return self.masks
        name = next((name for name in images.split('/') if name in IMAGE_DIRS), None)
        styles = (*BY_SPLIT, FLAT) if name is None else (images.replace(name, '{name}'),)
        found = self._existing(MASK_DIRS, folder, styles)
        if not any(MASK_DIRS[0] in pattern for pattern in found):
            found = [p for p in found if _holds_masks(self._path(p, folder))]
        if not found:
            return styles[0].replace('{name}', MASK_DIRS[0])
        return _only(found, MASK_DIRS[0], self.root)

    def _missing_split(self, folder: str, split: str) -> str:
        """What there is in place of a split's folder, and what to write."""
        expected = self._path(self.images or BY_SPLIT[0].replace('{name}', IMAGE_DIRS[0]), folder)
        begin = f"no pictures of the split '{split}': {expected} does not exist"
        yaml_path = self.root / YAML_NAME
        share = f"write 'val_share: 0.1' in {yaml_path} to set a tenth of the pictures aside as val"
        splits = self.splits_there()
        near = next((name for name in OTHER_SPLIT_NAMES.get(split, ()) if name in splits), None)
        flat = self._existing(IMAGE_DIRS, folder, (FLAT,))
        if near:
            fix = f"write 'splits: {{{split}: {near}}}' in {yaml_path}"
        elif splits and split == 'val':
            fix = f'make it, or {share}'
        elif splits:
            loader = split if split in ('train', 'val') else 'test'
            hint = did_you_mean(split, splits) or 'or take one that is there'
            fix = f'make it; {hint} ({loader}_dataloader.dataset.split=...)'
        elif flat:
            num_files = len(list_files(self._path(flat[0], folder)))
            return (
                f'{begin}; {self._path(flat[0], folder)} has {num_files} files and no folders; '
                f"{share}, or list files: 'splits: {{train: train.txt, val: val.txt}}'"
            )
        else:
            folders = sorted(p.name for p in self.root.iterdir() if p.is_dir())
            found = f'folders {first_names(folders)}' if folders else 'no folders'
            return (
                f'{begin}; {self.root} has {found}; make images/{folder} and masks/{folder}, or '
                f"say in {yaml_path} where they are, e.g. 'images: FOLDER/{{split}}'"
            )
        return f'{begin}; {self.root} has the splits {", ".join(splits)}; {fix}'

    def splits_there(self) -> list[str]:
        """Names of the splits that have a folder of pictures or a list."""
        bases = [self.root, *(self.root / name for name in IMAGE_DIRS)]
        if self.images:
            bases.append(self._path(self.images.split('{split}')[0], ''))
        names = {path.name for base in bases if base.is_dir() for path in base.iterdir()}
        there = {name for name in names if self._image_patterns(name, BY_SPLIT)} | {*self.splits}
        return sorted(there if self.val_share is None else there | {'train', 'val'})


def _holds_masks(folder: Path) -> bool:
    return any(name.lower().endswith(MASK_SUFFIXES) for name in list_files(folder))


def _only(patterns: Sequence[str], default: str, root: Path) -> str:
    """The pattern with the default's name where it is among them, else the only one."""
    choices = [p for p in patterns if default in p.split('/')] or patterns
    if len(choices) > 1:
        raise ValueError(
            f'{root} has {" and ".join(choices)}; expected one of them for {default}, say which in '
            f"{YAML_NAME}: '{default}: {choices[0]}'"
        )
    return choices[0]
