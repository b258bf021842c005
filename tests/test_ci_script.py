"""The continuous integration script, with a ``make`` that only says what it was asked for."""

import os
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MAKE = """#!/usr/bin/env bash
echo "make $* in $(basename "$VENV") and $(basename "$ONEDL_VENV")"
mkdir -p "$VENV"
test "$1" != "${FAILING:-nothing}"
"""


def run_script(root, **env):
    path = f'{root / "bin"}{os.pathsep}{os.environ["PATH"]}'
    command = ['bash', str(root / '.ci/run')]
    env = {**os.environ, 'PATH': path, **env}
    return subprocess.run(command, cwd=root.parent, env=env, capture_output=True, text=True)


def test_starts_from_an_empty_environment_of_its_own(tmp_path):
    root = tmp_path / 'checkout'
    for folder in ('.ci', 'bin', '.venv', '.venv-ci', '.venv-ci-onedl'):
        (root / folder).mkdir(parents=True)
    shutil.copy(ROOT / '.ci/run', root / '.ci')
    (root / 'bin/make').write_text(MAKE)
    (root / 'bin/make').chmod(0o755)
    (root / '.venv/python').touch()
    (root / '.venv-ci/left_over').touch()
    (root / '.venv-ci-onedl/left_over').touch()
    result = run_script(root)
    places = 'in .venv-ci and .venv-ci-onedl'
    lines = result.stdout.splitlines()
    # The first two run at once.
    steps = ['lint', 'onedl-dependencies', 'test', 'test-onedl']
    assert sorted(lines[:2]) + lines[2:] == [f'make {step} {places}' for step in steps]
    assert result.returncode == 0
    assert (root / '.venv/python').exists(), "the developer's environment is gone"
    assert not (root / '.venv-ci/left_over').exists()
    assert not (root / '.venv-ci-onedl/left_over').exists()
    for step in steps[:2]:
        failed = run_script(root, FAILING=step)
        assert failed.returncode == 1 and 'make test' not in failed.stdout


def test_make_installs_into_that_environment():
    """``VENV`` of the environment reaches the recipes, and git ignores the folder."""
    command = ['make', '--dry-run', '--always-make', 'lint']
    env = {**os.environ, 'VENV': '.venv-ci'}
    dry = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert '-m venv .venv-ci' in dry.stdout and '.venv-ci/bin/ruff' in dry.stdout
    assert '.venv-*/' in (ROOT / '.gitignore').read_text().split()


def test_the_forks_environment_has_all_other_requirements():
    """It is installed without dependencies, which would bring OpenMMLab's own modules."""
    listed = re.search(r'install_requires=\[(.*?)\]', (ROOT / 'setup.py').read_text(), re.S)[1]
    required = {re.split('[<>=]', name)[0] for name in re.findall(r"'(.*?)'", listed)}
    lines = (ROOT / 'requirements/onedl.txt').read_text().splitlines()
    forks = {line for line in lines if line and not line.startswith(('#', 'onedl-'))}
    read_by_tests = {'tifffile', 'imagecodecs'}
    assert required - {'torch', 'mmengine', 'mmsegmentation'} | read_by_tests == forks
