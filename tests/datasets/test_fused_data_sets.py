"""Which data sets of a training get the fused pipeline."""

import numpy as np
import pytest
import torch
from augmented import CHAIN, names
from mmengine.registry import init_default_scope

from mmseg_custom.datasets import generate_quickstart_dataset
from mmseg_custom.registry import DATASETS

LOADING = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
FUSED = ['DrawScale', *(step['type'] for step in LOADING), 'FusedAugmentation']


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return generate_quickstart_dataset(
        tmp_path_factory.mktemp('data'), {'train': 2, 'val': 1, 'test': 1}
    )


def folder(root, *steps) -> dict:
    init_default_scope('mmseg_custom')
    pipeline = [*LOADING, *(steps or CHAIN)]
    return dict(type='FolderDataset', data_root=str(root), split='train', pipeline=pipeline)


@pytest.mark.parametrize(
    'wrapped',
    [
        lambda data: data,
        lambda data: dict(type='RepeatDataset', times=2, dataset=data),
        lambda data: dict(type='ConcatDataset', datasets=[data, data]),
        lambda data: dict(
            type='RepeatDataset', times=1, dataset=dict(type='ConcatDataset', datasets=[data, data])
        ),
    ],
    ids=['alone', 'repeated', 'together', 'both'],
)
def test_wrapped_data_sets(root, wrapped):
    stock = DATASETS.build(wrapped(folder(root)))
    ours = DATASETS.build(dict(type='FusedPipelines', dataset=wrapped(folder(root))))
    assert type(ours) is type(stock) and len(ours) == len(stock)
    inner = ours
    while not hasattr(inner, 'pipeline'):
        inner = getattr(inner, 'dataset', None) or inner.datasets[-1]
    assert names(inner.pipeline.transforms) == [*FUSED, 'PackSegInputs']
    for seed in range(4):
        np.random.seed(seed)
        expected = stock[seed % 2]
        np.random.seed(seed)
        found = ours[seed % 2]
        labels = (side['data_samples'].gt_sem_seg.data for side in (found, expected))
        assert torch.equal(*labels)


def test_a_pipeline_without_neighbours_is_left_alone(root):
    dataset = folder(root, dict(type='Resize', scale=(32, 32)), CHAIN[-1])
    built = DATASETS.build(dict(type='FusedPipelines', dataset=dataset))
    assert names(built.pipeline.transforms)[2:] == ['Resize', 'PackSegInputs']
