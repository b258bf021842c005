"""A test of weights whose classes are not the data set's, through the runner."""

import numpy as np
import pytest
from generated_weights import build, save, segformer
from PIL import Image

from mmseg_custom.engine import Runner
from mmseg_custom.registry import register_all

NAMES = ('wall', 'sky', 'tree', 'road', 'bed')
PIPELINE = [dict(type=t) for t in ('LoadImageFromFile', 'LoadAnnotations', 'PackSegInputs')]


def runner_for(root, checkpoint):
    """A test on one picture of a folder whose classes are ``NAMES``."""
    for kind, shape in (('images', (32, 32, 3)), ('masks', (32, 32))):
        (root / kind / 'test').mkdir(parents=True)
        Image.fromarray(np.ones(shape, np.uint8)).save(root / kind / 'test/0.png')
    (root / 'dataset.yaml').write_text(f'classes: {list(NAMES)}\n')
    register_all()
    dataset = dict(type='FolderDataset', data_root=str(root), split='test', pipeline=PIPELINE)
    sampler = dict(type='DefaultSampler', shuffle=False)
    return Runner(
        model=segformer(),
        work_dir=str(root / 'run'),
        test_dataloader=dict(batch_size=1, num_workers=0, dataset=dataset, sampler=sampler),
        test_evaluator=dict(type='IoUMetric'),
        test_cfg=dict(type='TestLoop'),
        default_scope='mmseg_custom',
        load_from=str(checkpoint),
        experiment_name=root.name,
    )


@pytest.mark.parametrize('classes', [NAMES, ('sky', 'wall', 'tree', 'road', 'bed')])
def test_another_order_is_not_evaluated(tmp_path, classes):
    model = build(segformer())
    path = save(model, tmp_path / 'x.pth', meta={'dataset_meta': {'classes': classes}})
    runner = runner_for(tmp_path / 'data', path)
    if classes == NAMES:
        assert 'mIoU' in runner.test()
        return
    with pytest.raises(ValueError, match=r"class 0 is 'sky' in the file, 'wall' in the data set"):
        runner.test()
