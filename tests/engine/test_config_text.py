"""The text of a config is Python that gives the same config, and easy to read."""

import copy

import pytest
from config_leaves import leaves, resolved
from mmengine.config import Config

from mmseg_custom.engine.config import load_config
from mmseg_custom.engine.config_text import WIDTH, format_config

CAMVID = 'segformer/segformer_mit-b0_1xb8-4k_camvid-360x480.py'


def evaluated(text: str) -> dict:
    names: dict = {}
    exec(text, {}, names)
    return names


@leaves
def test_a_leaf_survives(path):
    values = resolved(path).to_dict()
    text = format_config(values)
    assert evaluated(text) == values
    # Only a text that cannot be broken is longer.
    assert all(len(line) <= WIDTH or 'https://' in line for line in text.splitlines())


def test_layout():
    values = {
        'short': dict(type='A', size=(1,), nothing=[], text="it's", none=None, empty={}),
        'long': dict(type='B', entries=[dict(name='x' * 40), dict(name='y' * 40)], other=1.5),
        'keys': {'norm.weight': 1, 'class': 2, 3: (4, 5)},
    }
    text = format_config(values)
    assert evaluated(text) == values
    assert text.splitlines() == [
        "short = dict(type='A', size=(1,), nothing=[], text=\"it's\", none=None, empty=dict())",
        'long = dict(',
        "    type='B',",
        '    entries=[',
        f"        dict(name='{'x' * 40}'),",
        f"        dict(name='{'y' * 40}'),",
        '    ],',
        '    other=1.5,',
        ')',
        "keys = {'norm.weight': 1, 'class': 2, 3: (4, 5)}",
    ]


@pytest.mark.parametrize('long', [0, 60])
def test_a_tuple_of_one_stays_a_tuple(long):
    values = {'name': ('x' * long + 'y' * 40,)}
    assert evaluated(format_config(values)) == values


def test_copies_and_saved_files_keep_it(tmp_path):
    config = load_config(CAMVID, ['max_iters=100'])
    assert copy.deepcopy(config).pretty_text == config.pretty_text
    config.dump(tmp_path / 'saved.py')
    saved = Config.fromfile(tmp_path / 'saved.py')
    assert saved.to_dict() == config.to_dict()
    assert (tmp_path / 'saved.py').read_text() == config.pretty_text
