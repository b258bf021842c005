"""Training batches against mmseg's preprocessor."""

import copy

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.models.data_preprocessor import SegDataPreProcessor as UpstreamSegDataPreProcessor
from mmseg.structures import SegDataSample

from mmseg_custom.models.data_preprocessor import SegDataPreProcessor

NORMALISED = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])


def batch(*shapes: tuple, dtype=torch.uint8, labels=torch.int64) -> dict:
    generator = torch.Generator().manual_seed(0)
    images = [torch.randint(0, 256, shape, generator=generator).to(dtype) for shape in shapes]
    samples = []
    for index, (_, height, width) in enumerate(shapes):
        classes = torch.randint(0, 9, (1, height, width), generator=generator).to(labels)
        samples.append(
            SegDataSample(gt_sem_seg=PixelData(data=classes), metainfo={'img_path': f'{index}'})
        )
    return {'inputs': images, 'data_samples': samples}


@pytest.mark.parametrize('labels', [torch.int64, torch.uint8])
@pytest.mark.parametrize(
    'options, shapes',
    [
        (dict(size=(8, 10), bgr_to_rgb=True), [(3, 8, 10), (3, 5, 10), (3, 8, 7)]),
        (dict(size=(6, 6), pad_val=3, seg_pad_val=7), [(3, 8, 10), (3, 8, 10)]),
        (dict(size_divisor=4, rgb_to_bgr=True), [(3, 7, 10), (3, 5, 9)]),
        (dict(size=(8, 8), mean=None, std=None, bgr_to_rgb=True), [(3, 8, 8), (3, 6, 8)]),
        (dict(size=(8, 8), mean=[1.0] * 4, std=[2.0] * 4), [(4, 8, 7)]),
    ],
)
def test_training_batches_are_mmsegs(options, shapes, labels):
    """Bit by bit; what the loader gave stays as it was, so that it can be prepared again."""
    options = {**NORMALISED, **options}
    upstream, ours = UpstreamSegDataPreProcessor(**options), SegDataPreProcessor(**options)
    data = batch(*shapes, labels=labels)
    kept = copy.deepcopy(data)
    expected = upstream(batch(*shapes), training=True)
    for _ in range(2):
        prepared = ours(data, training=True)
        assert prepared['inputs'].dtype == torch.float32
        assert torch.equal(prepared['inputs'], expected['inputs'])
        for sample, stock in zip(prepared['data_samples'], expected['data_samples']):
            assert sample.gt_sem_seg.data.dtype == torch.int64
            assert torch.equal(sample.gt_sem_seg.data, stock.gt_sem_seg.data)
            assert sample.metainfo == stock.metainfo
    for sample, before in zip(data['data_samples'], kept['data_samples']):
        assert torch.equal(sample.gt_sem_seg.data, before.gt_sem_seg.data)
        assert sample.metainfo == before.metainfo


def test_other_training_batches_go_through_mmsegs():
    data = batch((3, 4, 4))
    edges = PixelData(data=torch.ones(1, 4, 4, dtype=torch.int64))
    data['data_samples'][0].set_data({'gt_edge_map': edges})
    prepared = SegDataPreProcessor(**NORMALISED, size=(4, 6))(data, training=True)
    assert prepared['data_samples'][0].gt_edge_map.shape == (4, 6)


def test_who_takes_labels_of_8_bits():
    """Batch augmentation is a user's: it gets what mmseg gives it."""
    assert SegDataPreProcessor(**NORMALISED, size=(8, 8)).takes_small_labels
    augmented = SegDataPreProcessor(
        **NORMALISED, size=(8, 8), batch_augments=lambda inputs, samples: (inputs, samples)
    )
    assert not augmented.takes_small_labels


def test_pictures_that_do_not_fit_are_refused_as_by_mmseg():
    preprocessor = SegDataPreProcessor(**NORMALISED, size=(6, 6))
    with pytest.raises(RuntimeError, match='stack expects each tensor to be equal size'):
        preprocessor(batch((3, 8, 8), (3, 6, 6)), training=True)
