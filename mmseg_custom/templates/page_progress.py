"""How a training goes, for a page: status, curves, samples."""

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from mmseg_custom.inference.prediction import Prediction
from mmseg_custom.inference.prediction_videos import draw_side_by_side
from mmseg_custom.visualization.curves import SCORES, points, score_of
from mmseg_custom.web.results import data_url, shrunk

if TYPE_CHECKING:
    import pandas

    from mmseg_custom.templates.runs import RunStatus

MOST_POINTS = 400
SAMPLE_SIDE, SAMPLE_OPACITY = 320, 0.5
STEP, LOSS, SCORE = 'iteration', 'loss', 'score'


def status_line(run_id: str, status: 'RunStatus') -> str:
    """The status of a run with a bar, as HTML."""
    percent = status.percent
    words = [f'{percent:.0f} %'] if percent is not None else []
    if status.seconds_left is not None:
        words.append(f'{duration(status.seconds_left)} left')
    bar = '' if percent is None else f'<progress max="100" value="{percent:.1f}"></progress>'
    reason = f'<p>{escape(status.reason)}</p>' if status.reason else ''
    return (
        f'<div class="status" data-status="{escape(status.status)}"><strong>'
        f'{escape(status.status)}</strong> <span>{escape(run_id)}</span> '
        f'<span>{", ".join(words)}</span>{bar}{reason}</div>'
    )


def duration(seconds: float) -> str:
    """Seconds in words: ``45 s``, ``3 min``, ``2 h 5 min``."""
    minutes = round(seconds / 60)
    if minutes < 2:
        return f'{seconds:.0f} s'
    return f'{minutes} min' if minutes < 60 else f'{minutes // 60} h {minutes % 60} min'


def loss_curve(history: Sequence[dict]) -> 'pandas.DataFrame':
    """Columns :data:`STEP` and :data:`LOSS`, thinned to what a plot can show."""
    return _table(points(history, 'train', 'loss'), LOSS)


def score_curve(history: Sequence[dict]) -> tuple['pandas.DataFrame', str]:
    """Columns :data:`STEP` and :data:`SCORE`, and what the score is."""
    name = score_of(history)
    return _table(points(history, 'val', name), SCORE), SCORES[name]


def _table(curve: Sequence[tuple[int, float]], name: str) -> 'pandas.DataFrame':
    import pandas

    finite = [point for point in curve if math.isfinite(point[1])]
    step = math.ceil(len(finite) / MOST_POINTS) or 1
    # Counted from the end, so that the newest stays.
    return pandas.DataFrame(finite[::-1][::step][::-1], columns=[STEP, name])


def samples_shown(predictions: Sequence[Prediction], step: int) -> str:
    """Pictures beside themselves under their predicted classes, as HTML."""
    figures = []
    for prediction in predictions:
        picture = draw_side_by_side(prediction, SAMPLE_OPACITY)
        source = data_url(shrunk(picture, 2 * SAMPLE_SIDE), 'JPEG')
        figures.append(f'<img src="{source}" alt="picture beside its predicted classes">')
    return (
        f'<p>Pictures of the validation beside their prediction, iteration {step}</p>'
        f'<div class="samples">{"".join(figures)}</div>'
    )
