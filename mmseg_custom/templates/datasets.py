"""Data sets by name, and making versions of them."""

import json
import os
import re
import shutil
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from mmseg_custom.messages import did_you_mean
from mmseg_custom.templates.registry import DEFAULT_ROOT, Registry
from mmseg_custom.templates.snapshots import copy_files, describe_files
from mmseg_custom.templates.versions import MANIFEST, VERSIONS, DatasetVersion, manifest_id
from mmseg_custom.writing import write_atomically

if TYPE_CHECKING:
    from mmseg_custom.templates.folders import FolderContent

NAME = re.compile(r'[A-Za-z0-9][\w.-]*')
SHORTEST_ID = 6
PARTIAL = '.partial-'


@dataclass(frozen=True)
class DatasetEntry:
    """A data set's name in the registry.

    Attributes:
        name: of the data set.
        folder: where its files lie.
        created: seconds since 1970.
        versions: ids, the newest first.
    """

    name: str
    folder: Path
    created: float
    versions: tuple[str, ...] = ()


class Datasets:
    """The data sets of a registry.

    Args:
        root: folder of the registry and the versions.
    """

    def __init__(self, root: str | os.PathLike = DEFAULT_ROOT) -> None:
        self.registry = Registry(root)

    def create(self, name: str, folder: str | os.PathLike) -> DatasetEntry:
        """Name a folder of pictures and masks; it is read once to see that it can be trained on.

        Args:
            name: letters, digits, ``_``, ``-`` and dots. The same name again for the same folder
                changes nothing; for another one it is an error, unless the old one is gone.
            folder: see :class:`~mmseg_custom.datasets.folder.FolderDataset`; nothing is copied.

        Raises:
            FileNotFoundError: there is no such folder, or a split is missing.
            ValueError: the name does not fit or is another folder's, or the data set has errors.
        """
        if not NAME.fullmatch(name):
            raise ValueError(
                f"data set name '{name}'; expected letters, digits, '_', '-' and '.', beginning "
                'with a letter or digit, such as nuclei'
            )
        place = Path(folder).expanduser().resolve()
        _read(place)
        with self.registry.transaction() as connection:
            row = connection.execute('SELECT * FROM datasets WHERE name=?', (name,)).fetchone()
            moved = row is not None and not Path(row['folder']).is_dir()
            if row is not None and Path(row['folder']) != place and not moved:
                raise ValueError(
                    f"data set '{name}' is {row['folder']} already, not {place}; choose another "
                    f'name with: tools/segmenter.py dataset create NAME {place}'
                )
            if row is None:
                connection.execute(
                    'INSERT INTO datasets VALUES (?, ?, ?)', (name, str(place), time.time())
                )
            elif moved:
                connection.execute('UPDATE datasets SET folder=? WHERE name=?', (str(place), name))
        return self.get(name)

    def list(self) -> list[DatasetEntry]:
        """All data sets, sorted by name."""
        return [self._entry(row) for row in self.registry.rows('SELECT * FROM datasets ORDER BY 1')]

    def get(self, name: str) -> DatasetEntry:
        """Find a data set; the path of a folder is registered under the folder's name.

        Raises:
            ValueError: there is neither a data set nor a folder of this name.
        """
        rows = self.registry.rows('SELECT * FROM datasets WHERE name=?', (name,))
        if rows:
            return self._entry(rows[0])
        place = Path(name).expanduser().resolve()
        if not name or not place.is_dir():
            known = [entry.name for entry in self.list()]
            hint = did_you_mean(name, known) or f'known: {", ".join(known) or "none"}'
            raise ValueError(
                f"dataset_id is '{name}', which is no data set and no folder; name a folder with: "
                f'tools/segmenter.py dataset create NAME FOLDER; {hint}'
            )
        rows = self.registry.rows('SELECT * FROM datasets WHERE folder=?', (str(place),))
        if rows:
            return self._entry(rows[0])
        return self.create(re.sub(r'[^\w.-]', '_', place.name).lstrip('._-') or 'data', place)

    def get_present(self, name: str) -> DatasetEntry:
        """The same, of a data set whose folder is where it was.

        Raises:
            FileNotFoundError: it was moved or removed.
        """
        entry = self.get(name)
        if not entry.folder.is_dir():
            raise FileNotFoundError(
                f"data set '{entry.name}' lay in {entry.folder}, which is gone; say where it is "
                f'with: tools/segmenter.py dataset create {entry.name} FOLDER, or take one of its '
                f'versions with dataset_version_id: {", ".join(entry.versions) or "none yet"}'
            )
        return entry

    def content(self, name: str) -> 'FolderContent':
        """Classes, numbers of samples and files of a data set as its folder is at present."""
        return _read(self.get_present(name).folder)

    def concepts(self, name: str) -> tuple[str, ...]:
        """Names of the classes of a data set, in index order."""
        return self.content(name).classes

    def version(self, name: str) -> DatasetVersion:
        """Copy the files that the data set reads, as they are at present, into the registry.

        Where this content was copied before, that version is returned, after a look whether it is
        whole; a damaged one is made anew.

        Raises:
            ValueError, OSError: the data set has errors, or there is no room.
        """
        entry = self.get_present(name)
        content = _read(entry.folder)
        manifest = _manifest(content, describe_files(entry.folder, content.files))
        version = self._version(manifest_id(manifest), entry.name, time.time())
        with FileLock(self.registry.root / f'{VERSIONS}.lock'):
            if version.differences():
                self._write(version, manifest, entry.folder, content)
        self.registry.change(
            'INSERT OR IGNORE INTO versions VALUES (?, ?, ?)',
            (version.id, entry.name, version.created),
        )
        return self.find_version(entry.name, version.id)

    def versions(self, name: str) -> 'list[DatasetVersion]':
        """The versions of a data set, the newest first."""
        entry = self.get(name)
        rows = self.registry.rows(
            'SELECT * FROM versions WHERE dataset=? ORDER BY created DESC', (entry.name,)
        )
        return [self._version(row['id'], entry.name, row['created']) for row in rows]

    def find_version(self, name: str, version_id: str) -> DatasetVersion:
        """Find a version of a data set by its id or the beginning of it.

        Raises:
            ValueError: there is none, or several begin so.
        """
        versions = self.versions(name)
        found = [version for version in versions if version.id.startswith(version_id)]
        if len(found) == 1 and len(version_id) >= SHORTEST_ID:
            return found[0]
        what = 'fits several' if len(found) > 1 else 'is none'
        known = ', '.join(version.id for version in versions) or 'none yet'
        raise ValueError(
            f"dataset_version_id is '{version_id}', which {what} of the versions of data set "
            f"'{name}' (known: {known}); make one with: tools/segmenter.py dataset version {name}"
        )

    def _entry(self, row) -> DatasetEntry:
        ids = self.registry.rows(
            'SELECT id FROM versions WHERE dataset=? ORDER BY created DESC', (row['name'],)
        )
        versions = tuple(one['id'] for one in ids)
        return DatasetEntry(row['name'], Path(row['folder']), row['created'], versions)

    def _version(self, version_id: str, dataset: str, created: float) -> DatasetVersion:
        place = self.registry.root / VERSIONS / version_id
        return DatasetVersion(version_id, dataset, place, created)

    def _write(
        self, version: DatasetVersion, manifest: bytes, source: Path, content: 'FolderContent'
    ) -> None:
        """Make a version beside its place, and put it there when it is whole."""
        version.place.parent.mkdir(exist_ok=True)
        for left_by_a_killed_process in version.place.parent.glob(f'{PARTIAL}*'):
            shutil.rmtree(left_by_a_killed_process)
        partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=version.place.parent))
        try:
            made = replace(version, place=partial)
            made.folder.mkdir()
            write_atomically(partial / MANIFEST, manifest)
            copy_files(source, made.manifest['files'], made.folder, self._copies(version.dataset))
            _check_the_same(content, made.folder, source)
            if version.place.exists():
                version.place.rename(partial / 'damaged')
            version.place.mkdir()
            for path in (made.folder, partial / MANIFEST):
                path.rename(version.place / path.name)
        finally:
            shutil.rmtree(partial)

    def _copies(self, name: str) -> dict[str, Path]:
        """Files of earlier versions by SHA-256."""
        return {
            file['sha256']: version.folder / file['path']
            for version in reversed(self.versions(name))
            if version.manifest_problem is None
            for file in version.manifest['files']
        }


def _read(folder: str | os.PathLike) -> 'FolderContent':
    # Importing data sets takes seconds.
    from mmseg_custom.templates.folders import read_folder

    return read_folder(folder)


def _manifest(content: 'FolderContent', files: list[dict]) -> bytes:
    facts = {'classes': content.classes, 'splits': content.splits, 'files': files}
    return f'{json.dumps(facts, indent=1, sort_keys=True)}\n'.encode()


def _check_the_same(content: 'FolderContent', copy: Path, source: Path) -> None:
    """Read the copy as a training does, and compare.

    Raises:
        ValueError: it holds something else, such as when a description names a folder absolutely.
    """
    found = _read(copy)
    for fact in ('classes', 'splits', 'files'):
        there, here = getattr(content, fact), getattr(found, fact)
        if there != here:
            raise ValueError(
                f'{source} has other {fact} ({there}) than its copy ({here}); name files '
                'relative to the folder, and leave nothing to what else lies in it'
            )
