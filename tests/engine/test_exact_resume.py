"""A run that is killed and resumed ends as the uninterrupted one, bit by bit."""

import pytest
import torch
from training_runs import ITERATIONS, assert_equal, configured, killed, outcome, run


@pytest.mark.parametrize('workers', [2, pytest.param(0, marks=pytest.mark.slow)])
def test_killed_and_resumed(tmp_path, training_pictures, uninterrupted, workers):
    """At iteration 7: three iterations are lost, among them a validation and the best score."""
    assert run(configured(training_pictures, hooks=killed(7)), tmp_path) is None
    torch.manual_seed(99)
    run(configured(training_pictures, workers=workers), tmp_path, resume=True)
    assert_equal(outcome(tmp_path), uninterrupted)
    log = uninterrupted[1]
    assert [r['step'] for r in log if r['mode'] == 'train'] == [*range(1, ITERATIONS + 1)]
    assert [r['step'] for r in log if r['mode'] == 'val'] == [6, ITERATIONS]
    assert len({r['loss'] for r in log if r['mode'] == 'train'}) == ITERATIONS


@pytest.mark.slow
@pytest.mark.parametrize('after', [ITERATIONS, 6])
def test_killed_in_a_validation(tmp_path, training_pictures, uninterrupted, after):
    """It is made up for: also the last one, whose checkpoint is saved already."""
    hooks = killed(after, validation=True)
    assert run(configured(training_pictures, hooks=hooks), tmp_path) is None
    run(configured(training_pictures), tmp_path, resume=True)
    assert_equal(outcome(tmp_path), uninterrupted)
    assert len(list(tmp_path.glob('best_mIoU_*.pth'))) == 1


@pytest.mark.slow
def test_gathered_gradients(tmp_path, training_pictures):
    """The checkpoint at iteration 4 lies between two steps of an optimizer that waits for three."""
    config = [training_pictures, '+optim_wrapper.accumulative_counts=3']
    run(configured(*config), tmp_path / 'whole')
    assert run(configured(*config, hooks=killed(5)), tmp_path / 'cut') is None
    saved = torch.load(tmp_path / 'cut/iter_4.pth', weights_only=True)
    assert saved['run_state']['gradients'].keys() <= saved['state_dict'].keys()
    assert len(saved['run_state']['gradients']) > 10
    run(configured(*config), tmp_path / 'cut', resume=True)
    assert_equal(outcome(tmp_path / 'cut'), outcome(tmp_path / 'whole'))


def test_in_the_middle_of_an_epoch(tmp_path, training_pictures):
    """Six batches of two are an epoch of eleven pictures; iteration 9 lies in the second."""
    config = [training_pictures, 'max_epochs=2', 'train_cfg.val_interval=1']
    config += ['default_hooks.checkpoint.by_epoch=False', 'default_hooks.checkpoint.interval=3']
    whole = run(configured(*config), tmp_path / 'whole')
    assert (whole.epoch, whole.iter) == (2, ITERATIONS)
    assert run(configured(*config, hooks=killed(10)), tmp_path / 'cut') is None
    resumed = run(configured(*config, workers=1), tmp_path / 'cut', resume=True)
    assert (resumed.epoch, resumed.iter) == (2, ITERATIONS)
    assert_equal(outcome(tmp_path / 'cut'), outcome(tmp_path / 'whole'))


@pytest.mark.slow
def test_epochs_with_a_checkpoint_after_each(tmp_path, training_pictures, uninterrupted_epochs):
    """As ``max_epochs`` sets it; killed in the validation of the first epoch."""
    config = [training_pictures, 'max_epochs=2', 'train_cfg.val_interval=1']
    hooks = killed(6, validation=True)
    assert run(configured(*config, hooks=hooks), tmp_path) is None
    run(configured(*config), tmp_path, resume=True)
    assert_equal(outcome(tmp_path, 'epoch_2.pth'), uninterrupted_epochs)
