"""A version of a data set: a read-only copy that says exactly what a run saw."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mmseg_custom.templates.snapshots import differences

VERSIONS, MANIFEST, DATA = 'versions', 'manifest.json', 'data'
ID_DIGITS = 32
NAMES_SHOWN = 3


@dataclass(frozen=True)
class DatasetVersion:
    """A copy of a data set as it was at one moment; the same content has the same id.

    Attributes:
        id: the first 32 digits of the SHA-256 of the manifest.
        dataset: name of the data set.
        place: folder with the manifest and the files.
        created: seconds since 1970.
    """

    id: str
    dataset: str
    place: Path
    created: float = 0.0

    @property
    def folder(self) -> Path:
        """The files, laid out as in the data set's folder."""
        return self.place / DATA

    @cached_property
    def manifest(self) -> dict:
        """``classes``, ``splits`` (number of samples) and ``files`` (path, size, SHA-256)."""
        return json.loads((self.place / MANIFEST).read_text(encoding='utf-8'))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in index order."""
        return tuple(self.manifest['classes'])

    @property
    def splits(self) -> dict[str, int]:
        """Number of samples by split."""
        return self.manifest['splits']

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file['size'] for file in self.manifest['files'])

    @property
    def manifest_problem(self) -> str | None:
        """What is wrong with the manifest, or None."""
        path = self.place / MANIFEST
        if not path.is_file():
            return f'{MANIFEST} is missing'
        return None if manifest_id(path.read_bytes()) == self.id else f'{MANIFEST} was changed'

    def differences(self) -> list[str]:
        """What is not as the manifest says, a few words for each file; reads all files."""
        problem = self.manifest_problem
        return [problem] if problem else differences(self.folder, self.manifest['files'])

    def verify(self) -> None:
        """Compare all files with the manifest.

        Raises:
            ValueError: a file was changed, added or is missing; the message names it.
        """
        found = self.differences()
        if found:
            more = f' and {len(found) - NAMES_SHOWN} more' if len(found) > NAMES_SHOWN else ''
            raise ValueError(
                f"version {self.id} of data set '{self.dataset}' is damaged: "
                f'{", ".join(found[:NAMES_SHOWN])}{more} (in {self.folder}); mend it from '
                f'unchanged originals with: tools/segmenter.py dataset version {self.dataset}'
            )


def manifest_id(manifest: bytes) -> str:
    """The id of the version with this manifest."""
    return hashlib.sha256(manifest).hexdigest()[:ID_DIGITS]
