"""The commands of ``tools/segmenter.py``: what they print, and one line for each mistake."""

import json
import os
import re

import pytest
from run_rows import add
from small_templates import CLASSES, SEGFORMER, small, write_blocks
from tool_modules import load_tool

from mmseg_custom import cli
from mmseg_custom.templates.arguments import COMMANDS as PARSED
from mmseg_custom.templates.commands import COMMANDS
from mmseg_custom.templates.models import TEMPLATES
from mmseg_custom.templates.params_file import dump_params, load_params
from mmseg_custom.templates.processes import identity
from mmseg_custom.templates.records import FAILED, QUEUED, TRAINED
from mmseg_custom.templates.runs import Runs

TOOL = load_tool('segmenter.py')


@pytest.fixture
def blocks(tmp_path):
    return write_blocks(tmp_path / 'blocks')


@pytest.fixture
def call(tmp_path, capsys):
    """Call the tool; returns exit status, what it printed, and its errors."""

    def run(*words) -> tuple[int, str, str]:
        root = [] if words[0] == '--help' else ['--root', str(tmp_path / 'root')]
        try:
            cli.run(TOOL.main, [*map(str, words), *root])
            status = 0
        except SystemExit as error:
            status = error.code or 0
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def test_every_command_does_something_and_is_in_the_help(call):
    assert PARSED.keys() == COMMANDS.keys()
    status, text, _ = call('--help')
    assert status == 0 and all(f'\n  {name}' in text for name in PARSED)
    assert 'predict RUN IMAGE ... [--out-dir OUT-DIR] [--device DEVICE] [--json]' in text


def test_templates_and_their_params(call, tmp_path):
    _, text, _ = call('templates')
    assert [line.split()[0] for line in text.splitlines()] == [*TEMPLATES]
    _, text, _ = call('params', SEGFORMER, '--dataset', 'blocks')
    params = load_params(text)
    assert (params.dataset_id, params.template) == ('blocks', SEGFORMER)


def test_a_data_set_from_folder_to_version(call, blocks):
    status, text, error = call('dataset', 'create', 'blocks', blocks)
    assert (status, error) == (0, '')
    assert text.splitlines()[0] == f'blocks  {blocks}  train 6, val 2'
    (blocks / 'images/test').mkdir()
    assert call('dataset', 'create', 'blocks', blocks)[2].startswith('left out: split test (')
    _, text, _ = call('concepts', 'blocks')
    assert tuple(text.split()) == CLASSES
    _, text, _ = call('dataset', 'version', 'blocks')
    version = text.split()[0]
    assert 'train 6, val 2  17 files' in text
    _, text, _ = call('dataset', 'list')
    assert version in text and str(blocks) in text


@pytest.mark.parametrize(
    ('fields', 'words', 'expected'),
    [
        ({}, {'batch_size: 3': 'batch_size: 17'}, ['batch_size is 17; expected a whole number']),
        (
            {},
            {'batch_size: 3': 'batch_sise: 3'},
            ['batch_sise is unknown; did you mean batch_size'],
        ),
        (
            {},
            {'image_size: [32]': 'image_size: [32, 32, 32]', 'seed: 0': 'seed: -1'},
            ['image_size is [32, 32, 32]; expected', 'seed is -1; expected'],
        ),
        ({'batch_size': 7}, {}, ['batch_size is 7, but', 'has 6 training images']),
        ({'concepts': ['rode']}, {}, ["concepts: 'rode' is no class", 'did you mean road']),
        ({'dataset_id': 'blokcs'}, {}, ["dataset_id is 'blokcs'", 'did you mean blocks']),
        (
            {'dataset_version_id': 'abcdef12'},
            {},
            ["dataset_version_id is 'abcdef12', which is none"],
        ),
        ({'device': 'cuda:77'}, {}, ["device is 'cuda:77', but this machine has"]),
        ({'pretrained_weights': 'gone.pth'}, {}, ['gone.pth']),
    ],
)
def test_a_mistake_starts_nothing(call, blocks, tmp_path, fields, words, expected):
    call('dataset', 'create', 'blocks', blocks)
    text = dump_params(small(**{'dataset_id': 'blocks', **fields}))
    for old, new in words.items():
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / 'params.yaml'
    path.write_text(text)
    status, printed, error = call('train', path)
    assert status == 2 and printed == ''
    assert all(line.startswith('error: ') for line in error.splitlines())
    assert all(part in error for part in expected), error
    runs = Runs(tmp_path / 'root')
    assert runs.list() == [] and runs.datasets.get('blocks').versions == ()


def test_runs_are_listed_and_looked_at(call, tmp_path):
    runs = Runs(tmp_path / 'root')
    add(runs, TRAINED, dataset='blocks')
    failed = add(runs, FAILED, steps=[10], reason='KeyError: 7')
    _, text, _ = call('runs')
    assert text.index(failed) < text.index('run-1') and 'MODEL-TRAINING-FAILED  KeyError' in text
    _, text, _ = call('status', 'run-1')
    assert text == 'run-1  MODEL-TRAINED\n'
    status, text, _ = call('status', failed, '--json', '--wait')
    found = dict(status=FAILED, percent=25.0, seconds_left=None, reason='KeyError: 7')
    assert status == 1 and json.loads(text) == {'run': failed, **found}
    runs.get(failed).log.write_text('one\nKeyError: 7\n')
    assert call('logs', failed)[:2] == (0, 'one\nKeyError: 7\n')
    status, text, _ = call('logs', failed, '--follow')
    assert status == 1 and text.endswith(f'{failed}  MODEL-TRAINING-FAILED  KeyError: 7\n')


def test_a_run_is_stopped_and_resumed(call, tmp_path):
    runs = Runs(tmp_path / 'root')
    run = add(runs, QUEUED, worker=identity(os.getpid()))
    assert call('stop', run) == (0, f'{run}  MODEL-QUEUED  stops before it begins\n', '')
    assert runs.get(run).stop_asked
    failed = add(runs, FAILED, reason='KeyError: 7')
    assert call('resume', failed)[:2] == (
        0,
        f'{failed}  MODEL-QUEUED  waits for run-1, which waits on cpu\n',
    )
    assert call('stop', failed)[0] == 0
    status, text, _ = call('status', failed, '--wait')
    assert status == 1 and text.endswith('MODEL-TRAINING-FAILED  stopped by user before it began\n')


@pytest.mark.parametrize(
    ('words', 'expected'),
    [
        (('status', 'run-7'), "there is no run 'run-7' in .*; did you mean run-1"),
        (('stop', 'run-1'), 'run-1 is not under way: MODEL-TRAINED'),
        (('resume', 'run-1'), 'run-1 is trained: begin a new run'),
        (('predict', 'run-1', 'a.png'), r'run-1 \(MODEL-TRAINED\) has no checkpoint yet'),
        (('export', 'run-1', '--format', 'zip'), "format is 'zip'; expected one of pth,"),
        (('dataset', 'create', 'x', 'gone'), 'gone is no folder'),
        (
            ('train', 'gone.yaml'),
            'no params file gone.yaml; write one with: tools/segmenter.py params',
        ),
        (('concepts', '~/gone'), "dataset_id is '~/gone', which is no data set and no folder"),
        (('params', 'SegFormer'), "'SegFormer'.*MMSegmentation_SegFormer"),
    ],
)
def test_a_mistake_is_one_line(call, tmp_path, words, expected):
    add(Runs(tmp_path / 'root'), TRAINED)
    status, printed, error = call(*words)
    assert (status, printed, error.count('\n')) == (2, '', 1)
    assert re.search(f'error: .*{expected}', error), error
