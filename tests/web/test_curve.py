"""Curves as pages show them."""

import re
from itertools import pairwise

import pytest

from mmseg_custom.web.curve import BOTTOM, HEIGHT, MOST_POINTS, TOP, draw_curve, thinned, ticks


@pytest.mark.parametrize(
    ('low', 'high', 'expected'),
    [
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (0.95, 1.4, [0.9, 1.0, 1.1, 1.2, 1.3, 1.4]),
        (10, 13.1, [10, 11, 12, 13, 14]),
        (0, 96, [0, 20, 40, 60, 80, 100]),
        (-3, 2, [-3, -2, -1, 0, 1, 2]),
    ],
)
def test_ticks_are_round_and_span_the_values(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


@pytest.mark.parametrize('value', [0, 5, -0.3, 1e-9, 4e7])
def test_ticks_of_one_value(value):
    found = ticks(value, value)
    assert len(found) > 1 and found[0] <= value <= found[-1]


def test_points_are_where_their_values_are():
    drawn = draw_curve([(10, 0.0), (20, 50.0), (30, float('nan')), (40, 100.0)], 'mIoU <%>')
    assert 'mIoU &lt;%&gt;: 100<' in drawn
    places = [tuple(map(float, place)) for place in re.findall(r'cx="(\S+)" cy="(\S+)"', drawn)]
    assert [y for _, y in places] == [HEIGHT - BOTTOM, (HEIGHT - BOTTOM + TOP) / 2, TOP]
    first, second, third = (x for x, _ in places)
    assert third - second == pytest.approx(2 * (second - first), abs=0.2)
    assert re.findall('<title>(.*?)</title>', drawn) == ['10: 0', '20: 50', '40: 100']


def test_no_point_yet():
    assert 'none yet' in draw_curve([], 'loss') and 'none yet' in draw_curve(
        [(1, float('nan'))], ''
    )


def test_long_curves_are_thinned_and_keep_their_end():
    left = thinned([(step, step) for step in range(1, 10 * MOST_POINTS)])
    assert len(left) <= MOST_POINTS and left[-1][0] == 10 * MOST_POINTS - 1
    assert {b[0] - a[0] for a, b in pairwise(left)} == {10}
