"""Tools answer ``--help`` at once: what takes seconds to import is imported when it is used."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Scripts to copy, which need nothing of this project, have neither options nor its manners.
COPIED = {'run_litert.py', 'run_onnx.py'}
TOOLS = sorted(path for path in (ROOT / 'tools').rglob('*.py') if path.name not in COPIED)
HEAVY = ('cv2', 'matplotlib', 'mmcv', 'mmengine', 'mmseg', 'numpy', 'scipy', 'torch')
CODE = """
import runpy, sys
sys.argv = [sys.argv[1], '--help']
try:
    runpy.run_path(sys.argv[0], run_name='__main__')
except SystemExit as leaving:
    assert not leaving.code, leaving.code
print('imported:', *sorted({name.partition('.')[0] for name in sys.modules}))
"""


@pytest.mark.parametrize('tool', TOOLS, ids=lambda path: path.name)
def test_help_imports_nothing_heavy(tool):
    command = [sys.executable, '-c', CODE, tool]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    usage, _, imported = done.stdout.partition('imported:')
    assert usage.startswith('usage:')
    assert set(imported.split()) & set(HEAVY) == set()


def test_plots_are_not_imported_before_they_are_drawn():
    code = (
        'import sys\n'
        'from mmseg_custom.registry import register_all\n'
        'register_all()\n'
        'print("matplotlib.colors" in sys.modules)\n'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == 'False', done.stderr
