"""A curve as a picture of its own that grows with the page: SVG, without any library."""

import math
from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT = 440, 230
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 30, 34
NUM_TICKS = 5
MOST_POINTS = 300


def draw_curve(points: Sequence[tuple[float, float]], title: str) -> str:
    """Draw values over iterations.

    Args:
        points: iteration and value, by rising iterations; what is not finite is left out.
        title: above the curve; as it is, also where there is no point yet.

    Returns:
        A ``figure``; each point says its numbers where the mouse rests on it.
    """
    points = thinned([point for point in points if math.isfinite(point[1])])
    drawn = _axes_and_line(points) if points else [_text(WIDTH / 2, HEIGHT / 2, 'none yet')]
    last = f': {points[-1][1]:.4g}' if points else ''
    return (
        f'<figure class="curve"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">{_text(WIDTH / 2, 16, title + last, "title")}'
        f'{"".join(drawn)}</svg></figure>'
    )


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Every n-th point, so that no more than :data:`MOST_POINTS` are left, with the newest."""
    step = max(1, math.ceil(len(points) / MOST_POINTS))
    return [*points[::-1][::step]][::-1]


def ticks(low: float, high: float) -> list[float]:
    """Round numbers that span a range, about :data:`NUM_TICKS` of them."""
    rough = (high - low or abs(high) or 1) / NUM_TICKS
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def _axes_and_line(points: Sequence[tuple[float, float]]) -> list[str]:
    values = [value for _, value in points]
    y_ticks, x_ticks = ticks(min(values), max(values)), ticks(0, points[-1][0])

    def x_of(step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * step / x_ticks[-1]

    def y_of(value: float) -> float:
        share = (value - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    lines = [f'<path class="grid" d="M{LEFT} {y_of(t):.1f}H{WIDTH - RIGHT}"/>' for t in y_ticks]
    labels = [_text(LEFT - 6, y_of(tick) + 4, f'{tick:.4g}', 'y') for tick in y_ticks]
    labels += [_text(x_of(tick), HEIGHT - BOTTOM + 15, f'{tick:g}') for tick in x_ticks]
    labels.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 3, 'iteration'))
    places = [(f'{x_of(step):.1f}', f'{y_of(value):.1f}') for step, value in points]
    line = '<polyline points="{}"/>'.format(' '.join(','.join(place) for place in places))
    dots = [
        f'<circle cx="{x}" cy="{y}" r="3"><title>{step:g}: {value:.6g}</title></circle>'
        for (x, y), (step, value) in zip(places, points)
    ]
    return [*lines, *labels, line, *dots]


def _text(x: float, y: float, words: str, kind: str = '') -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'
