import io
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from mmseg_custom.inference.regions import find_regions, region_at

coco = pytest.importorskip('pycocotools.mask')
geometry = pytest.importorskip('shapely')
CLASSES = ('background', 'leaf', 'stem')


def regions_of(labels, confidence=None, **options):
    labels = np.asarray(labels)
    confidence = np.ones(labels.shape, np.float32) if confidence is None else confidence
    return find_regions(labels, confidence, CLASSES, **options).regions


def test_components_and_their_numbers():
    labels = np.zeros((5, 8), np.uint8)
    labels[1:3, 1:4] = 1
    labels[3, 4] = 1  # touches the first at a corner only
    labels[0, 7] = 2
    confidence = np.linspace(0.5, 1, 40).reshape(5, 8)
    background, first, *small = regions_of(labels, confidence)
    assert (background.name, background.area, background.box) == ('background', 32, (0, 0, 8, 5))
    assert (first.name, first.class_index, first.area, first.box) == ('leaf', 1, 6, (1, 1, 3, 2))
    assert first.value == pytest.approx(confidence[1:3, 1:4].mean())
    assert [(region.name, region.box) for region in small] == [
        ('leaf', (4, 3, 1, 1)),
        ('stem', (7, 0, 1, 1)),
    ]
    assert [type(region.value) for region in small] == [float, float]


def test_whole_classes_small_ones_and_left_out_ones():
    labels = np.array([[1, 0, 1, 1], [0, 0, 2, 255]])
    whole = regions_of(labels, whole_classes=True)
    assert [(r.name, r.area, r.box) for r in whole] == [
        ('background', 3, (0, 0, 2, 2)),
        ('leaf', 3, (0, 0, 4, 1)),
        ('stem', 1, (2, 1, 1, 1)),
    ]
    large = regions_of(labels, min_area=2, leave_out=['background'])
    assert [(r.name, r.area) for r in large] == [('leaf', 2)]
    with pytest.raises(ValueError, match="'tree' is no class; expected one of background, leaf"):
        regions_of(labels, leave_out=['tree'])
    with pytest.raises(ValueError, match=r'labels are \(2, 4\) but confidence is \(2, 3\)'):
        regions_of(labels, np.ones((2, 3)))


def test_an_outline_follows_the_edges_of_the_pixels():
    labels = np.zeros((6, 6), np.uint8)
    labels[1:5, 1:5] = 1
    labels[2:4, 2] = 2
    region = next(r for r in regions_of(labels) if r.name == 'leaf')
    ((shell, (hole,)),) = region.polygons
    assert set(shell) == {(1, 1), (5, 1), (5, 5), (1, 5)} and len(shell) == 4
    assert set(hole) == {(2, 2), (3, 2), (3, 4), (2, 4)} and len(hole) == 4


@pytest.mark.parametrize('seed', range(6))
def test_every_form_of_a_region_holds_the_same_pixels(seed):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, (23, 31)).astype(np.uint8)
    if seed % 2:
        labels = labels.repeat(3, 0).repeat(2, 1)
    total = np.zeros(labels.shape, int)
    for region in regions_of(labels, whole_classes=seed == 4):
        mask = region.full_mask
        assert mask.sum() == region.area and (labels[mask] == region.class_index).all()
        total += mask
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(region.mask_png))) > 0, mask)
        np.testing.assert_array_equal(coco.decode(region.rle).astype(bool), mask)
        shapes = [geometry.Polygon(shell, holes) for shell, holes in region.polygons]
        assert all(shape.is_valid for shape in shapes)
        assert sum(shape.area for shape in shapes) == region.area
        rings = [ring for shell, holes in region.polygons for ring in (shell, *holes)]
        assert region.num_corners == sum(map(len, rings))
        x, y, width, height = region.box
        bounds = geometry.MultiPolygon(shapes).bounds
        assert bounds == (x, y, x + width, y + height)
        rows, columns = np.nonzero(mask)
        centres = geometry.points(columns + 0.5, rows + 0.5)
        assert geometry.contains(geometry.MultiPolygon(shapes), centres).all()
    assert (total == 1).all()


@pytest.mark.parametrize('whole_classes', [False, True])
def test_the_largest_of_many(whole_classes):
    generator = np.random.default_rng(0)
    labels, confidence = generator.integers(0, 3, (40, 50)), generator.random((40, 50))
    every = find_regions(labels, confidence, CLASSES, whole_classes=whole_classes)
    assert every.count == len(every.regions) > 2
    for most in (1, 2, 90):
        few = find_regions(labels, confidence, CLASSES, whole_classes=whole_classes, most=most)
        assert few.count == every.count
        for region, wanted in zip(few.regions, every.regions[:most], strict=True):
            assert (region.name, region.box, region.value) == (
                wanted.name,
                wanted.box,
                wanted.value,
            )
            np.testing.assert_array_equal(region.mask, wanted.mask)
    sure = find_regions(labels, confidence, CLASSES, whole_classes=whole_classes, min_value=0.5)
    kept = [region.box for region in every.regions if region.value >= 0.5]
    assert [region.box for region in sure.regions] == kept and sure.count == len(kept)


@pytest.mark.parametrize(
    'labels',
    [
        lambda y, x: (x + y) % 2,
        lambda y, x: np.minimum(np.minimum(x, y), 1023 - np.maximum(x, y)) % 2,
    ],
    ids=['single pixels', 'rings'],
)
def test_a_hostile_picture_costs_what_its_pixels_cost(labels):
    """In memory of numpy's: the masks of the rings within their boxes have 170 MiB."""
    labels = labels(*np.mgrid[:1024, :1024]).astype(np.uint8)
    confidence = np.full(labels.shape, 0.5, np.float32)
    tracemalloc.start()
    try:
        found = find_regions(labels, confidence, CLASSES, most=500)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.count in (512, 1024**2) and len(found.regions) == 500
    assert peak < 100 * labels.size


def test_the_region_of_a_pixel():
    generator = np.random.default_rng(0)
    labels, confidence = generator.integers(0, 2, (20, 30)), generator.random((20, 30))
    for wanted in regions_of(labels, confidence):
        row, column = np.argwhere(wanted.full_mask)[-1]
        found = region_at(labels, confidence, CLASSES, int(row), int(column))
        assert (found.name, found.area, found.box) == (wanted.name, wanted.area, wanted.box)
        assert found.value == pytest.approx(wanted.value)
        np.testing.assert_array_equal(found.mask, wanted.mask)
