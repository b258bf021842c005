"""``class_weight='auto'`` and data sets that draw their samples, in small trainings."""

import pytest
from training_runs import assert_equal, configured, killed, outcome, run

from mmseg_custom.engine import launch
from mmseg_custom.engine.automatic_weights import automatic_losses
from mmseg_custom.engine.config import load_config
from mmseg_custom.registry import DATASETS

OPTIONS = ('max_iters=2', 'default_hooks.checkpoint.interval=2', 'train_cfg.val_interval=2')


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('MMSEG_CUSTOM_CACHE', str(tmp_path / 'cache'))


def weighted(root, *options, method='auto'):
    config = configured(root, *OPTIONS, *options)
    config.model.decode_head.loss_decode.class_weight = method
    return config


def test_weights_are_counted_saved_and_kept(tmp_path, training_pictures, monkeypatch):
    """In the loss, the saved config and the log; a resumed run keeps them, a test needs none."""
    config = weighted(training_pictures)
    runner = run(config, tmp_path / 'run')
    pixels = DATASETS.build(dict(type='ClassPixels', dataset=config.train_dataloader.dataset))
    wanted = pixels.weights('median_frequency')
    assert runner.model.decode_head.loss_decode.class_weight == wanted
    assert len(wanted) == 6 and wanted[0] == min(wanted) and len({*wanted}) > 3
    (saved,) = (tmp_path / 'run').glob('*.py')
    assert load_config(str(saved)).model.decode_head.loss_decode.class_weight == wanted
    (log,) = (tmp_path / 'run').glob('*/*.log')
    assert 'class weights from the training labels' in log.read_text()
    monkeypatch.setattr('mmseg_custom.datasets.wrappers.class_pixels.ClassPixels.weights', None)
    resumed = run(weighted(training_pictures, 'max_iters=3'), tmp_path / 'run', resume=True)
    assert resumed.model.decode_head.loss_decode.class_weight == wanted
    checkpoint = str(tmp_path / 'run/iter_2.pth')
    results = launch.test(weighted(training_pictures), checkpoint, str(tmp_path / 'test'))
    assert results['mIoU'] >= 0


def test_what_names_a_method():
    """Text with an ending is a file; a list of losses and auxiliary heads are looked through."""
    loss = dict(type='CrossEntropyLoss', class_weight='log')
    file = dict(type='CrossEntropyLoss', class_weight='weights.json')
    auxiliary = [dict(loss_decode=loss)]
    model = dict(decode_head=dict(loss_decode=[file, loss]), auxiliary_head=auxiliary)
    names = ['model.decode_head.loss_decode.1', 'model.auxiliary_head.0.loss_decode']
    assert [name for name, _ in automatic_losses(model)] == names


def test_an_unknown_method(tmp_path, training_pictures):
    with pytest.raises(ValueError, match="weights by 'atuo' are unknown; did you mean auto"):
        run(weighted(training_pictures, method='atuo'), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['rare', 'mixed'])
def test_killed_and_resumed(tmp_path, training_pictures, kind):
    """A run on drawn samples ends as the uninterrupted one, bit by bit."""

    def config(**options):
        built = configured(training_pictures, **options)
        plain = built.train_dataloader.dataset
        if kind == 'rare':
            drawn = dict(type='RareClassDataset', dataset=plain, min_pixels=100, temperature=0.1)
        else:
            drawn = dict(type='ConcatDataset', datasets=[plain, plain], repeats=[0.7, 1.2])
        built.train_dataloader.dataset = drawn
        return built

    run(config(), tmp_path / 'whole')
    assert run(config(hooks=killed(7)), tmp_path / 'cut') is None
    run(config(workers=2), tmp_path / 'cut', resume=True)
    assert_equal(outcome(tmp_path / 'cut'), outcome(tmp_path / 'whole'))
