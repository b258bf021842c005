"""Our test pipeline beside Hugging Face's image processor on the same pictures."""

import json

import numpy as np
import pytest
import torch
from generated_weights import build, segformer
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from PIL import Image
from torch.nn import functional

from mmseg_custom.checkpoints.image_processor import (
    ImageProcessor,
    from_pipeline,
    post_process_semantic_segmentation,
    read_processor,
    to_pipeline,
    write_processor,
)
from mmseg_custom.registry import MODELS, SCOPE, register_all

transformers = pytest.importorskip('transformers')

# Of nvidia/segformer-b0-finetuned-ade-512-512.
ADE20K = {
    'do_normalize': True,
    'do_resize': True,
    'feature_extractor_type': 'SegformerFeatureExtractor',
    'image_mean': [0.485, 0.456, 0.406],
    'image_std': [0.229, 0.224, 0.225],
    'reduce_labels': True,
    'resample': 2,
    'size': 512,
}


def theirs_for(config: dict):
    from transformers.models.segformer.image_processing_pil_segformer import (
        SegformerImageProcessorPil,
    )

    return SegformerImageProcessorPil(**config)


def prepare(processor: ImageProcessor, picture: np.ndarray, path) -> torch.Tensor:
    """Run our pipeline and data preprocessor on an RGB picture (H, W, 3)."""
    register_all()
    Image.fromarray(picture).save(path)
    steps, normalisation = to_pipeline(processor)
    with DefaultScope.overwrite_default_scope(SCOPE):
        steps = [step for step in steps if step['type'] != 'LoadAnnotations']
        packed = Compose(steps)({'img_path': str(path)})
        preprocessor = MODELS.build(dict(type='SegDataPreProcessor', **normalisation))
        batch = {'inputs': [packed['inputs']], 'data_samples': [packed['data_samples']]}
        return preprocessor(batch)['inputs'][0]


@pytest.fixture
def picture():
    """RGB uint8 (90, 120, 3), smooth with some noise."""
    generator = np.random.default_rng(0)
    coarse = Image.fromarray(generator.integers(0, 256, (9, 12, 3), np.uint8))
    noise = generator.integers(-8, 8, (90, 120, 3))
    smooth = np.asarray(coarse.resize((120, 90), Image.Resampling.BICUBIC)).astype(int)
    return (smooth + noise).clip(0, 255).astype(np.uint8)


def test_pixels_are_the_same_without_resizing(tmp_path, picture):
    config = {**write_processor(read_processor(ADE20K)), 'do_resize': False}
    wanted = theirs_for(config)(picture, return_tensors='pt')['pixel_values'][0]
    ours = prepare(read_processor(config), picture, tmp_path / 'x.png')
    assert ours.shape == wanted.shape == (3, 90, 120)
    assert (ours - wanted).abs().max() < 2e-6


def test_pixels_after_resizing(tmp_path, picture, record_property):
    config = write_processor(read_processor({**ADE20K, 'size': {'height': 64, 'width': 96}}))
    wanted = theirs_for(config)(picture, return_tensors='pt')['pixel_values'][0]
    ours = prepare(read_processor(config), picture, tmp_path / 'x.png')
    assert ours.shape == wanted.shape == (3, 64, 96)
    difference = (ours - wanted).abs().max().item()
    record_property('largest difference after resizing', difference)
    # Both resize with Pillow; what OpenCV's bilinear filter gives is far away.
    assert difference < 2e-6
    cv2 = pytest.importorskip('cv2')
    other = cv2.resize(picture, (96, 64), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    other = (other - 255 * np.float32([0.485, 0.456, 0.406])) / (
        255 * np.float32(config['image_std'])
    )
    assert np.abs(other.transpose(2, 0, 1) - wanted.numpy()).max() > 0.02


def test_labels_are_reduced_as_there(tmp_path, picture):
    labels = np.random.default_rng(0).integers(0, 151, (90, 120), np.uint8)
    config = {**write_processor(read_processor(ADE20K)), 'do_resize': False}
    wanted = theirs_for(config)(picture, labels, return_tensors='pt')['labels'][0]
    steps, _ = to_pipeline(read_processor(config))
    Image.fromarray(labels).save(tmp_path / 'labels.png')
    Image.fromarray(picture).save(tmp_path / 'x.png')
    results = {
        'img_path': str(tmp_path / 'x.png'),
        'seg_map_path': str(tmp_path / 'labels.png'),
        'reduce_zero_label': True,
        'seg_fields': [],
    }
    register_all()
    with DefaultScope.overwrite_default_scope(SCOPE):
        packed = Compose(steps)(results)
    assert torch.equal(packed['data_samples'].gt_sem_seg.data[0], wanted)


@pytest.mark.parametrize(
    'config',
    [
        ADE20K,
        {'do_resize': False, 'do_rescale': False, 'image_mean': [1, 2, 3], 'image_std': [4, 5, 6]},
        {'size': {'height': 100, 'width': 50}, 'do_normalize': False, 'resample': 3},
        {},
    ],
)
def test_there_and_back(config):
    processor = read_processor(json.loads(json.dumps(config)))
    steps, normalisation = to_pipeline(processor)
    again = from_pipeline(steps, normalisation)
    for one in (again, read_processor(write_processor(processor))):
        assert one.mean == pytest.approx(processor.mean, abs=1e-6)
        assert one.std == pytest.approx(processor.std, abs=1e-6)
        assert (one.size, one.interpolation) == (processor.size, processor.interpolation)
        assert one.reduce_labels == processor.reduce_labels


def test_a_projects_pipeline():
    steps = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=(2048, 512), keep_ratio=True),
        dict(type='LoadAnnotations', reduce_zero_label=True),
    ]
    processor = from_pipeline(steps, segformer()['data_preprocessor'])
    assert processor.size is None and processor.reduce_labels
    with pytest.raises(ValueError, match='needs data_preprocessor.mean and std of RGB pictures'):
        from_pipeline(steps, dict(mean=[1, 1, 1], std=[1, 1, 1]))


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        ({'size': {'shortest_edge': 512}}, 'expected a number or height and width'),
        ({'resample': 9}, 'resample=9, expected one of'),
        ({'do_center_crop': True}, 'do_center_crop'),
    ],
)
def test_processors_of_other_networks(config, message):
    with pytest.raises(ValueError, match=message):
        read_processor(config)


def test_class_maps_are_the_same_on_three_sizes():
    model = build(segformer())
    with torch.no_grad():
        logits = model(torch.randn(3, 3, 64, 64), mode='tensor')
    from transformers.modeling_outputs import SemanticSegmenterOutput

    outputs = SemanticSegmenterOutput(logits=logits)
    sizes = [(64, 64), (100, 37), (16, 16)]
    processor = theirs_for({})
    wanted = processor.post_process_semantic_segmentation(outputs, sizes)
    for given, targets in ((outputs, sizes), (logits, torch.tensor(sizes))):
        maps = post_process_semantic_segmentation(given, targets)
        assert [tuple(one.shape) for one in maps] == sizes
        assert all(torch.equal(one, want) for one, want in zip(maps, wanted, strict=True))
    plain = post_process_semantic_segmentation(logits)
    assert torch.equal(torch.stack(plain), logits.argmax(dim=1))
    resized = functional.interpolate(logits[1:2], (100, 37), mode='bilinear')
    assert torch.equal(wanted[1], resized[0].argmax(dim=0))
    with pytest.raises(ValueError, match='got 2 for 3'):
        post_process_semantic_segmentation(logits, sizes[:2])
