import json

import numpy as np
import pytest
from PIL import Image
from tool_modules import load_tool

from mmseg_custom import cli
from mmseg_custom.engine.run_table import read_runs, rows_of

analyze_logs = load_tool('analysis_tools/analyze_logs.py')


def write_run(folder, scores, lr=0.1, done=True):
    """A work folder as a training of these mIoUs leaves it, validated every ten iterations."""
    folder.mkdir(parents=True)
    lines = []
    for number, score in enumerate(scores, 1):
        step = 10 * number
        train = dict(mode='train', step=step, loss=20 * lr / number, lr=lr, time=0.5, data_time=0.1)
        val = {
            'mode': 'val',
            'step': step,
            'mIoU': score,
            'val/loss': 30 * lr / number,
            'time': 9.0,
        }
        lines += [train, {**val, 'class_IoU': {'a': score, 'b': None}}]
    (folder / 'log.jsonl').write_text(''.join(f'{json.dumps(line)}\n' for line in lines))
    (folder / 'net.py').write_text(f"optimizer = dict(type='SGD', lr={lr})\nmax_iters = 30\n")
    if done:
        (folder / 'summary.json').write_text(json.dumps({'config': 'net.py'}))
    return folder


def test_rows(tmp_path):
    one = write_run(tmp_path / 'a/run', [30.0, 50.0, 40.0])
    other = write_run(tmp_path / 'b/run', ['nan', 20.0], done=False)
    runs = read_runs([str(one), str(other)])
    assert [*runs] == ['a/run', 'b/run']
    rows = rows_of(runs)
    assert rows['iterations'] == [30, 20] and rows['finished'] == [True, False]
    assert rows['best mIoU'][0] == 50.0 and rows['at iteration'][0] == 20
    assert rows['last mIoU'] == [40.0, 20.0]
    assert rows['last val/loss'] == [1.0, 1.5] and rows['last loss'] == [2 / 3, 1.0]
    assert rows['seconds/iteration'] == [0.5, 0.5] and rows['training time'][0] == '0:00:15'


def test_the_tool(tmp_path, capsys):
    one = write_run(tmp_path / 'one', [30.0, 50.0])
    other = write_run(tmp_path / 'other', [20.0, 60.0], lr=0.2)
    picture, table = tmp_path / 'pictures/cmp.png', tmp_path / 'table.json'
    analyze_logs.main([str(one), str(other), '--out', str(picture), '--json', str(table)])
    printed = capsys.readouterr().out
    assert '50.00' in printed and 'one -> other:\n    optimizer.lr: 0.1 -> 0.2' in printed
    assert json.loads(table.read_text())['best mIoU'] == {'one': 50.0, 'other': 60.0}
    # Two colours, that of each run, in each of the four panels.
    pixels = np.asarray(Image.open(picture).convert('RGB')).astype(int)
    panels = np.array_split(pixels, 4, axis=1)
    for colour in ((0xC0, 0x39, 0x2B), (0x24, 0x71, 0xA3)):
        assert all((abs(panel - colour).max(-1) < 3).any() for panel in panels)


def test_a_folder_without_a_log(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.run(analyze_logs.main, [str(tmp_path)])
    assert stopped.value.code == 2
    assert 'holds no log.jsonl with a line; give the --work-dir' in capsys.readouterr().err
    run = str(write_run(tmp_path / 'a', [1.0]))
    with pytest.raises(ValueError, match='given twice'):
        read_runs([run, run])
