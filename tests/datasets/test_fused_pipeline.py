"""The fused training pipeline against mmseg's transforms, one by one."""

import cv2
import numpy as np
import pytest
import torch
from augmented import (
    CHAIN,
    CROP,
    FLIP,
    PACK,
    PHOTOMETRIC,
    RESIZE,
    fused,
    label_map,
    names,
    one_by_one,
    picture,
    run,
    sample,
)

from mmseg_custom.datasets.transforms.cropped_resize import TOLERANCE, Box, resize_part

SEEDS = range(60)
# A sixth of them each, and left as it is.
TURNS = {**FLIP, 'prob': [0.2, 0.3, 0.2], 'direction': ['horizontal', 'vertical', 'diagonal']}
PAIRED = {**RESIZE, 'scale': [(100, 40), (200, 130)], 'ratio_range': None}


@pytest.mark.parametrize(
    'steps',
    [
        CHAIN[:3],
        [{**RESIZE, 'keep_ratio': False, 'scale': (70, 90)}, CROP, FLIP],
        [PAIRED, {**CROP, 'cat_max_ratio': 1.0}, TURNS],
        [RESIZE, {**CROP, 'cat_max_ratio': 0.4, 'ignore_index': 0}],
        [{**RESIZE, 'ratio_range': (2.0, 5.0)}, CROP, FLIP],
    ],
)
def test_same_pixels(steps):
    """The same seed gives the same labels and facts; of the picture nearly all pixels."""
    stock, ours = one_by_one(steps), fused(steps)
    assert names(ours) == ['FusedAugmentation']
    differences, boxes = [], set()
    for seed in SEEDS:
        expected, expected_next = run(stock, sample(seed % 5), seed)
        results, following = run(ours, sample(seed % 5), seed)
        assert np.array_equal(results['gt_seg_map'], expected['gt_seg_map'])
        assert results['gt_seg_map'].dtype == expected['gt_seg_map'].dtype
        assert np.array_equal(following, expected_next)
        arrays = ('img', 'gt_seg_map')
        assert {k: v for k, v in results.items() if k not in arrays} == {
            k: v for k, v in expected.items() if k not in arrays
        }
        differences.append(np.abs(results['img'].astype(int) - expected['img']).ravel())
        boxes.add(results['scale_factor'])
    differences = np.concatenate(differences)
    assert len(boxes) > 40
    assert differences.max() <= 4
    assert differences.mean() < 0.25 and (differences == 0).mean() > 0.75


def test_same_distortion():
    """With mmseg's photometric distortion, whose own rounding of hue and saturation stays."""
    stock, ours = one_by_one(CHAIN), fused(CHAIN)
    assert names(ours) == ['FusedAugmentation', 'PackSegInputs']
    means = []
    for seed in SEEDS:
        (expected, _), (packed, _) = (run(steps, sample(seed % 5), seed) for steps in (stock, ours))
        difference = (packed['inputs'].int() - expected['inputs'].int()).abs().float()
        assert packed['inputs'].is_contiguous()
        assert difference.max() <= 24
        means.append(difference.mean().item())
        labels = (side['data_samples'].gt_sem_seg.data for side in (packed, expected))
        assert torch.equal(*labels)
        facts = (side['data_samples'].metainfo for side in (packed, expected))
        assert next(facts) == next(facts)
    assert max(means) < 1.5 and np.mean(means) < 0.6


def test_small_labels_are_those_of_mmseg():
    stock, ours = one_by_one(CHAIN), fused(CHAIN, small_labels=True)
    (expected, _), (packed, _) = (run(steps, sample(), 1) for steps in (stock, ours))
    labels = packed['data_samples'].gt_sem_seg.data
    assert labels.dtype == torch.uint8
    assert torch.equal(labels.long(), expected['data_samples'].gt_sem_seg.data)
    assert packed['data_samples'].metainfo == expected['data_samples'].metainfo


@pytest.mark.parametrize('share', [0.74, 0.7499, 0.75, 0.7501, 0.76])
def test_a_share_near_the_limit_is_counted_exactly(share):
    """mmseg takes a crop whose largest class has less than ``cat_max_ratio``."""
    steps = [{**RESIZE, 'ratio_range': (1.0, 1.0), 'scale': (100, 100)}, CROP]
    labels = np.zeros(10_000, np.uint8)
    labels[round(share * 10_000) :] = 1
    labels = np.random.RandomState(0).permutation(labels).reshape(100, 100)
    for seed in range(20):
        full = dict(gt_seg_map=labels, img=picture(0, 100, 100))
        sides = (run(s, sample(**full), seed)[0] for s in (one_by_one(steps), fused(steps)))
        assert np.array_equal(*(side['gt_seg_map'] for side in sides))


@pytest.mark.parametrize(
    'changes',
    [
        dict(img=picture().astype(np.float32)),
        dict(img=np.dstack([picture(), picture()[..., :1]])),
        dict(gt_seg_map=label_map().astype(np.int32).astype(np.uint16)),
        dict(gt_depth_map=label_map(3), seg_fields=['gt_seg_map', 'gt_depth_map']),
        dict(seg_fields=[], gt_seg_map=None),
        dict(gt_seg_map=label_map(0, 128, 170)),
    ],
    ids=['float', 'four bands', '16-bit labels', 'two maps', 'no labels', 'other size'],
)
def test_other_samples_go_through_the_chain(changes):
    steps = [RESIZE, {**CROP, 'cat_max_ratio': 1.0}, FLIP]
    stock, ours = one_by_one(steps), fused(steps)
    for seed in range(4):
        (expected, _), (results, _) = (run(s, sample(**changes), seed) for s in (stock, ours))
        assert results.keys() == expected.keys()
        for key, value in expected.items():
            assert np.array_equal(results[key], value), key


class Mine:
    """A transform of a user's."""

    def __call__(self, results: dict) -> dict:
        return results


LOADING = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
PAD = dict(type='Pad', size=(64, 64))
SHORTEST = dict(type='RandomResize', scale=(9, 9), ratio_range=(1.0, 2.0))
SHORTEST |= dict(resize_type='ResizeShortestEdge', max_size=9)


@pytest.mark.parametrize(
    'steps, expected',
    [
        ([*LOADING, *CHAIN], 'DrawScale {loading} FusedAugmentation PackSegInputs'),
        ([*LOADING, PAD, *CHAIN], '{loading} Pad FusedAugmentation PackSegInputs'),
        ([RESIZE, CROP, Mine(), FLIP, PACK], 'FusedAugmentation Mine RandomFlip PackSegInputs'),
        ([RESIZE, CROP, PHOTOMETRIC, PAD], 'FusedAugmentation Pad'),
        ([RESIZE, Mine(), CROP, FLIP], 'RandomResize Mine RandomCrop RandomFlip'),
        ([dict(type='Resize', scale=(64, 64)), CROP], 'Resize RandomCrop'),
        ([{**RESIZE, 'interpolation': 'bicubic'}, CROP], 'RandomResize RandomCrop'),
        ([SHORTEST, CROP], 'RandomResize RandomCrop'),
        ([RESIZE, CROP, {**FLIP, 'swap_seg_labels': [(1, 2)]}], 'FusedAugmentation RandomFlip'),
        (
            [RESIZE, CROP, {**PHOTOMETRIC, 'hue_delta': 40}],
            'FusedAugmentation PhotoMetricDistortion',
        ),
        ([PACK], 'PackSegInputs'),
        ([], ''),
    ],
)
def test_what_is_fused(steps, expected):
    loading = 'LoadImageFromFile LoadAnnotations'
    assert ' '.join(names(fused(steps))) == expected.format(loading=loading)


def test_a_picture_decoded_at_half_size():
    """The scale is drawn before loading; labels and crop stay those of the whole picture."""
    steps = [{**RESIZE, 'ratio_range': (0.2, 0.5)}, {**CROP, 'crop_size': (16, 20)}, FLIP]
    whole = sample(ori_shape=(128, 170), gt_seg_map=label_map(0, 128, 170))
    whole['img'] = picture(0, 128, 170)
    half = {**whole, 'img': whole['img'][::2, ::2] // 2 + whole['img'][1::2, 1::2] // 2}
    loading = one_by_one(LOADING)
    for step in loading:
        step.transform = lambda results: results
    draw, *_, ours = fused([*loading, *one_by_one(steps)])
    for seed in range(10):
        expected, _ = run(one_by_one(steps), dict(whole), seed)
        np.random.seed(seed)
        target = draw(dict(half))['decode_target']
        resized = [round(side * expected['scale_factor'][0]) for side in (128, 170)]
        assert target[0] == target[1] and abs(min(resized) - target[0]) <= 1
        results, _ = run([draw, ours], dict(half), seed)
        assert np.array_equal(results['gt_seg_map'], expected['gt_seg_map'])
        assert results['scale_factor'] == expected['scale_factor']
        assert np.abs(results['img'].astype(int) - expected['img']).mean() < 4
        two = dict(seg_fields=['gt_seg_map', 'gt_depth_map'], gt_depth_map=whole['gt_seg_map'])
        chained, _ = run([draw, ours], {**half, **two}, seed)
        assert np.array_equal(chained['gt_depth_map'], expected['gt_seg_map'])
        assert chained['img'].shape == expected['img'].shape


def test_parts_of_resized_pictures():
    """Noise, where a shift shows most: a 32nd of a pixel is 8 levels of 255, in both directions."""
    noise = np.random.RandomState(0).randint(0, 256, (60, 90, 3), dtype=np.uint8)
    random = np.random.RandomState(1)
    exact = 0
    for _ in range(300):
        size = tuple(random.randint(20, 400, 2).tolist())
        height, width = random.randint(1, size[1] + 1), random.randint(1, size[0] + 1)
        top = random.randint(0, size[1] - height + 1)
        left = random.randint(0, size[0] - width + 1)
        box = Box(top, left, height, width)
        whole = cv2.resize(noise, size)
        expected = whole[top : top + height, left : left + width].astype(int)
        difference = np.abs(resize_part(noise, size, box) - expected).max()
        assert difference <= 2 * 255 * TOLERANCE + 1
        exact += difference == 0
        if top == left == 0:
            assert difference == 0
    assert exact > 30
