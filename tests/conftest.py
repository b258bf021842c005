"""What all tests share."""

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mmseg_custom.registry  # noqa: F401  mends mmseg before a test file imports it
from mmseg_custom.templates.device_locks import VARIABLE

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = ROOT.parent / 'shared' / 'data'
# Each data set that is built collects garbage, which need not look at the imported packages.
gc.freeze()


@pytest.fixture(scope='session', autouse=True)
def own_locks(tmp_path_factory):
    """Trainings of the tests do not wait for those of anybody else on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(tmp_path_factory.mktemp('locks')))
        yield


@pytest.fixture(scope='session')
def shared_data() -> Path:
    """Folder of real photographs beside the checkout; skips where it is missing."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f'no photographs at {SHARED_DATA}')
    return SHARED_DATA


@pytest.fixture(scope='session')
def run_tool():
    """Run a tool of the project in a process of its own, from any folder.

    The function takes the tool's path below ``tools/``, its arguments, and ``cwd``; it returns the
    ``CompletedProcess`` with text output.
    """

    def run(tool: str, *arguments, cwd: Path | None = None, timeout: float = 280, **env):
        return subprocess.run(
            [sys.executable, str(ROOT / 'tools' / tool), *map(str, arguments)],
            cwd=cwd or ROOT,
            env={**os.environ, 'OMP_NUM_THREADS': '1', **env},
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run
