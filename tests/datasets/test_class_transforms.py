"""The transforms of a classification: what they cut, erase and change."""

import numpy as np
import pytest

from mmseg_custom.datasets.transforms import RandAugment, RandomErasing, RandomResizedCrop
from mmseg_custom.datasets.transforms.rand_augment import OPERATIONS


@pytest.fixture(autouse=True)
def seed():
    np.random.seed(0)


def picture(height=40, width=60) -> np.ndarray:
    return np.random.default_rng(0).integers(20, 230, (height, width, 3), np.uint8)


def test_crops_have_the_areas_and_aspects_asked_for():
    crop = RandomResizedCrop((32, 32))
    drawn = np.array([crop.draw((400, 600)) for _ in range(500)])
    top, left, height, width = drawn.T
    assert (top >= 0).all() and (top + height <= 400).all()
    assert (left >= 0).all() and (left + width <= 600).all()
    area, aspect = height * width / (400 * 600), width / height
    assert 0.079 < area.min() < 0.12 and area.max() > 0.8
    assert 0.74 < aspect.min() < 0.8 and 1.25 < aspect.max() < 1.35


@pytest.mark.parametrize('size', [(10, 1000), (1000, 10), (1, 1)])
def test_pictures_too_narrow_for_the_aspect_are_cut_in_the_middle(size):
    top, left, height, width = RandomResizedCrop((8, 8)).draw(size)
    assert (top, left) == ((size[0] - height) // 2, (size[1] - width) // 2)
    assert 1 <= height <= size[0] and 1 <= width <= size[1]
    assert RandomResizedCrop((8, 8)).transform({'img': picture(*size)})['img'].shape == (8, 8, 3)


def test_a_crop_of_everything_is_a_resize():
    flat = np.full((40, 60, 3), (10, 20, 30), np.uint8)
    results = RandomResizedCrop((16, 24), area=(1.0, 1.0), aspect=(1.5, 1.5)).transform(
        {'img': flat}
    )
    assert results['img_shape'] == results['img'].shape[:2] == (16, 24)
    assert (results['img'] == (10, 20, 30)).all()
    with pytest.raises(ValueError, match=r'area=\(0, 1\)'):
        RandomResizedCrop((8, 8), area=(0, 1))


def test_erasing_fills_one_rectangle_with_noise():
    original = np.zeros((100, 100, 3), np.uint8)
    shares, values = [], []
    for _ in range(60):
        image = RandomErasing(prob=1.0).transform({'img': original})['img']
        changed = image.any(2)
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        box = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
        shares.append(box / changed.size)
        values.append(image[changed].mean(0))
    assert not original.any(), 'the picture that came in stays as it is'
    assert 0.015 < min(shares) < 0.08 and 0.2 < max(shares) < 0.36
    np.testing.assert_allclose(np.mean(values, 0), (103.53, 116.28, 123.675), atol=4)
    assert RandomErasing(prob=0.0).transform({'img': original})['img'] is original


@pytest.mark.parametrize('name', OPERATIONS)
@pytest.mark.parametrize('share', [0.0, 0.9, 1.0])
def test_every_operation_keeps_size_and_type(name, share):
    image = picture()
    before = image.copy()
    changed = OPERATIONS[name](image, share)
    assert changed.shape == image.shape and changed.dtype == np.uint8
    np.testing.assert_array_equal(image, before)
    unchanged_at_zero = {
        *('rotate', 'solarize', 'solarize_add', 'color', 'contrast', 'brightness', 'sharpness'),
        *('shear_x', 'shear_y', 'translate_x', 'translate_y'),
    }
    if share == 0 and name in unchanged_at_zero:
        np.testing.assert_array_equal(changed, image)
    if share == 0.9:
        assert (changed != image).any()


def test_strengths_grow():
    """As timm's ``inc`` does: the stronger, the further from the picture."""
    ramp = np.linspace(0, 255, 40)[:, None] * np.linspace(0, 1, 60)
    image = ramp[..., None].repeat(3, 2).astype(np.uint8)
    for name in ('rotate', 'posterize', 'solarize', 'solarize_add', 'translate_x', 'brightness'):
        distances = []
        for share in (0.1, 0.9):
            np.random.seed(1)
            changed = OPERATIONS[name](image, share)
            distances.append(np.abs(changed.astype(int) - image).mean())
        assert distances[0] < distances[1], name


def test_rand_augment_applies_some():
    image = picture()
    results = [RandAugment(prob=0.5).transform({'img': image})['img'] for _ in range(40)]
    assert all(found.shape == image.shape for found in results)
    untouched = sum(np.array_equal(found, image) for found in results)
    assert 0 < untouched < 25, 'a quarter stays as it is'
    assert RandAugment(prob=0.0).transform({'img': image})['img'] is image
    with pytest.raises(ValueError, match='magnitude=11; expected 0 to 10'):
        RandAugment(magnitude=11)
