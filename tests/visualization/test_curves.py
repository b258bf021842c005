import numpy as np
import pytest
from PIL import Image

from mmseg_custom.visualization import curves
from mmseg_custom.visualization.curves import (
    CLASS_IOU,
    MOST_CLASSES,
    _class_curves,
    plot_curves,
    points,
)

RED, BLUE, GREEN = (0xC0, 0x39, 0x2B), (0x24, 0x71, 0xA3), (0x1E, 0x84, 0x49)


def train(*steps, loss=1.0):
    return [{'mode': 'train', 'lr': 0.1, 'loss': loss, 'step': step} for step in steps]


def val(step, **values):
    return {'mode': 'val', 'step': step, **values}


def test_points_are_in_order_and_once_each():
    records = [*train(20, loss='inf'), *train(10), val(20, mIoU=5.0), *train(20, loss=3.0)]
    assert points(records, 'train', 'loss') == [(10, 1.0), (20, 3.0)]
    assert points(records, 'val', 'mIoU') == [(20, 5.0)]
    assert points(records, 'val', 'loss') == []


def panels_with(path, colour) -> set[int]:
    """Which of the panels of 517 pixels show a colour."""
    picture = np.asarray(Image.open(path).convert('RGB')).astype(int)
    assert picture.shape[0] == 418 and picture.shape[1] % 517 == 0
    columns = (abs(picture - colour).max(-1) < 3).any(0)
    return {*(np.flatnonzero(columns) // 517).tolist()}


@pytest.mark.parametrize(
    ('records', 'red', 'blue', 'green'),
    [
        (train(10), {0}, {1}, set()),
        (train(10, 20, 30), {0}, {1}, set()),
        ([*train(10, 20), val(20, mIoU=55.0)], {0}, {1}, {2}),
        ([*train(10, 20), val(20, top1=55.0)], {0}, {1}, {2}),
        ([*train(10), *train(20, loss='nan'), val(20, mIoU='nan')], {0}, {1}, set()),
        ([val(0, mIoU=55.0)], set(), set(), {2}),
        ([*train(10), val(10, **{'mIoU': 5.0, 'val/loss': 9.0})], {0}, {0, 1}, {2}),
    ],
    ids=[
        *('one point', 'no validation', 'validation', 'classifier', 'not finite'),
        *('validation only', 'validation loss'),
    ],
)
def test_draws_three_panels(tmp_path, records, red, blue, green):
    path = plot_curves(records, tmp_path / 'pictures' / 'curves.png')
    assert [panels_with(path, colour) for colour in (RED, BLUE, GREEN)] == [red, blue, green]


def test_losses_of_one_panel_are_of_the_same_head(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(curves, '_draw', lambda axes, curve, *_: drawn.append(curve))
    parts = {'decode.loss_ce': 0.7, 'aux.loss_ce': 0.3}
    records = [{**record, **parts} for record in train(10)]
    plot_curves([*records, val(10, **{'mIoU': 5.0, 'val/loss': 0.8})], tmp_path / 'both.png')
    assert drawn[:2] == [[(10, 0.7)], [(10, 0.8)]]
    drawn.clear()
    plot_curves([*records, val(10, mIoU=5.0)], tmp_path / 'training.png')
    assert drawn[0] == [(10, 1.0)]


def test_each_class_has_a_line(tmp_path):
    scores = [{'road': 90.0, 'car': 50.0, 'bus': None}, {'road': 95.0, 'car': None, 'bus': 1.0}]
    records = [*train(10, 20)]
    records += [val(10 * n, mIoU=50.0, **{CLASS_IOU: s}) for n, s in enumerate(scores, 1)]
    assert _class_curves(records) == {'road': [(10, 90.0), (20, 95.0)], 'bus': [(20, 1.0)]}
    path = plot_curves(records, tmp_path / 'curves.png')
    assert panels_with(path, RED) == {0, 3}
    many = val(30, **{CLASS_IOU: {str(n): 100.0 - n for n in range(150)}})
    assert [*_class_curves([many])] == [str(n) for n in range(149, 149 - MOST_CLASSES, -1)]


def test_a_log_without_a_loss_is_an_error(tmp_path):
    with pytest.raises(ValueError, match='no loss and no score yet'):
        plot_curves([{'mode': 'train', 'step': 1, 'time': 0.1}], tmp_path / 'curves.png')
    assert not any(tmp_path.iterdir())
