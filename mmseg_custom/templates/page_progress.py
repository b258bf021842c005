"""How a training goes, for a page: status, curves, samples."""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from mmseg_custom.inference.prediction import Prediction
from mmseg_custom.inference.prediction_videos import draw_side_by_side
from mmseg_custom.visualization.curves import SCORES, points, score_of
from mmseg_custom.web.curve import draw_curve
from mmseg_custom.web.results import data_url, shrunk

if TYPE_CHECKING:
    from mmseg_custom.templates.runs import RunStatus

SAMPLE_SIDE, SAMPLE_OPACITY = 320, 0.5


def status_line(run_id: str, status: 'RunStatus') -> str:
    """The status of a run with a bar, as HTML."""
    words = f'{status.percent:.0f} %'
    if status.seconds_left is not None:
        words += f', {duration(status.seconds_left)} left'
    bar = f'<div class="bar"><i style="width:{status.percent:.1f}%"></i></div>'
    reason = f'<p>{escape(status.reason)}</p>' if status.reason else ''
    return (
        f'<div class="status" data-status="{escape(status.status)}"><strong>'
        f'{escape(status.status)}</strong> <span>{escape(run_id)}</span> '
        f'<span>{words}</span>{bar}{reason}</div>'
    )


def duration(seconds: float) -> str:
    """Seconds in words: ``45 s``, ``3 min``, ``2 h 5 min``."""
    minutes = round(seconds / 60)
    if minutes < 2:
        return f'{seconds:.0f} s'
    return f'{minutes} min' if minutes < 60 else f'{minutes // 60} h {minutes % 60} min'


def curves(history: Sequence[dict]) -> str:
    """The loss of a training and its score, as HTML."""
    name = score_of(history)
    loss = draw_curve(points(history, 'train', 'loss'), 'training loss')
    score = draw_curve(points(history, 'val', name), SCORES[name])
    return f'<div class="curves">{loss}{score}</div>'


def samples_shown(predictions: Sequence[Prediction], step: int) -> str:
    """Pictures beside themselves under their predicted classes, as HTML."""
    figures = []
    for prediction in predictions:
        picture = draw_side_by_side(prediction, SAMPLE_OPACITY)
        small = shrunk(picture, 2 * SAMPLE_SIDE)
        source = data_url(small, 'JPEG', quality=90, subsampling=0)
        figures.append(f'<img src="{source}" alt="picture beside its predicted classes">')
    return (
        '<p>Pictures of the validation beside their prediction by the best checkpoint '
        f'up to iteration {step}</p>'
        f'<div class="samples">{"".join(figures)}</div>'
    )
