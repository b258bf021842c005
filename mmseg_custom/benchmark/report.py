"""The benchmark's table and JSON."""

import dataclasses
import importlib.metadata
import json
import os
import platform
from pathlib import Path

import torch

from mmseg_custom.benchmark.run import Measurement, Options, Result
from mmseg_custom.benchmark.timing import Ceilings

PACKAGES = (
    'torch',
    'mmengine',
    'mmsegmentation',
    'mmcv-lite',
    'mmcv',
    'numpy',
    'transformers',
    'segmentation-models-pytorch',
)
COLUMNS = ('model', 'contender', 'time', 'ratio (min - max)', 'peak memory', 'ratio')
COLUMNS += ('parameters', 'GFLOPs', 'of matmul', 'of copy')


def hardware(device: str) -> dict[str, object]:
    """Describe the processor, and the GPU if it is used; no names of machines or users."""
    found: dict[str, object] = {
        'cpu': _cpu_model(),
        'cores': os.cpu_count(),
        'threads': torch.get_num_threads(),
    }
    if device.startswith('cuda'):
        found['gpu'] = torch.cuda.get_device_name(torch.device(device))
        found['cuda'] = torch.version.cuda
    return found


def _cpu_model() -> str:
    info = Path('/proc/cpuinfo')
    lines = info.read_text(encoding='utf-8').splitlines() if info.is_file() else []
    names = [line.split(':', 1)[1].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that matter and are installed."""
    found = {'python': platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def as_json(options: Options, ceilings: Ceilings, results: list[Result]) -> str:
    """Return everything that was measured as JSON text; seconds, bytes and FLOPs as numbers."""
    content = {
        'options': dataclasses.asdict(options),
        'hardware': hardware(options.device),
        'versions': versions(),
        'ceilings': dataclasses.asdict(ceilings),
        'results': [dataclasses.asdict(result) for result in results],
    }
    return json.dumps(content, indent=1) + '\n'


def print_report(options: Options, ceilings: Ceilings, results: list[Result], console=None) -> None:
    """Print a table: one line per contender, with its ratio to ours.

    Args:
        options: what was measured.
        ceilings: of the machine.
        results: one per model.
        console: a ``rich.console.Console``; a new one by default.
    """
    from rich.console import Console
    from rich.table import Table

    if console is None:
        console = Console()
        # Into a file or a pipe rich writes lines of 80 columns, too few for the table.
        console.width = max(console.width, 80 if console.is_terminal else 150)
    table = Table(title=f'{options.task}, {options.device}, {options.dtype}')
    rows, last_rows = [], []
    for result in results:
        comparisons = {comparison.against: comparison for comparison in result.comparisons}
        for measured in result.measurements:
            title = f'{result.model} {result.batch}x{result.size[0]}x{result.size[1]}'
            title += result.task.removeprefix(options.task)
            title = title if measured is result.measurements[0] else ''
            rows.append([title, *_row(measured, comparisons.get(measured.name))])
        last_rows.append(len(rows) - 1)
    # A task fills only some of the columns.
    used = [i for i in range(len(COLUMNS)) if any(row[i] not in ('', '-') for row in rows)]
    for i in used:
        table.add_column(COLUMNS[i], no_wrap=i == 0, justify='right' if i else 'left')
    for number, row in enumerate(rows):
        table.add_row(*(row[i] for i in used), end_section=number in last_rows)
    console.print(table)
    described = ', '.join(f'{key} {value}' for key, value in hardware(options.device).items())
    console.print(f'machine: {described}')
    console.print(
        f'measured: matrix product {ceilings.matmul_flops / 1e9:.0f} GFLOP/s ({options.dtype}), '
        f'copy {ceilings.copy_bytes / 1e9:.1f} GB/s (read + write)'
    )
    if options.device == 'cpu':
        console.print(f'freed memory is kept by: {options.keep_memory} (--keep-memory)')
    console.print('versions: ' + ', '.join(f'{key} {value}' for key, value in versions().items()))


def _row(measured: Measurement, comparison) -> list[str]:
    name = measured.name + (' compiled' if measured.compiled else '')
    ratio = memory = ''
    if comparison is not None:
        ratio = f'{comparison.ratio:.2f} ({comparison.ratio_min:.2f} - {comparison.ratio_max:.2f})'
        memory = '' if comparison.memory_ratio is None else f'{comparison.memory_ratio:.2f}'
        name += '' if comparison.same_weights else ' (own weights)'
    return [
        name,
        _format_seconds(measured.median_seconds),
        ratio,
        _scaled(measured.peak_bytes, 2**20, '{:.0f} MiB'),
        memory,
        _scaled(measured.parameters, 1e6, '{:.2f} M'),
        _scaled(measured.flops, 1e9, '{:.2f}'),
        _scaled(measured.matmul_share, 0.01, '{:.0f} %'),
        _scaled(measured.copy_share, 0.01, '{:.0f} %'),
    ]


def _format_seconds(seconds: float) -> str:
    return f'{seconds:.3f} s' if seconds >= 0.1 else f'{1000 * seconds:.2f} ms'


def _scaled(value: float | None, unit: float, text: str) -> str:
    return '-' if value is None else text.format(value / unit)
