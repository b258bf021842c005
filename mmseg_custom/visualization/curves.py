"""Training curves as a PNG: loss, learning rate and mIoU (or top-1 accuracy) over the iterations.

They are read from the ``scalars.json`` that mmengine's ``LocalVisBackend`` writes: one JSON object
a line, ``step`` and ``loss``, ``lr`` on training lines, ``mIoU`` or ``top1`` on validation lines.
"""

import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path

SCALARS = 'scalars.json'
COLOURS = {'loss': '#c0392b', 'lr': '#2471a3', 'mIoU': '#1e8449', 'top1': '#1e8449'}
SCORES = {'mIoU': 'validation mIoU (%)', 'top1': 'validation top-1 accuracy (%)'}


@dataclass
class Curves:
    """Points of each curve, (step, value) in the order of steps."""

    loss: list[tuple[int, float]] = field(default_factory=list)
    lr: list[tuple[int, float]] = field(default_factory=list)
    mIoU: list[tuple[int, float]] = field(default_factory=list)
    top1: list[tuple[int, float]] = field(default_factory=list)

    @property
    def score(self) -> str:
        """What the run was validated with: the name of a curve."""
        return 'top1' if self.top1 else 'mIoU'


def plot_curves(log: str | os.PathLike, out_png: str | os.PathLike) -> Path:
    """Draw loss, learning rate and the score side by side.

    Args:
        log: a ``scalars.json``, or a folder that holds it: a work folder (the runs in it are joined
            as :func:`read_curves` says), one run's folder, or its ``vis_data``.
        out_png: where to write; missing folders are made.

    Returns:
        The path written.

    Raises:
        FileNotFoundError: there is no log.
        ValueError: the log holds no training or validation line, or cannot be read.
    """
    curves = read_curves(log)
    # The figure is used without pyplot, so that no global state or display is involved.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 3.8), dpi=110, layout='constrained')
    loss, lr, score = figure.subplots(1, 3)
    _draw(loss, curves.loss, 'loss', 'training loss')
    _draw(lr, curves.lr, 'lr', 'learning rate')
    scores = getattr(curves, curves.score)
    _draw(score, scores, curves.score, SCORES[curves.score])
    lr.ticklabel_format(axis='y', style='sci', scilimits=(-2, 3))
    last = max(step for points in vars(curves).values() for step, _ in points)
    for axes in (loss, lr, score):
        axes.set_xlim(0, max(last, 1) * 1.02)
    _mark_best(score, scores)
    out_png = Path(out_png)
    out_png.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out_png, format='png')
    return out_png


def _draw(axes, points: list[tuple[int, float]], name: str, title: str) -> None:
    axes.set_title(title, fontsize=11)
    axes.set_xlabel('iteration')
    axes.grid(alpha=0.25)
    axes.spines[['top', 'right']].set_visible(False)
    if not points:
        axes.text(0.5, 0.5, 'none recorded', transform=axes.transAxes, ha='center', color='0.5')
        return
    steps, values = zip(*points)
    # Few points would be invisible as a line alone.
    marker = 'o' if len(points) <= 40 else None
    axes.plot(steps, values, color=COLOURS[name], linewidth=1.6, marker=marker, markersize=3.5)
    if all(value >= 0 for value in values):
        axes.set_ylim(bottom=0)


def _mark_best(axes, points: list[tuple[int, float]]) -> None:
    points = [point for point in points if math.isfinite(point[1])]
    if not points:
        return
    step, value = max(points, key=lambda point: point[1])
    axes.axhline(value, color=COLOURS['mIoU'], linewidth=0.8, linestyle=':')
    axes.set_ylim(0, 1.25 * value if 0 < value < 80 else 105)
    axes.annotate(
        f'best {value:.2f} at {step}',
        (1, value),
        xycoords=('axes fraction', 'data'),
        xytext=(-4, 4),
        textcoords='offset points',
        ha='right',
        fontsize=9,
    )


def read_curves(log: str | os.PathLike) -> Curves:
    """Read the curves of a run, also of one that was stopped and resumed.

    A resumed run continues from a checkpoint, so from its first training step on it replaces what
    earlier runs of the same work folder logged. Runs without a training line (tests) count only
    where no other run is there.

    Args:
        log: as in :func:`plot_curves`.

    Raises:
        FileNotFoundError: there is no log.
        ValueError: the log holds no training or validation line, or cannot be read.
    """
    runs = [_read_records(path) for path in find_logs(log)]
    trained = [run for run in runs if any('loss' in record for record in run)]
    kept: list[dict] = []
    for run in trained or runs:
        first = min((record['step'] for record in run if 'loss' in record), default=0)
        kept = [record for record in kept if record['step'] < first] + run
    curves = Curves()
    for name, points in vars(curves).items():
        points.extend(
            sorted({record['step']: record[name] for record in kept if name in record}.items())
        )
    if not any(vars(curves).values()):
        raise ValueError(
            f'{log} holds no line with {", ".join(vars(curves))} yet; train a little longer'
        )
    return curves


def find_logs(log: str | os.PathLike) -> list[Path]:
    """Return the ``scalars.json`` files of a log, the oldest run first.

    Raises:
        FileNotFoundError: there is none.
    """
    log = Path(log)
    if log.is_file():
        return [log]
    patterns = (SCALARS, f'vis_data/{SCALARS}', f'*/vis_data/{SCALARS}')
    for pattern in patterns:
        # mmengine names a run's folder after the time of its start.
        found = sorted(log.glob(pattern))
        if found:
            return found
    raise FileNotFoundError(
        f'no {SCALARS} in {log}; expected the --work-dir of tools/train.py, written with '
        "dict(type='LocalVisBackend') among the config's vis_backends"
    )


def _read_records(path: Path) -> list[dict]:
    records = []
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines):
                break  # a run that was killed while it wrote its last line
            raise ValueError(f'{path}, line {number} is not JSON: {error.msg}') from error
        if isinstance(record, dict) and 'step' in record:
            records.append(record)
    return records
