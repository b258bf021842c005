"""An evaluation as people read it: a table, a JSON file and a picture of the confusion matrix."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor


@dataclass
class Evaluation:
    """Result of one evaluation.

    Attributes:
        classes: K names.
        matrix: (K, K) int64 on the CPU, rows are labels, columns predictions.
        scores: by name (K,) float64, 0..1, NaN where a class gives none.
        summary: means over the classes that give a score, percent.
        num_pictures: pictures counted.
    """

    classes: list[str]
    matrix: Tensor
    scores: dict[str, Tensor]
    summary: dict[str, float]
    num_pictures: int

    @property
    def support(self) -> list[int]:
        """Labelled pixels of each class."""
        return self.matrix.sum(1).tolist()

    @property
    def absent(self) -> list[str]:
        """Classes that occur neither in the labels nor in the predictions."""
        seen = (self.matrix.sum(0) + self.matrix.sum(1)).tolist()
        return [name for name, pixels in zip(self.classes, seen) if not pixels]


def format_table(evaluation: Evaluation) -> str:
    """One line per class with its scores in percent and its labelled pixels, then the means."""
    from prettytable import PrettyTable

    table = PrettyTable(['Class', *evaluation.scores, 'Pixels', 'Share'])
    table.align = 'r'
    table.align['Class'] = 'l'
    total = max(sum(evaluation.support), 1)
    columns = [scores.tolist() for scores in evaluation.scores.values()]
    rows = list(zip(evaluation.classes, evaluation.support, *columns))
    for index, (name, pixels, *scores) in enumerate(rows):
        cells = [_percent(100 * score) for score in scores]
        share = _percent(100 * pixels / total)
        table.add_row([name, *cells, f'{pixels:,}', share], divider=index == len(rows) - 1)
    means = [_percent(evaluation.summary[f'm{name}']) for name in evaluation.scores]
    table.add_row(['mean', *means, f'{sum(evaluation.support):,}', ''])
    lines = [table.get_string()]
    if evaluation.absent:
        lines.append(
            f'{len(evaluation.absent)} of {len(evaluation.classes)} classes occur neither in the '
            f'labels nor in the predictions and {_in_means(evaluation)}: '
            + ', '.join(evaluation.absent)
        )
    return '\n'.join(lines)


def _in_means(evaluation: Evaluation) -> str:
    index = evaluation.classes.index(evaluation.absent[0])
    counted = not any(scores[index].isnan() for scores in evaluation.scores.values())
    return 'count in the means (nan_to_num)' if counted else 'are left out of the means'


def _percent(value: float) -> str:
    return '-' if math.isnan(value) else f'{value:.2f}'


def write_json(evaluation: Evaluation, path: Path) -> Path:
    """Write everything of an evaluation; scores in percent, ``null`` where there is none."""
    per_class = {
        name: {
            **{key: _number(100 * scores[i].item()) for key, scores in evaluation.scores.items()},
            'pixels': evaluation.support[i],
        }
        for i, name in enumerate(evaluation.classes)
    }
    content = {
        'summary': {name: _number(value) for name, value in evaluation.summary.items()},
        'num_pictures': evaluation.num_pictures,
        'absent_classes': evaluation.absent,
        'per_class': per_class,
        'confusion_matrix': evaluation.matrix.tolist(),
    }
    # A line per entry: an indented matrix would take a line per number.
    lines = [f'"{key}": {json.dumps(value, ensure_ascii=False)}' for key, value in content.items()]
    path.write_text('{\n' + ',\n'.join(lines) + '\n}\n', encoding='utf-8')
    return path


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def draw_confusion_matrix(evaluation: Evaluation, path: Path) -> Path:
    """Draw, for each labelled class, which share of its pixels was predicted as what (PNG)."""
    # Used without pyplot, so that no global state or display is involved.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    counts = evaluation.matrix.double()
    shares = (100 * counts / counts.sum(1, keepdim=True)).numpy()
    number = len(evaluation.classes)
    side = min(3 + 0.42 * number, 34)
    figure = Figure(figsize=(side + 1, side), dpi=110, layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_facecolor('0.9')
    image = axes.imshow(shares, cmap='viridis', vmin=0, vmax=100)
    size = 8 if number <= 60 else 4.5
    axes.set_xticks(range(number), evaluation.classes, rotation=90, fontsize=size)
    axes.set_yticks(range(number), evaluation.classes, fontsize=size)
    axes.set_xlabel('prediction')
    axes.set_ylabel('label')
    axes.set_title(f'share of each label, percent (mIoU {_percent(_miou(evaluation))})')
    figure.colorbar(image, ax=axes, shrink=0.7)
    if number <= 30:
        for row, column in np.argwhere(shares >= 0.5):
            share = shares[row, column]
            style = dict(ha='center', va='center', color='white' if share < 60 else 'black')
            axes.text(column, row, f'{share:.0f}', fontsize=7, **style)
    figure.savefig(path, format='png')
    return path


def _miou(evaluation: Evaluation) -> float:
    return evaluation.summary.get('mIoU', math.nan)
