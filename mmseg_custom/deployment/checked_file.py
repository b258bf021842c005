"""Files that are there only if they predict what the model predicts."""

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mmseg_custom.deployment.parity import (
    LABEL_AGREEMENT,
    MAX_DIFFERENCE,
    ParityError,
    ParityReport,
)
from mmseg_custom.writing import check_writable

# In every folder that TensorFlow loads.
SAVED_MODEL_FILE = 'saved_model.pb'


@dataclass(frozen=True)
class Wanted:
    """Where a file goes, and what it must reach.

    Attributes:
        out: the file, or a folder.
        suffix: that its name must end with; empty for a folder.
        max_difference: as in :meth:`ParityReport.check`.
        agreement: as there.
        overwrite: whether ``out`` may exist.
    """

    out: Path
    suffix: str
    max_difference: float = MAX_DIFFERENCE
    agreement: float = LABEL_AGREEMENT
    overwrite: bool = False

    def check(self) -> None:
        """Look before the work whether the file can be written.

        Raises:
            FileExistsError: it exists and may not, or is a folder of something else.
            PermissionError: its folder cannot be written to.
            ValueError: its name ends otherwise.
        """
        if self.suffix and self.out.suffix.lower() != self.suffix:
            raise ValueError(f'OUT is {self.out}; expected a name that ends with {self.suffix}')
        if self.out.exists() and not self.overwrite:
            raise FileExistsError(f'{self.out} exists; choose another name, or give --overwrite')
        if self.out.is_dir() and (self.suffix or not (self.out / SAVED_MODEL_FILE).is_file()):
            raise FileExistsError(f'{self.out} is a folder of other files; choose another name')
        check_writable(self.out.parent, 'OUT')

    def write(
        self,
        write: Callable[[Path], None],
        compare: Callable[[Path], ParityReport],
        about: str,
        show: Callable[[str], None],
    ) -> ParityReport:
        """Write under another name, compare, and rename what passes.

        Args:
            write: writes the file.
            compare: compares it with the model.
            about: what is compared, in words.
            show: gets size and report as text.

        Raises:
            ParityError: it predicts something else.
        """
        partial = self.out.with_name(f'.{self.out.stem}.partial{self.suffix}')
        try:
            write(partial)
            report = compare(partial)
            show(f'{self.out} ({_num_bytes(partial) / 2**20:.1f} MiB), {about}\n{report}')
            report.check(self.max_difference, self.agreement)
            if self.out.is_dir():
                shutil.rmtree(self.out)
            os.replace(partial, self.out)
        finally:
            _remove(partial)
        return report


def _num_bytes(path: Path) -> int:
    return sum(one.stat().st_size for one in (path, *path.rglob('*')) if one.is_file())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def wanted_file(args: argparse.Namespace, suffix: str) -> Wanted:
    """What the options of ``cli.add_export_arguments`` want."""
    out = Path(args.out)
    return Wanted(out, suffix, args.max_difference, args.agreement, args.overwrite)


@contextmanager
def exit_if_different() -> Iterator[None]:
    """Turn a :class:`ParityError` into a line on stderr and exit status 1."""
    try:
        yield
    except ParityError as error:
        print(f'error: {error}', file=sys.stderr)
        sys.exit(1)
