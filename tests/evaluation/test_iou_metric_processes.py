"""Metric and validation loss over two real processes, as a distributed sampler feeds them."""

import json
from types import SimpleNamespace

import mmengine.dist
import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler
from mmengine.evaluator import Evaluator
from mmengine.structures import BaseDataElement
from processes import run_in_two
from torch.utils.data import DataLoader

from mmseg_custom.engine.hooks import ValidationLossHook
from mmseg_custom.evaluation import IoUMetric

pytestmark = pytest.mark.filterwarnings('ignore:The prefix is not set')
NUM_CLASSES = 4
ARGUMENTS = dict(iou_metrics=['mIoU', 'mDice', 'mFscore'])


def make_sample(index):
    rng = np.random.default_rng(index)
    label = rng.integers(0, NUM_CLASSES, (20 + index, 30))
    prediction = np.where(rng.random(label.shape) < 0.6, label, (label + 1) % NUM_CLASSES)
    label[rng.random(label.shape) < 0.1] = 255
    return {
        'pred_sem_seg': {'data': torch.from_numpy(prediction)[None]},
        'gt_sem_seg': {'data': torch.from_numpy(label)[None]},
        'img_path': f'{index}.jpg',
    }


def evaluate(num_pictures, report_dir):
    """Evaluate pictures 0..num_pictures-1 in batches of two in the processes that there are."""
    evaluator = Evaluator(IoUMetric(**ARGUMENTS, report_dir=report_dir))
    evaluator.dataset_meta = dict(classes=[f'class {i}' for i in range(NUM_CLASSES)])
    indices = list(range(num_pictures))
    sampler = DefaultSampler(indices, shuffle=False, round_up=True)
    rank, world_size = mmengine.dist.get_dist_info()
    runner = SimpleNamespace(model=torch.nn.Module(), rank=rank, world_size=world_size)
    runner.val_dataloader = SimpleNamespace(dataset=indices)
    hook = ValidationLossHook()
    hook.before_val_epoch(runner)
    for batch in DataLoader(indices, batch_size=2, sampler=sampler, collate_fn=list):
        evaluator.process([make_sample(index) for index in batch])
        terms = [torch.tensor([index + 1.0, 4.0]) for index in batch]
        hook.after_val_iter(runner, 0, None, [BaseDataElement(loss_terms=t) for t in terms])
    metrics = evaluator.evaluate(num_pictures)
    hook.after_val_epoch(runner, metrics)
    return metrics


def evaluate_in_one_of_two(rank, folder):
    mmengine.dist.init_dist('pytorch')
    assert mmengine.dist.get_dist_info() == (rank, 2)
    for num_pictures in (7, 8, 1):
        result = evaluate(num_pictures, str(folder / f'two_{num_pictures}'))
        (folder / f'{num_pictures}_{rank}.json').write_text(json.dumps(result))


def test_two_processes_equal_one_exactly(tmp_path):
    run_in_two(evaluate_in_one_of_two, tmp_path)
    for num_pictures in (7, 8, 1):
        expected = evaluate(num_pictures, str(tmp_path / f'one_{num_pictures}'))
        for rank in range(2):
            result = json.loads((tmp_path / f'{num_pictures}_{rank}.json').read_text())
            assert result == expected
        one, two = (
            json.loads((tmp_path / f'{kind}_{num_pictures}' / 'metrics.json').read_text())
            for kind in ('one', 'two')
        )
        assert one == two and one['num_pictures'] == num_pictures
