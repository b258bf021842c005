"""``python -m mmseg_custom.doctor``: what is installed, what was mended, what is missing."""

import importlib.metadata
import platform
import sys

from mmseg_custom import compat

DISTRIBUTIONS = {
    'torch': ('torch',),
    'mmengine': ('mmengine', 'onedl-mmengine'),
    'mmcv': ('mmcv', 'mmcv-lite', 'onedl-mmcv'),
    'mmsegmentation': ('mmsegmentation', 'onedl-mmsegmentation'),
    'numpy': ('numpy',),
    'opencv-python': ('opencv-python', 'opencv-python-headless'),
    'ftfy': ('ftfy',),
    'regex': ('regex',),
}


def versions() -> dict[str, str]:
    """Name -> installed distribution and version, or ``missing``."""
    found = {}
    for name, candidates in DISTRIBUTIONS.items():
        installed = [f'{c} {v}' for c in candidates if (v := _version(c))]
        found[name] = ' and '.join(installed) or 'missing'
    return found


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def devices() -> str:
    """The devices that torch sees, in words."""
    import torch

    names = [
        f'cuda:{i} {torch.cuda.get_device_name(i)}, '
        f'{torch.cuda.get_device_properties(i).total_memory / 2**30:.0f} GiB'
        for i in range(torch.cuda.device_count())
    ]
    return '; '.join([*names, f'cpu with {torch.get_num_threads()} threads'])


def diagnose() -> list[str]:
    """Print the report and return the problems, each one line with its fix."""
    print(f'python          {platform.python_version()} ({sys.platform})')
    found = versions()
    for name, version in found.items():
        print(f'{name:<15} {version}')
    problems = [
        f'{name} is missing; run: {compat.INSTALL_HINTS.get(name, f"pip install {name}")}'
        for name, version in found.items()
        if version == 'missing'
    ]
    if ' and ' in found['mmcv']:
        problems.append(f'two distributions provide mmcv ({found["mmcv"]}); pip uninstall one')
    try:
        fixes = compat.apply()
    except ModuleNotFoundError as error:
        return problems or [str(error)]
    compiled = compat.has_compiled_mmcv()
    print(f'mmcv operators  {"compiled" if compiled else "none (not needed here)"}')
    print(f'devices         {devices()}')
    print('mended upstream:')
    for fix in fixes:
        print(f'  {"yes" if fix.applied else "not needed":<10} {fix.name}: {fix.reason}')
    return problems


def main() -> int:
    """Run the diagnosis; 0 when nothing is missing, else 1."""
    problems = diagnose()
    for problem in problems:
        print(f'problem: {problem}', file=sys.stderr)
    print('all is well' if not problems else f'{len(problems)} problem(s)')
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
