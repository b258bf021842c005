"""A run that mmengine's Runner began with mmseg's own classes goes on with our tool."""

import subprocess
import sys
from pathlib import Path

import mmseg
import pytest
import torch
from generated_data import write_dataset
from mmengine.config import Config

from mmseg_custom.engine.launch import LOADERS

CONFIG = (
    Path(mmseg.__file__).parent
    / '.mim/configs/segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py'
)
# Without compiled operators mmseg's models can only be imported with our mends; no class of ours
# takes part.
STOCK_RUN = """
import sys
from mmseg_custom import compat
compat.apply()
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.utils import register_all_modules
register_all_modules()
runner = Runner.from_cfg(Config.fromfile(sys.argv[1]))
runner.train()
for part in (runner, runner.model, runner.model.backbone, runner.model.decode_head):
    assert type(part).__module__.split('.')[0] in ('mmengine', 'mmseg'), type(part)
"""


def small(config: Config, data_root: Path, work_dir: Path) -> Config:
    """The config on two generated pictures at 64x64, for two iterations."""
    for name in LOADERS:
        loader = config[name]
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
        write_dataset(loader.dataset, data_root, 150)
        loader.dataset.update(data_root=str(data_root), indices=2)
    for transform in config.train_dataloader.dataset.pipeline:
        if transform['type'] == 'RandomCrop':
            transform['crop_size'] = (64, 64)
    config.model.data_preprocessor.size = (64, 64)
    config.model.backbone.init_cfg = None
    config.train_cfg.max_iters = 2
    config.default_hooks.checkpoint.interval = 2
    config.work_dir = str(work_dir)
    return config


@pytest.mark.slow
def test_a_run_of_stock_mmseg_is_resumed(run_tool, tmp_path):
    stock = tmp_path / 'stock.py'
    small(Config.fromfile(CONFIG), tmp_path / 'data', tmp_path / 'run').dump(stock)
    command = [sys.executable, '-W', 'ignore', '-c', STOCK_RUN, stock]
    began = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=280)
    assert began.returncode == 0, began.stdout + began.stderr
    first = torch.load(tmp_path / 'run/iter_2.pth', weights_only=False)

    resumed = run_tool(
        *('train.py', stock, '--resume', tmp_path / 'run/iter_2.pth'),
        *('--work-dir', tmp_path / 'resumed', '--cfg-options', 'default_scope=mmseg_custom'),
        'max_iters=4',
    )
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert 'resumed epoch: 0, iter: 2' in resumed.stdout
    last = torch.load(tmp_path / 'resumed/iter_4.pth', weights_only=False)
    assert (first['meta']['iter'], last['meta']['iter']) == (2, 4)
    assert first['state_dict'].keys() == last['state_dict'].keys()
    states = first['optimizer']['state'], last['optimizer']['state']
    assert states[0].keys() == states[1].keys()
    assert {float(state['step']) for state in states[0].values()} == {2.0}
    assert {float(state['step']) for state in states[1].values()} == {4.0}
