"""Trainings that several tests compare with."""

import pytest
from training_runs import configured, outcome, pictures, run


@pytest.fixture(scope='session')
def training_pictures(tmp_path_factory):
    """Root of a folder of pictures."""
    return pictures(tmp_path_factory.mktemp('pictures') / 'data')


@pytest.fixture(scope='session')
def uninterrupted(tmp_path_factory, training_pictures):
    """Outcome of a run that nothing happened to."""
    work_dir = tmp_path_factory.mktemp('uninterrupted')
    run(configured(training_pictures), work_dir)
    return outcome(work_dir)


@pytest.fixture(scope='session')
def uninterrupted_epochs(tmp_path_factory, training_pictures):
    """Outcome of a run of two epochs, validated and saved after each."""
    work_dir = tmp_path_factory.mktemp('uninterrupted_epochs')
    run(configured(training_pictures, 'max_epochs=2', 'train_cfg.val_interval=1'), work_dir)
    return outcome(work_dir, 'epoch_2.pth')
