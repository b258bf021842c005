"""The mends of upstream do what they say, each in a fresh process where that matters."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from mmseg_custom import compat, registry

pytestmark = pytest.mark.provider


def run(code: str) -> subprocess.CompletedProcess:
    command = [sys.executable, '-W', 'ignore', '-c', code]
    return subprocess.run(command, capture_output=True, text=True)


def test_apply_is_idempotent_and_complete():
    first = compat.apply()
    assert first == compat.apply()
    assert {fix.name for fix in first} == {
        'mmcv_ext',
        'safe_globals',
        'safe_loader',
        'safe_inner_loaders',
        'pretrained',
        'init_dist',
        'data_parallel_on_cpu',
        'store_of_a_restart',
    }
    assert all(fix.reason and fix.until for fix in first)


def test_mends_for_the_cpu_are_not_needed_on_a_gpu():
    code = (
        'import os, torch\n'
        'os.environ["RANK"] = "0"\n'
        'torch.cuda.is_available = lambda: {}\n'
        'from mmengine.model import MMDistributedDataParallel as Wrapper\n'
        'upstream = Wrapper.__init__\n'
        'from mmseg_custom import compat\n'
        'names = ("init_dist", "data_parallel_on_cpu")\n'
        'print([f.applied for f in compat.apply() if f.name in names])\n'
        'print(Wrapper.__init__ is upstream)\n'
    )
    assert run(code.format(True)).stdout.split('\n')[:2] == ['[False, False]', 'True']
    assert run(code.format(False)).stdout.split('\n')[:2] == ['[True, True]', 'False']


@pytest.mark.parametrize('launcher', compat.LAUNCHERS)
def test_launcher_without_its_environment_names_the_fix(launcher, monkeypatch):
    import mmengine.dist

    variable, fix = compat.LAUNCHERS[launcher]
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ValueError, match=rf'--launcher {launcher} expects .* {variable}, which is'):
        mmengine.dist.init_dist(launcher)
    assert 'tools/' in fix


def test_a_resume_that_replays_the_loader_is_not_hidden():
    said = 'Advance dataloader 4 steps to skip data that has already been trained'
    loops = importlib.util.find_spec('mmengine.runner.loops').origin
    assert said.partition(' 4 ')[0] in Path(loops).read_text(), 'mmengine words it differently now'
    assert not said.startswith(compat.UPSTREAM_LOG_LINES)


def test_missing_operator_explains_itself():
    if not {fix.name: fix.applied for fix in compat.apply()}['mmcv_ext']:
        pytest.skip('a compiled mmcv, or an mmseg that does not import operators')
    from mmcv.ops import nms
    from mmengine.utils.dl_utils import mmcv_full_available

    assert not mmcv_full_available()
    with pytest.raises(RuntimeError, match='needs the compiled mmcv'):
        nms(*(__import__('torch').zeros(2, 4), __import__('torch').zeros(2)), 0.5)


def test_without_any_mmcv_the_line_to_run_is_printed():
    block = (
        'import sys, importlib.util as u\n'
        'find = u.find_spec\n'
        'u.find_spec = lambda name, *a: None if name == "mmcv" else find(name, *a)\n'
    )
    result = run(f'{block}import mmseg_custom.registry')
    assert 'mmcv is not installed; run: pip install "mmcv-lite>=2.1,<2.2"' in result.stderr


def test_import_of_the_package_alone_is_cheap():
    code = (
        'import sys, mmseg_custom; print(sorted({"torch", "mmengine", "cv2"} & set(sys.modules)))'
    )
    assert run(code).stdout.strip() == '[]'


def test_ours_shadow_mmsegs_and_stock_stays_reachable():
    registry.register_all()
    ours = registry.MODELS.get('EncoderDecoder')
    stock = registry.MODELS.get('mmseg.EncoderDecoder')
    assert ours.__module__.startswith('mmseg_custom.') and stock.__module__.startswith('mmseg.')
    assert registry.DATASETS.get('CityscapesDataset').__module__.startswith('mmseg_custom.')
    assert {'IoUMetric', 'CityscapesMetric', 'DumpResults'} <= registry.registered_names('metric')
