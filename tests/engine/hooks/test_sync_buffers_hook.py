"""Two real processes validate the model that is saved."""

import pytest
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.model import BaseModel
from processes import run_in_two

from mmseg_custom.engine import Runner
from mmseg_custom.registry import register_all

FIXED = torch.linspace(-1, 1, 24).reshape(2, 3, 2, 2)
MAX_ITERS = 3


def batch(index):
    """Samples of another mean and variance for each index."""
    return (1 + index) * torch.randn(
        3, 4, 4, generator=torch.Generator().manual_seed(index)
    ) + index


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.norm = torch.nn.SyncBatchNorm(3)
        self.register_buffer('constant', torch.tensor(0.1))

    def forward(self, inputs, mode='tensor'):
        if mode == 'loss':
            return {'loss': self.norm(torch.stack(inputs)).square().mean()}
        return [self.norm(FIXED)]


class Recorder(BaseMetric):
    """Keeps what this process's model predicts in each validation."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def process(self, data_batch, data_samples):
        self.seen.append(data_samples[0].clone())
        self.results.append(0)

    def compute_metrics(self, results):
        return {'score': 1.0}


def train_in_one_of_two(rank, folder, hooks):
    register_all()
    pictures = [{'inputs': batch(index)} for index in range(4 * MAX_ITERS)]
    recorder = Recorder()
    loader = dict(batch_size=2, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False))
    Runner(
        model=Model(),
        work_dir=str(folder),
        train_dataloader=dict(**loader, dataset=pictures),
        val_dataloader=dict(**loader, dataset=pictures[:4]),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=MAX_ITERS, val_interval=1),
        val_cfg=dict(type='ValLoop'),
        val_evaluator=Evaluator(recorder),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1, by_epoch=False)),
        custom_hooks=hooks,
        launcher='pytorch',
        default_scope='mmseg_custom',
    ).train()
    torch.save(recorder.seen, folder / f'seen_{rank}.pt')


def run(folder, hooks):
    """What each process predicted in each validation, and the saved models."""
    run_in_two(train_in_one_of_two, folder, hooks)
    seen = [torch.load(folder / f'seen_{rank}.pt') for rank in range(2)]
    models = []
    for iteration in range(1, MAX_ITERS + 1):
        checkpoint = torch.load(folder / f'iter_{iteration}.pth', weights_only=False)
        model = Model().eval()
        model.load_state_dict(checkpoint['state_dict'])
        models.append(model)
    return seen, models


@pytest.mark.slow
def test_the_model_that_is_validated_is_the_one_that_is_saved(tmp_path, monkeypatch):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '-1')
    seen, models = run(tmp_path, [dict(type='SyncBuffersHook')])
    for index, model in enumerate(models):
        expected = torch.nn.functional.batch_norm(
            FIXED,
            *(model.norm.running_mean, model.norm.running_var, model.norm.weight, model.norm.bias),
        )
        for own in seen:
            assert torch.equal(own[index], expected)
    # The mean of both processes' own statistics: momentum 0.1, samples 0, 2 | 1, 3 come first.
    first = models[0].norm
    batches = [torch.stack([batch(i) for i in pair]) for pair in ((0, 2), (1, 3))]
    means = [0.1 * b.mean((0, 2, 3)) for b in batches]
    variances = [0.9 + 0.1 * b.var((0, 2, 3)) for b in batches]
    torch.testing.assert_close(first.running_mean, sum(means) / 2)
    torch.testing.assert_close(first.running_var, sum(variances) / 2)
    assert models[-1].constant == torch.tensor(0.1)
    assert models[-1].norm.num_batches_tracked == MAX_ITERS
