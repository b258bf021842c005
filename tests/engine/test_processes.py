"""Two real processes: the same training as one, sharded or not, and no needless communication."""

import json
import os
import socket
from pathlib import Path

import pytest
import torch
from config_leaves import CONFIG_DIR
from mmengine.hooks import Hook
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.distributed.tensor import DTensor
from training_runs import assert_equal, configured, killed, outcome, run

from mmseg_custom.engine.run_log import read_run_log
from mmseg_custom.registry import HOOKS

SEGMENTER = CONFIG_DIR / 'quickstart/segmenter_vit-t_quickstart.py'
ACCUMULATED = ('optim_wrapper.accumulative_counts=3', 'max_iters=7')


@HOOKS.register_module()
class CountReductionsHook(Hook):
    """Count the buckets of gradients that each iteration reduces."""

    def before_train(self, runner) -> None:
        self.counts = [0]
        runner.model.register_comm_hook(None, self.reduce)

    def reduce(self, state, bucket):
        self.counts[-1] += 1
        return allreduce_hook(None, bucket)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.counts.append(0)

    def after_train(self, runner) -> None:
        Path(runner.work_dir, f'counts_{runner.rank}.json').write_text(json.dumps(self.counts))


@HOOKS.register_module()
class ShardsHook(Hook):
    """Write down which parameters and states of the optimizer are kept in parts."""

    def after_train(self, runner) -> None:
        named = dict(runner.model.named_parameters())
        whole = [name for name, value in named.items() if not isinstance(value, DTensor)]
        states = [
            value
            for state in runner.optim_wrapper.optimizer.state.values()
            for value in state.values()
            if value.dim()
        ]
        found = dict(
            whole=whole,
            local=sum(value.to_local().numel() for value in named.values()),
            numel=sum(value.numel() for value in named.values()),
            state_local=sum(value.to_local().numel() for value in states),
            state_numel=sum(value.numel() for value in states),
        )
        Path(runner.work_dir, f'shards_{runner.rank}.json').write_text(json.dumps(found))


def segmenter(data: Path, batch_size: int, *options: str, hooks: tuple = ()):
    """The quick start's Segmenter without stochastic depth, dropout and moving average."""
    still = ('model.backbone.drop_path_rate=0.0', 'model.decode_head.dropout_ratio=0.0')
    config = configured(data, *still, *options, path=SEGMENTER)
    config.model.auxiliary_head.dropout_ratio = 0.0
    config.train_dataloader.batch_size = batch_size
    config.custom_hooks = list(hooks)
    return config


def in_one_of_two(rank: int, data: Path, folder: Path, port: int) -> None:
    address = dict(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE='2', **address)

    def train(name: str, *options: str, hooks: tuple = (), **kwargs):
        return run(
            segmenter(data, 2, *options, hooks=hooks), folder / name, launcher='pytorch', **kwargs
        )

    sharded = 'sharding=fsdp'
    train('data_parallel')
    train('sharded', sharded, hooks=(dict(type='ShardsHook'),))
    assert train('cut', sharded, hooks=killed(7)) is None
    train('cut', sharded, resume=True)
    train('resumed_whole', resume=str(folder / 'sharded/iter_6.pth'))
    train('accumulated', *ACCUMULATED, hooks=(dict(type='CountReductionsHook'),))
    train('accumulated_sharded', sharded, *ACCUMULATED)
    config = segmenter(data, 2)
    config.model.backbone.out_indices = [0]
    config.model.backbone.num_layers = 2
    with pytest.raises(ValueError) as caught:
        run(config, folder / 'unused', launcher='pytorch')
    (folder / f'unused_{rank}.txt').write_text(str(caught.value))
    torch.distributed.destroy_process_group()


@pytest.fixture(scope='module')
def trained(tmp_path_factory, training_pictures) -> Path:
    """Folder with the runs of two processes, and of one on the same global batch."""
    folder = tmp_path_factory.mktemp('processes')
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    torch.multiprocessing.spawn(in_one_of_two, (training_pictures, folder, port), nprocs=2)
    run(segmenter(training_pictures, 4), folder / 'one')
    run(segmenter(training_pictures, 4, *ACCUMULATED), folder / 'accumulated_one')
    resumed = str(folder / 'sharded/iter_8.pth')
    run(segmenter(training_pictures, 4), folder / 'resumed_one', resume=resumed)
    return folder


def losses(folder: Path) -> list[float]:
    return [record['loss'] for record in read_run_log(folder) if 'loss' in record]


pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ('name', 'reference'),
    [
        ('data_parallel', 'one'),
        ('sharded', 'one'),
        ('resumed_whole', 'one'),
        ('resumed_one', 'one'),
        ('accumulated', 'accumulated_one'),
        ('accumulated_sharded', 'accumulated_one'),
    ],
)
def test_the_loss_curve_is_that_of_one_process(trained, name, reference):
    found, wanted = losses(trained / name), losses(trained / reference)
    assert len(found) >= 4 and wanted[0] - wanted[-1] > 0.05, 'the curve falls'
    torch.testing.assert_close(found, wanted[-len(found) :], rtol=1e-5, atol=0)
    last = f'iter_{len(wanted)}.pth'
    one = torch.load(trained / reference / last, weights_only=True)
    two = torch.load(trained / name / last, weights_only=True)
    for name, value in one['state_dict'].items():
        if name.endswith('attn.in_proj_bias'):
            continue  # a bias of the keys changes no attention: its gradient is rounding errors
        torch.testing.assert_close(two['state_dict'][name], value, rtol=1e-3, atol=1e-4)
    assert two['optimizer']['state'].keys() == one['optimizer']['state'].keys()


def test_a_resumed_sharded_run_is_the_uninterrupted_one(trained):
    assert_equal(outcome(trained / 'cut'), outcome(trained / 'sharded'))


def test_each_process_keeps_half(trained):
    found = [json.loads((trained / f'sharded/shards_{r}.json').read_text()) for r in range(2)]
    assert [part['whole'] for part in found] == [[], []]
    for local, total in (('local', 'numel'), ('state_local', 'state_numel')):
        assert found[0][local] + found[1][local] == found[0][total] == found[1][total]
        assert abs(found[0][local] - found[1][local]) < 0.1 * found[0][total]


def test_accumulated_gradients_are_reduced_once_per_step(trained):
    """Steps after the iterations 3, 6 and 7; the others reduce nothing."""
    for rank in range(2):
        counts = json.loads((trained / f'accumulated/counts_{rank}.json').read_text())
        assert [count > 0 for count in counts[:7]] == [False, False, True] * 2 + [True]


def test_parameters_without_a_gradient_are_named(trained):
    for rank in range(2):
        message = (trained / f'unused_{rank}.txt').read_text()
        assert 'got no gradient: backbone.layers.1.' in message
        assert 'find_unused_parameters=True' in message


def test_another_global_batch_is_refused(trained, training_pictures):
    """Two processes with two samples each, continued by one with two."""
    sharded = trained / 'sharded'
    before = {path: path.read_bytes() for path in sharded.iterdir() if path.is_file()}
    message = r'trained with 4 samples per iteration, .* 2 x 1 process.*batch_size=4'
    with pytest.raises(ValueError, match=message):
        run(segmenter(training_pictures, 2), sharded, resume=True)
    assert {path: path.read_bytes() for path in before} == before
