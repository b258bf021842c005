"""Top-k accuracy, against scikit-learn, in one process and in two."""

import json

import mmengine.dist
import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler
from mmengine.evaluator import Evaluator
from processes import run_in_two
from torch.utils.data import DataLoader

from mmseg_custom.evaluation.accuracy import Accuracy, rank_of

pytestmark = pytest.mark.filterwarnings('ignore:The prefix is not set')
NUM_CLASSES = 8


def make_sample(index: int) -> dict:
    rng = np.random.default_rng(index)
    scores = torch.from_numpy(rng.random(NUM_CLASSES)).softmax(0)
    return {
        'pred_score': scores,
        'gt_label': torch.tensor(int(rng.integers(NUM_CLASSES))),
        'img_path': f'{index}.jpg',
    }


def evaluate(num_pictures: int) -> dict:
    """Evaluate pictures 0..num_pictures-1 in the processes that there are."""
    evaluator = Evaluator(Accuracy(topk=(1, 5, 100)))
    evaluator.dataset_meta = {}
    indices = list(range(num_pictures))
    sampler = DefaultSampler(indices, shuffle=False, round_up=True)
    for batch in DataLoader(indices, batch_size=2, sampler=sampler, collate_fn=list):
        evaluator.process([make_sample(index) for index in batch])
    return evaluator.evaluate(num_pictures)


def expected(num_pictures: int) -> dict:
    from sklearn.metrics import top_k_accuracy_score

    drawn = [make_sample(index) for index in range(num_pictures)]
    labels = [int(sample['gt_label']) for sample in drawn]
    scores = torch.stack([sample['pred_score'] for sample in drawn]).numpy()
    return {
        f'top{k}': round(
            100 * top_k_accuracy_score(labels, scores, k=k, labels=range(NUM_CLASSES)), 2
        )
        for k in (1, 5)
    }


def test_numbers_are_scikit_learns():
    assert evaluate(101) == expected(101)


def evaluate_in_one_of_two(rank, folder):
    mmengine.dist.init_dist('pytorch')
    for num_pictures in (7, 8, 1):
        (folder / f'{num_pictures}_{rank}.json').write_text(json.dumps(evaluate(num_pictures)))


def test_two_processes_equal_one_exactly(tmp_path):
    run_in_two(evaluate_in_one_of_two, tmp_path)
    for num_pictures in (7, 8, 1):
        for rank in (0, 1):
            found = json.loads((tmp_path / f'{num_pictures}_{rank}.json').read_text())
            assert found == expected(num_pictures)


def test_equal_scores_are_no_free_hit():
    scores = torch.tensor([0.5, 0.5, 0.5])
    assert [rank_of(scores, label) for label in range(3)] == [0, 1, 2]
    assert rank_of(torch.tensor([0.1, 0.7, 0.2]), 2) == 1


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match=r'topk=\(\); expected'):
        Accuracy(topk=())
    metric = Accuracy()
    bad = make_sample(0) | {'pred_score': torch.full((NUM_CLASSES,), float('nan'))}
    with pytest.raises(ValueError, match=r'prediction of 0.jpg is not finite'):
        metric.process(None, [bad])
    with pytest.raises(ValueError, match=r'0.jpg: label 9, but the model has 8 classes'):
        metric.process(None, [make_sample(0) | {'gt_label': torch.tensor(9)}])
    with pytest.raises(ValueError, match='no picture was evaluated'):
        metric.evaluate(0)
