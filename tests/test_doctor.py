"""The doctor, in an environment that works and in environments that do not."""

import os
import re
import subprocess
import sys

import pytest
from packaging.requirements import Requirement

from mmseg_custom import compat, doctor


def run_doctor(folder) -> subprocess.CompletedProcess:
    """Run the doctor where ``folder`` is searched before this environment's packages."""
    path = os.pathsep.join([str(folder), os.environ.get('PYTHONPATH', '')])
    return subprocess.run(
        [sys.executable, '-m', 'mmseg_custom.doctor'],
        env={**os.environ, 'PYTHONPATH': path},
        # Not the checkout: its own metadata would come first.
        cwd=folder,
        capture_output=True,
        text=True,
    )


def problems(result) -> list[str]:
    """The doctor's lines; other packages may say something on stderr, too."""
    lines = result.stderr.splitlines()
    return [line.removeprefix('problem: ') for line in lines if line.startswith('problem: ')]


def write_metadata(folder, name, version, *lines):
    """What pip leaves behind for a distribution, without its modules."""
    info = folder / f'{name.replace("-", "_")}-{version}.dist-info'
    info.mkdir()
    text = ['Metadata-Version: 2.1', f'Name: {name}', f'Version: {version}', *lines]
    (info / 'METADATA').write_text('\n'.join(text) + '\n')


@pytest.mark.provider
def test_reports_and_ends_with_zero(tmp_path):
    result = run_doctor(tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    for text in ('torch ', 'matplotlib ', 'mmcv operators', 'devices', 'mmcv_ext', 'all is well'):
        assert text in result.stdout


def test_wrong_versions(tmp_path):
    for name, version in (
        ('torch', '2.5.1+cu124'),
        ('mmcv-lite', '2.2.0'),
        ('mmcv', '2.2.0'),
        ('mmsegmentation', '1.2.1'),
        ('numpy', '99.0rc1'),
    ):
        write_metadata(tmp_path, name, version)
    result = run_doctor(tmp_path)
    assert result.returncode == 1 and 'all is well' not in result.stdout
    lite = 'pip install "mmcv-lite<2.2,>=2.1"'
    assert problems(result) == [
        'torch 2.5.1+cu124 is installed, expected >=2.6; run: pip install "torch>=2.6"',
        'mmsegmentation 1.2.1 is installed, expected ==1.2.2; '
        'run: pip install "mmsegmentation==1.2.2"',
        f'mmcv-lite 2.2.0 is installed, expected <2.2,>=2.1; run: {lite}',
        f'mmcv 2.2.0 is installed, expected <2.2,>=2.1; run: pip uninstall -y mmcv && {lite}',
        'mmcv-lite and mmcv write over each other; pip uninstall one',
    ]


def test_missing_distributions(tmp_path):
    """As where an own requirement was never installed: here one that nobody has."""
    requires = ('Requires-Dist: nowhere-to-be-found', 'Requires-Dist: nor_this>=3; extra == "lite"')
    other = 'Requires-Dist: not-asked-for; extra == "test"'
    write_metadata(tmp_path, 'mmseg_custom', '0.1.0', *requires, other)
    result = run_doctor(tmp_path)
    assert result.returncode == 1
    assert problems(result) == [
        'nowhere-to-be-found is missing; run: pip install nowhere-to-be-found',
        'nor_this is missing; run: pip install "nor_this>=3"',
    ]


def test_mmseg_that_cannot_be_imported(tmp_path):
    (tmp_path / 'mmseg').mkdir()
    (tmp_path / 'mmseg/__init__.py').write_text("assert False, 'MMCV==2.2.0 is incompatible.'\n")
    result = run_doctor(tmp_path)
    assert result.returncode == 1
    assert problems(result) == [
        'mmseg cannot be imported (AssertionError: MMCV==2.2.0 is incompatible.); run: '
        'pip install --force-reinstall "mmengine>=0.10.7" "mmcv-lite<2.2,>=2.1" '
        '"mmsegmentation==1.2.2"'
    ]


def test_this_package_is_not_installed():
    """Found on the path only: nothing says what it needs."""
    code = (
        'import importlib.metadata as m, sys\n'
        'def requires(name):\n'
        '    raise m.PackageNotFoundError(name)\n'
        'm.requires = requires\n'
        'from mmseg_custom import doctor; sys.exit(doctor.main())\n'
    )
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert result.returncode == 1
    assert problems(result) == ['mmseg_custom is not installed; run: pip install -e ".[lite]"']


def test_lines_to_run_name_the_versions_that_the_package_asks_for():
    """``compat`` knows them by itself, since it also runs where nothing is installed."""
    hinted = [re.search(r'"(.*)"', hint)[1] for hint in compat.INSTALL_HINTS.values()]
    needed = doctor.requirements()
    for requirement in map(Requirement, hinted):
        assert requirement.specifier == needed[requirement.name], requirement.name
