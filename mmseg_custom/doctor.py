"""``python -m mmseg_custom.doctor``: what is installed, what was mended, what does not work."""

import importlib.metadata
import platform
import sys

from mmseg_custom import compat

# Other distributions with the same modules and the same version numbers.
TWINS = {
    'mmcv-lite': ('mmcv',),
    'opencv-python': (
        *('opencv-python-headless', 'opencv-contrib-python'),
        'opencv-contrib-python-headless',
    ),
}
# The same with numbers of their own; whether they serve, the import tells.
FORKS = {
    'mmengine': ('onedl-mmengine',),
    'mmcv-lite': ('onedl-mmcv',),
    'mmsegmentation': ('onedl-mmsegmentation',),
}
OPENMMLAB = ('mmengine', 'mmcv-lite', 'mmsegmentation')


def requirements() -> dict:
    """What this package needs, with its extra ``lite``: name -> version specifiers.

    Raises:
        importlib.metadata.PackageNotFoundError: this package itself is not installed.
        ModuleNotFoundError: ``packaging`` is missing.
    """
    from packaging.requirements import Requirement

    lines = importlib.metadata.requires('mmseg_custom') or []
    found = [Requirement(line) for line in lines]
    return {
        requirement.name: requirement.specifier
        for requirement in found
        if requirement.marker is None or requirement.marker.evaluate({'extra': 'lite'})
    }


def installed_versions(name: str) -> dict[str, str]:
    """Distribution -> version of everything installed that provides what ``name`` does."""
    candidates = (name, *TWINS.get(name, ()), *FORKS.get(name, ()))
    return {candidate: v for candidate in candidates if (v := _version(candidate))}


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def requirement_problems(name: str, specifier, installed: dict[str, str]) -> list[str]:
    """Compare what is installed with what is needed.

    Args:
        name: the distribution that is needed.
        specifier: its versions.
        installed: from :func:`installed_versions`.

    Returns:
        One line with its fix for each problem.
    """
    install = f'pip install "{name}{specifier}"' if specifier else f'pip install {name}'
    if not installed:
        return [f'{name} is missing; run: {install}']
    problems = []
    for distribution in (name, *TWINS.get(name, ())):
        version = installed.get(distribution)
        if version is None or specifier.contains(version, prereleases=True):
            continue
        remove = '' if distribution == name else f'pip uninstall -y {distribution} && '
        problems.append(
            f'{distribution} {version} is installed, expected {specifier}; run: {remove}{install}'
        )
    if name == 'mmcv-lite' and len(installed) > 1:
        problems.append(f'{" and ".join(installed)} write over each other; pip uninstall one')
    return problems


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
    try:
        needed = requirements()
    except ModuleNotFoundError as error:
        # PackageNotFoundError is one, too.
        fix = 'pip install packaging' if error.name == 'packaging' else 'pip install -e ".[lite]"'
        return [f'{error.name} is not installed; run: {fix}']
    problems = []
    for name, specifier in needed.items():
        installed = installed_versions(name)
        shown = ' and '.join(f'{d} {v}' for d, v in installed.items()) or 'missing'
        print(f'{name:<15} {shown}')
        problems += requirement_problems(name, specifier, installed)
    try:
        # Everything that a tool needs, mmseg's own check of versions included.
        from mmseg_custom.registry import register_all

        register_all()
    except Exception as error:
        reason = f'{type(error).__name__}: {" ".join(str(error).split())}'
        again = ' '.join(f'"{name}{needed.get(name, "")}"' for name in OPENMMLAB)
        fix = 'mend the above' if problems else f'run: pip install --force-reinstall {again}'
        return [*problems, f'mmseg cannot be imported ({reason}); {fix}']
    compiled = compat.has_compiled_mmcv()
    print(f'mmcv operators  {"compiled" if compiled else "none (not needed here)"}')
    print(f'devices         {devices()}')
    print('mended upstream:')
    for fix in compat.apply():
        print(f'  {"yes" if fix.applied else "not needed":<10} {fix.name}: {fix.reason}')
    return problems


def main() -> int:
    """Run the diagnosis; 0 when everything is there and works, else 1."""
    problems = diagnose()
    for problem in problems:
        print(f'problem: {problem}', file=sys.stderr)
    print('all is well' if not problems else f'{len(problems)} problem(s)')
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
