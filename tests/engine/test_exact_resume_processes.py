"""Two processes that are killed and resumed end as those that were not."""

import pytest
import torch
from processes import run_in_two
from training_runs import assert_equal, configured, killed, outcome, run


def in_one_of_two(rank: int, data, folder) -> None:
    run(configured(data), folder / 'whole', launcher='pytorch')
    hooks = killed(7)
    assert run(configured(data, hooks=hooks), folder / 'cut', launcher='pytorch') is None
    run(configured(data, workers=1), folder / 'cut', resume=True, launcher='pytorch')


@pytest.mark.slow
def test_two_processes(tmp_path, training_pictures):
    run_in_two(in_one_of_two, training_pictures, tmp_path)
    whole = outcome(tmp_path / 'whole')
    assert_equal(outcome(tmp_path / 'cut'), whole)
    saved = torch.load(tmp_path / 'cut/iter_12.pth', weights_only=True)['run_state']
    assert (saved['world_size'], len(saved['generators'])) == (2, 2)
    assert saved['position']['sample'] == 48
