"""The tool, its table and its JSON."""

import io
import json
import re

import cv2
import numpy as np
import pytest
import torch
from rich.console import Console

from mmseg_custom.benchmark.evaluation import ToolRun, tool_path, write_config, write_pictures
from mmseg_custom.benchmark.named_models import model_config
from mmseg_custom.benchmark.profiling import operator_shares
from mmseg_custom.benchmark.report import as_json, hardware, print_report
from mmseg_custom.benchmark.run import Comparison, Measurement, Options, Result
from mmseg_custom.benchmark.timing import Ceilings
from mmseg_custom.engine.config import load_config
from mmseg_custom.registry import METRICS, MODELS, register_all

TOOL = 'analysis_tools/benchmark.py'
OPTIONS = Options('infer', ('segformer_b0',))
CEILINGS = Ceilings(matmul_flops=1e11, copy_bytes=1e10)
RESULT = Result(
    task='infer',
    model='segformer_b0',
    size=(512, 512),
    batch=1,
    measurements=[
        Measurement('ours', [0.1, 0.1], 0.1, 2**20, 2**19, 3_750_000, 10**10, 10**9, 1.0, 1.0),
        Measurement(
            'mmseg', [0.3, 0.3], 0.3, 2**21, 2**20, 3_750_000, 2 * 10**10, 10**9, 0.67, 0.3
        ),
    ],
    comparisons=[Comparison('mmseg', 3.0, 2.9, 3.1, 2.0, True, {'logits': 1e-6})],
)


def test_table_names_ratio_memory_and_distance():
    console = Console(width=150, record=True, file=io.StringIO())
    print_report(OPTIONS, CEILINGS, [RESULT], console)
    text = console.export_text()
    assert 'segformer_b0 1x512x512' in text
    assert '3.00 (2.90 - 3.10)' in text and '2 MiB' in text and '67 %' in text
    assert 'matrix product 100 GFLOP/s (fp32), copy 10.0 GB/s' in text


def test_json_holds_what_a_claim_needs_and_no_host_name():
    content = json.loads(as_json(OPTIONS, CEILINGS, [RESULT]))
    assert content.keys() == {'options', 'hardware', 'versions', 'ceilings', 'results'}
    assert content['versions']['torch'] == torch.__version__
    assert content['hardware'].keys() == {'cpu', 'cores', 'threads'}
    assert content['results'][0]['comparisons'][0]['ratio'] == 3.0
    assert content['results'][0]['measurements'][1]['seconds'] == [0.3, 0.3]
    assert hardware('cpu')['cpu']


@pytest.mark.slow
def test_a_tiny_run_from_the_command_line(run_tool, tmp_path):
    file = tmp_path / 'result.json'
    done = run_tool(
        *(TOOL, '--task', 'infer', '--models', 'segformer_b0', '--against', 'mmseg'),
        *('--size', '64x96', '--rounds', '1', '--threads', '1', '--profile', '--json', file),
    )
    assert done.returncode == 0, done.stderr
    assert 'ours against mmseg: largest relative difference: logits' in done.stdout
    profiles = re.findall(r'segformer_b0: (\w+) spends its time in (.*)', done.stdout)
    assert [name for name, _ in profiles] == ['ours', 'mmseg']
    assert all('aten::mkldnn_convolution' in operators for _, operators in profiles)
    assert all(
        50 < sum(map(int, re.findall(r'(\d+)%', operators))) <= 103 for _, operators in profiles
    )
    result = json.loads(file.read_text())['results'][0]
    assert (result['size'], result['batch']) == ([64, 96], 1)
    ours, stock = result['measurements']
    assert ours['parameters'] == stock['parameters'] > 3.7e6
    # The decoder fuses before it resizes.
    assert 0 < ours['flops'] < stock['flops']
    # The weights, and then the step's own memory.
    assert ours['peak_bytes'] > ours['step_bytes'] + 4 * ours['parameters']
    assert ours['step_bytes'] > 4 * 150 * 16 * 24
    assert len(ours['seconds']) == len(stock['seconds']) == 1
    comparison = result['comparisons'][0]
    assert comparison['ratio'] == pytest.approx(stock['median_seconds'] / ours['median_seconds'])


def test_a_profile_ranks_operators():
    matrix = torch.randn(300, 300)
    shares = operator_shares(lambda: (matrix @ matrix @ matrix).sum(), torch.device('cpu'))
    assert next(iter(shares)) == 'aten::mm' and shares['aten::mm'] > shares['aten::sum'] > 0
    assert sum(shares.values()) == pytest.approx(1)


def test_mistakes_are_one_line(run_tool):
    done = run_tool(TOOL, '--models', 'segformer_b9')
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("error: unknown model 'segformer_b9'")


def test_evaluation_pictures_have_the_data_sets_layout(tmp_path):
    write_pictures(tmp_path, 2, (64, 96))
    image = cv2.imread(str(tmp_path / 'images/validation/ADE_val_00000002.jpg'))
    label = cv2.imread(str(tmp_path / 'annotations/validation/ADE_val_00000002.png'), -1)
    assert image.shape == (64, 96, 3) and label.shape == (64, 96)
    assert label.max() <= 150 and len(np.unique(label)) > 20


@pytest.mark.parametrize(('stock', 'package'), [(False, 'mmseg_custom.'), (True, 'mmseg.')])
def test_evaluation_configs_name_the_classes_of_one_side(tmp_path, stock, package):
    write_config(tmp_path / 'c.py', model_config('segformer_b0'), tmp_path / 'data', stock)
    config = load_config(str(tmp_path / 'c.py'))
    register_all()
    model = MODELS.build(config.model)
    metric = METRICS.build(config.test_evaluator)
    parts = (model, model.backbone, model.decode_head, model.decode_head.loss_decode, metric)
    assert all(type(part).__module__.startswith(package) for part in parts)
    assert config.test_dataloader.dataset.data_root == str(tmp_path / 'data')


def test_the_tools_log_is_read():
    run = ToolRun(dict(time=0.5, data_time=0.1, mIoU=12.5), 1024)
    assert (run.loop_seconds, run.miou, run.peak_bytes) == (0.5, 12.5, 1024)
    assert tool_path('test.py').is_file()
    with pytest.raises(FileNotFoundError, match=r'tools/absent\.py'):
        tool_path('absent.py')


@pytest.mark.slow
def test_evaluation_end_to_end(run_tool, tmp_path):
    file = tmp_path / 'result.json'
    done = run_tool(
        *(TOOL, '--task', 'eval', '--pictures', '3', '--size', '96x128', '--rounds', '1'),
        *('--threads', '1', '--json', file),
    )
    assert done.returncode == 0, done.stderr
    process, loop = json.loads(file.read_text())['results']
    assert (process['task'], loop['task']) == ('eval process', 'eval loop')
    for side in (0, 1):
        seconds = process['measurements'][side]['median_seconds']
        assert seconds > 3 * loop['measurements'][side]['median_seconds'] > 0
    assert process['comparisons'][0]['differences']['mIoU'] <= 0.02
