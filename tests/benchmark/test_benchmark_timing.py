"""Interleaving, ratios and ceilings, with a clock that the test moves."""

import pytest
import torch

from mmseg_custom.benchmark.timing import Timing, interleave, measure_ceilings


class Clock:
    """A clock that stands still until a step moves it."""

    now = 0.0

    def __call__(self):
        return self.now

    def step(self, log, name, seconds):
        """A step that takes the given seconds, one number after the other, then the last."""
        left = list(seconds)

        def run():
            log.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return run


def test_rounds_alternate_and_warm_up_does_not_count():
    clock, log = Clock(), []
    steps = {
        'ours': clock.step(log, 'ours', [9, 9, 1, 2, 3]),
        'mmseg': clock.step(log, 'mmseg', [9, 9, 4, 4, 4]),
    }
    timing = interleave(steps, 3, clock=clock)
    assert log == ['ours', 'mmseg'] * 5
    assert timing.seconds == {'ours': [1, 2, 3], 'mmseg': [4, 4, 4]}


def test_ratio_is_of_medians_with_the_rounds_extremes():
    timing = Timing({'ours': [1.0, 2.0, 4.0], 'mmseg': [4.0, 4.0, 6.0]})
    ratio = timing.ratio('mmseg')
    assert (ratio.median, ratio.minimum, ratio.maximum) == (2.0, 1.5, 4.0)


def test_short_steps_repeat_within_a_measurement():
    clock, log = Clock(), []
    steps = {
        'quick': clock.step(log, 'quick', [0.25]),
        'slow': clock.step(log, 'slow', [3.0]),
    }
    timing = interleave(steps, 2, num_warmups=1, min_seconds=1.0, clock=clock)
    assert log == ['quick', 'slow', *(['quick'] * 4 + ['slow']) * 2]
    assert timing.seconds == {'quick': [0.25, 0.25], 'slow': [3.0, 3.0]}


def test_waiting_for_the_device_is_inside_the_measurement():
    clock, pending = Clock(), []

    def synchronize():
        clock.now += sum(pending)
        pending.clear()

    timing = interleave(
        {'ours': lambda: pending.append(2.0), 'mmseg': lambda: pending.append(5.0)},
        2,
        clock=clock,
        synchronize=synchronize,
    )
    assert timing.seconds == {'ours': [2.0, 2.0], 'mmseg': [5.0, 5.0]}


def test_no_rounds():
    with pytest.raises(ValueError, match='at least 1 round, got 0; set --rounds'):
        interleave({'ours': lambda: None}, 0)


def test_ceilings_count_the_product_and_both_directions_of_the_copy():
    times = iter(range(1000))
    ceilings = measure_ceilings(
        torch.device('cpu'), torch.float32, side=8, num_bytes=1000, clock=lambda: next(times)
    )
    assert ceilings.matmul_flops == 2 * 8**3
    assert ceilings.copy_bytes == 2000
