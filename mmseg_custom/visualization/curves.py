"""Training curves as a PNG, from the records of runs' logs.

A record is a dict of ``mode`` (``train`` or ``val``), ``step`` (iterations done) and values:
``loss``, its parts and ``lr`` of a training; ``fgIoU``, ``mIoU`` or ``top1``, ``val/loss`` and
``class_IoU`` (a dict of the classes' scores) of a validation.
"""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mmseg_custom.writing import whole_file

CLASS_IOU = 'class_IoU'
DECODE_LOSSES = ('decode.loss_ce', 'decode.loss_bce')
SCORES = {
    'fgIoU': 'validation IoU of the foreground (%)',
    'mIoU': 'validation mIoU (%)',
    'top1': 'validation top-1 accuracy (%)',
}
COLOURS = ('#c0392b', '#2471a3', '#1e8449', '#7d3c98', '#b9770e', '#117a65', '#34495e', '#d35400')
LOSS, LR, SCORE = COLOURS[:3]
# More lines than that are not told apart, nor their names read.
MOST_CLASSES = 20

Points = list[tuple[int, float]]


def points(records: Sequence[dict], mode: str, name: str) -> Points:
    """Steps and values of what is logged under a name, in the order of steps."""
    found = {r['step']: float(r[name]) for r in records if r['mode'] == mode and name in r}
    return sorted(found.items())


def score_of(records: Sequence[dict]) -> str:
    """What a run is validated with: ``fgIoU``, ``mIoU`` or ``top1``."""
    return next((name for name in SCORES if any(name in record for record in records)), 'mIoU')


def plot_curves(records: Sequence[dict], out_png: str | os.PathLike) -> Path:
    """Draw losses, learning rate, the score and, where it is logged, the IoU of each class.

    Args:
        records: the log of one run.
        out_png: where to write; missing folders are made.

    Returns:
        The path written.

    Raises:
        ValueError: the log holds neither a loss nor a score.
    """
    name = score_of(records)
    classes = _class_curves(records)

    def draw(loss, lr, score, *single) -> None:
        _draw_losses(loss, records)
        _draw(lr, points(records, 'train', 'lr'), LR)
        scores = points(records, 'val', name)
        _draw(score, scores, SCORE)
        _mark_best(score, scores)
        for axes in single:
            for number, (label, curve) in enumerate(classes.items()):
                _draw(axes, curve, COLOURS[number % len(COLOURS)], label, number // len(COLOURS))
            axes.set_ylim(0, 105)
            axes.legend(fontsize=7, ncols=2)

    titles = ['loss', 'learning rate', SCORES[name], *(['IoU by class (%)'] if classes else [])]
    return _write(records, titles, draw, out_png)


def compare_curves(runs: Mapping[str, Sequence[dict]], out_png: str | os.PathLike) -> Path:
    """Draw the losses, the learning rate and the score of several runs, a colour for each run.

    Args:
        runs: the log of each run by its name.
        out_png: where to write; missing folders are made.

    Returns:
        The path written.

    Raises:
        ValueError: no log holds a loss or a score.
    """
    every = [record for records in runs.values() for record in records]
    name = score_of(every)
    panels = (('train', 'loss'), ('val', 'val/loss'), ('train', 'lr'), ('val', name))

    def draw(*all_axes) -> None:
        for axes, (mode, key) in zip(all_axes, panels):
            for number, (run, records) in enumerate(runs.items()):
                colour = COLOURS[number % len(COLOURS)]
                _draw(axes, points(records, mode, key), colour, run, number // len(COLOURS))
        named = next((axes for axes in all_axes if axes.lines), all_axes[0])
        named.legend(fontsize=8)

    titles = ('training loss', 'validation loss', 'learning rate', SCORES[name])
    return _write(every, titles, draw, out_png)


def _write(records: Sequence[dict], titles: Sequence[str], draw: Callable, out_png) -> Path:
    """Make the panels, let ``draw`` fill them, and write the picture beside the old one first."""
    if not any('loss' in record or any(name in record for name in SCORES) for record in records):
        raise ValueError('the log holds no loss and no score yet; train a little longer')
    # The figure is used without pyplot, so that no global state or display is involved.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.7 * len(titles), 3.8), dpi=110, layout='constrained')
    panels = figure.subplots(1, len(titles))
    draw(*panels)
    last = max(record['step'] for record in records)
    for axes, title in zip(panels, titles):
        axes.set_title(title, fontsize=11)
        axes.set_xlabel('iteration')
        axes.grid(alpha=0.25)
        axes.spines[['top', 'right']].set_visible(False)
        axes.set_xlim(0, max(last, 1) * 1.02)
        if title == 'learning rate':
            axes.ticklabel_format(axis='y', style='sci', scilimits=(-2, 3))
        lowest = min((min(line.get_ydata()) for line in axes.lines), default=-1)
        if axes.get_autoscaley_on() and lowest >= 0:
            axes.set_ylim(bottom=0)
        if not axes.lines:
            axes.text(0.5, 0.5, 'none recorded', transform=axes.transAxes, ha='center', color='0.5')
    with whole_file(out_png) as partial:
        figure.savefig(partial, format='png')
    return Path(out_png)


def _draw(axes, curve: Points, colour: str, label: str = '', style: int = 0) -> None:
    """Add a line; ``style`` tells lines of one colour apart."""
    if not curve:
        return
    steps, values = zip(*curve)
    # Few points would be invisible as a line alone.
    marker = 'o' if len(curve) <= 40 else None
    line = ('-', '--', ':', '-.')[style % 4]
    axes.plot(
        steps, values, line, color=colour, linewidth=1.6, marker=marker, markersize=3.5, label=label
    )


def _draw_losses(axes, records: Sequence[dict]) -> None:
    """Draw the training's loss; beside a validation's, of the decode head alone, its own part."""
    validation = points(records, 'val', 'val/loss')
    found = [points(records, 'train', name) for name in DECODE_LOSSES] if validation else []
    decode = next(filter(None, found), [])
    _draw(axes, decode or points(records, 'train', 'loss'), LOSS, 'training')
    if validation:
        _draw(axes, validation, LR, 'validation')
        axes.legend(fontsize=8, title='decode head' if decode else None)


def _class_curves(records: Sequence[dict]) -> dict[str, Points]:
    """The IoU of each class; of many classes those that are worst in the end."""
    logged = [(r['step'], r[CLASS_IOU]) for r in records if r.get(CLASS_IOU)]
    if not logged:
        return {}
    last = {name: value for name, value in logged[-1][1].items() if value is not None}
    names = sorted(last, key=last.get)[:MOST_CLASSES] if len(last) > MOST_CLASSES else [*last]
    return {
        name: [(step, scores[name]) for step, scores in logged if scores.get(name) is not None]
        for name in names
    }


def _mark_best(axes, curve: Points) -> None:
    curve = [point for point in curve if math.isfinite(point[1])]
    if not curve:
        return
    step, value = max(curve, key=lambda point: point[1])
    axes.axhline(value, color=SCORE, linewidth=0.8, linestyle=':')
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
