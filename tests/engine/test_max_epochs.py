"""``--cfg-options max_epochs=...``: a run that counts epochs."""

import json

import pytest
import torch
from config_leaves import CONFIG_DIR, reduced

from mmseg_custom.engine.config import load_config, shorten_warmup
from mmseg_custom.engine.launch import train

B0 = 'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py'
QUICKSTART = CONFIG_DIR / 'quickstart/segformer_mit-b0_quickstart.py'


def test_the_whole_config_follows():
    options = ['train_cfg.val_interval=5', 'max_epochs=50', 'train_dataloader.batch_size=3']
    config = load_config(B0, options)
    assert config.train_cfg == {
        'type': 'EpochBasedTrainLoop',
        'max_epochs': 50,
        'val_interval': 5,
    }
    assert config.max_epochs == 50 and 'max_iters' not in config
    warmup, decay = config.param_scheduler
    assert (warmup.begin, warmup.end) == (0, 1500), 'warm-up stays in iterations'
    assert decay.begin == 1500 and 'end' not in decay
    assert config.train_dataloader.sampler == {'type': 'DefaultSampler', 'shuffle': True}
    assert config.default_hooks.checkpoint.by_epoch and config.log_processor.by_epoch
    assert config.default_hooks.checkpoint.interval == 1


def test_two_epochs_train_and_validate_twice(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    config = reduced(QUICKSTART, tmp_path / 'data', 'max_epochs=2')
    config.default_hooks.logger.interval = 1
    config.train_dataloader.dataset.indices = 22  # 11 batches of two
    runner = train(config, str(tmp_path / 'run'), from_scratch=True)

    assert (runner.epoch, runner.iter) == (2, 22)
    records = next((tmp_path / 'run').glob('*/vis_data/scalars.json')).read_text().splitlines()
    records = [json.loads(record) for record in records]
    steps = [record['step'] for record in records if 'mIoU' in record]
    assert steps == [11, 22], 'validated after each epoch'
    assert sorted(p.name for p in (tmp_path / 'run').glob('*.pth')) == [
        'epoch_1.pth',
        'epoch_2.pth',
    ]
    spans = [(s.begin, s.end, s.by_epoch) for s in runner.param_schedulers]
    assert spans == [(0, 2, False), (2, 22, False)], 'a tenth for warm-up, decay until the end'
    rates = [record['lr'] for record in records if 'lr' in record]
    assert len(rates) == 22
    assert rates[2] == max(rates) and rates[-1] == min(rates[2:]) < 0.1 * rates[2]
    log = next((tmp_path / 'run').glob('*/*.log')).read_text()
    assert 'epoch 2/2  22/22' in log

    config = reduced(QUICKSTART, tmp_path / 'data', 'max_epochs=3')
    config.train_dataloader.dataset.indices = 22
    runner = train(config, str(tmp_path / 'run'), from_scratch=True, resume=True)
    assert (runner.epoch, runner.iter) == (3, 33)


def test_both_lengths_are_an_error():
    with pytest.raises(ValueError, match='max_iters and max_epochs both give the length'):
        load_config(B0, ['max_iters=10', 'max_epochs=2'])


@pytest.mark.parametrize('value', ['0', '1.5', 'all', 'True'])
def test_what_is_no_number_of_epochs_is_an_error(value):
    with pytest.raises(ValueError, match='max_epochs takes a whole number from 1 on'):
        load_config(B0, [f'max_epochs={value}'])


def test_a_saved_config_takes_another_number_of_epochs(tmp_path):
    """What a run leaves in its work folder can be given another length."""
    load_config(B0, ['max_epochs=50']).dump(tmp_path / 'saved.py')
    config = load_config(str(tmp_path / 'saved.py'), ['max_epochs=60'])
    assert config.train_cfg.max_epochs == config.max_epochs == 60
    assert config.param_scheduler[0].end == 1500


@pytest.mark.parametrize(
    ('max_iters', 'spans'),
    [
        (20000, [(0, 1500), (1500, None)]),
        (100, [(0, 10), (10, None)]),
        (20, [(0, 2), (2, None)]),
        (19, [(0, None)]),
    ],
)
def test_warmup_takes_at_most_a_tenth(max_iters, spans):
    """A warm-up of one iteration would leave the learning rate at its start for good."""
    schedulers = [dict(begin=0, end=1500), dict(begin=1500)]
    kept = shorten_warmup(schedulers, max_iters)
    assert [(s['begin'], s.get('end')) for s in kept] == spans
