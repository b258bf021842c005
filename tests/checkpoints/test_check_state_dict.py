import pytest
import torch
from torch import nn

from mmseg_custom.checkpoints.reading import check_state_dict


def network(width=3):
    return nn.Sequential(nn.Conv2d(3, width, 1), nn.BatchNorm2d(width))


def check(state_dict):
    check_state_dict(network(), state_dict, 'a.pth', 'b.py')


def test_its_own_weights_fit():
    weights = network().state_dict()
    check(weights)
    check({f'module.{key}': value for key, value in weights.items()})


def test_everything_that_differs_is_counted():
    weights = network(width=4).state_dict()
    del weights['1.running_var']
    weights['head.weight'] = torch.zeros(2)
    with pytest.raises(ValueError) as caught:
        check(weights)
    assert str(caught.value) == (
        'checkpoint a.pth does not fit config b.py: 5 of 7 parameters have another shape (first: '
        '0.weight (4, 3, 1, 1) in the file, (3, 3, 1, 1) in the model), 1 missing (first: '
        '1.running_var), 1 unexpected (first: head.weight); use the config it was trained with'
    )


def test_only_missing_or_unexpected_entries():
    with pytest.raises(ValueError, match=r'b.py: 7 of 7 missing \(first: 0.weight\); use'):
        check({})
    extra = {**network().state_dict(), 'x': torch.zeros(1)}
    with pytest.raises(ValueError, match=r'b.py: 1 unexpected \(first: x\); use'):
        check(extra)


def test_an_entry_that_is_no_tensor():
    weights = {**network().state_dict(), '0.bias': [0.0, 0.0, 0.0]}
    with pytest.raises(ValueError, match=r'1 of 7 parameters has .* 0.bias list in the file'):
        check(weights)
