"""The key ``fuse_pipeline`` of a config."""

import pytest
from mmengine.dataset import InfiniteSampler
from mmengine.registry import DATA_SAMPLERS
from training_runs import configured

from mmseg_custom.engine.launch import build_runner, prepare


@DATA_SAMPLERS.register_module()
class OtherSampler(InfiniteSampler):
    """One that is not replaced by the stream of samples."""


@pytest.mark.parametrize(
    'options, steps, sampler',
    [
        ((), ['DrawScale', 'FusedAugmentation', 'PackSmallLabels'], 'InfiniteSampler'),
        ((), ['DrawScale', 'FusedAugmentation', 'PackSmallLabels'], 'OtherSampler'),
        (['fuse_pipeline=False'], ['RandomResize', 'RandomCrop'], 'InfiniteSampler'),
        (['model.data_preprocessor.type=mmseg.SegDataPreProcessor'], ['PackSegInputs'], None),
    ],
)
def test_switch(tmp_path, training_pictures, options, steps, sampler):
    config = configured(training_pictures, *options)
    config.train_dataloader.sampler.type = sampler or 'InfiniteSampler'
    prepare(config, str(tmp_path), 'none', 'train_dataloader')
    runner = build_runner(config)
    loop = runner.build_train_loop(runner._train_loop)
    pipeline = loop.dataloader.dataset.pipeline
    assert {*steps} <= {type(step).__name__ for step in pipeline.transforms}
    told = [
        path.read_text().count('fused for speed: RandomResize, RandomCrop, RandomFlip, Photo')
        for path in tmp_path.rglob('*.log')
    ]
    assert told == [0 if 'RandomResize' in steps else 1]
    batch = next(iter(loop.dataloader))
    assert runner.model.data_preprocessor(batch, training=True)['inputs'].shape[2:] == (64, 64)
