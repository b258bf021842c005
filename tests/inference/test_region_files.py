import base64
import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from mmseg_custom.inference.georeference import Georeference, read_georeference
from mmseg_custom.inference.prediction import Prediction, RegionOptions
from mmseg_custom.inference.region_files import (
    CocoRegions,
    area_rows,
    csv_of,
    to_geojson,
    to_hosted,
)

CLASSES = ('background', 'leaf', 'stem')
PALETTE = ((0, 0, 0), (0, 255, 0), (255, 0, 0))


def prediction(name='plant.png', **options):
    labels = np.zeros((6, 8), np.uint8)
    labels[1:5, 1:5] = 1
    labels[2:4, 2:4] = 0
    labels[0, 6] = labels[5, 6:8] = 2
    confidence = np.where(labels == 1, 0.75, 0.5).astype(np.float32)
    without = RegionOptions(leave_out=['background'])
    return Prediction(labels, confidence, CLASSES, PALETTE, name, options=without, **options)


def test_coco_opens_with_its_own_reader(tmp_path):
    coco = pytest.importorskip('pycocotools.coco')
    path = tmp_path / 'regions.json'
    regions = CocoRegions()
    for name in ('a.png', 'b.png'):
        regions.add(prediction(name))
    path.write_text(json.dumps(regions.content))
    found = coco.COCO(str(path))
    assert [found.imgs[i]['file_name'] for i in (1, 2)] == ['a.png', 'b.png']
    assert {c['id']: c['name'] for c in found.cats.values()} == dict(enumerate(CLASSES, 1))
    of_b = found.loadAnns(found.getAnnIds(imgIds=2))
    assert [(a['category_id'], a['area'], a['bbox'], a['score']) for a in of_b] == [
        (2, 12, [1, 1, 4, 4], 0.75),
        (3, 2, [6, 5, 2, 1], 0.5),
        (3, 1, [6, 0, 1, 1], 0.5),
    ]
    assert len({a['id'] for a in found.anns.values()}) == 6
    np.testing.assert_array_equal(found.annToMask(of_b[0]), prediction().labels == 1)


def test_geojson_of_pixels():
    shapes = pytest.importorskip('shapely.geometry')
    content = json.loads(json.dumps(to_geojson(prediction())))
    assert 'crs' not in content and len(content['features']) == 3
    leaf = content['features'][0]
    assert leaf['properties'] == dict(name='leaf', class_index=1, value=0.75, area_px=12)
    shape = shapes.shape(leaf['geometry'])
    assert shape.is_valid and shape.area == 12 and len(shape.interiors) == 1
    ring = leaf['geometry']['coordinates'][0]
    assert ring[0] == ring[-1]


def test_geojson_of_a_whole_class_has_several_polygons():
    whole = RegionOptions(whole_classes=True)
    base = prediction()
    content = to_geojson(Prediction(base.labels, base.confidence, CLASSES, PALETTE, options=whole))
    kinds = [feature['geometry']['type'] for feature in content['features']]
    assert kinds == ['MultiPolygon', 'Polygon', 'MultiPolygon']


@pytest.mark.parametrize('is_point', [False, True])
def test_geojson_of_a_map(tmp_path, is_point):
    tifffile = pytest.importorskip('tifffile')
    path = tmp_path / 'field.tif'
    keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 2 if is_point else 1, 3072, 0, 1, 32633)
    tags = [
        (33550, 'd', 3, (0.5, 0.25, 0.0), True),
        (33922, 'd', 6, (0.0, 0.0, 0.0, 500000.0, 5000000.0, 0.0), True),
        (34735, 'H', len(keys), keys, True),
    ]
    tifffile.imwrite(path, np.zeros((6, 8, 3), np.uint8), photometric='rgb', extratags=tags)
    reference = read_georeference(path)
    assert reference.epsg == 32633
    shift = (0.25, 0.125) if is_point else (0.0, 0.0)
    content = to_geojson(prediction(source=path))
    assert content['crs']['properties']['name'] == 'urn:ogc:def:crs:EPSG::32633'
    ring = content['features'][0]['geometry']['coordinates'][0]
    xs, ys = zip(*ring)
    assert (min(xs), max(xs)) == (500000.5 - shift[0], 500002.5 - shift[0])
    assert (min(ys), max(ys)) == (5000000 - 1.25 + shift[1], 5000000 - 0.25 + shift[1])
    plain = tmp_path / 'plain.tif'
    tifffile.imwrite(plain, np.zeros((6, 8, 3), np.uint8), photometric='rgb')
    assert read_georeference(plain) is None


def test_a_rotated_map():
    turned = Georeference((0.0, 2.0, 10.0, 3.0, 0.0, 20.0))
    assert turned.to_map([(1, 0), (0, 1)]) == [[10.0, 23.0], [12.0, 20.0]]


def test_the_hosted_shape():
    regions = to_hosted(prediction())['regions']
    assert [region['data']['concepts'] for region in regions] == [
        [dict(name='leaf', value=0.75)],
        *[[dict(name='stem', value=0.5)]] * 2,
    ]
    png = base64.b64decode(regions[0]['region_info']['mask']['image']['base64'])
    mask = np.asarray(Image.open(io.BytesIO(png)))
    np.testing.assert_array_equal(mask, np.where(prediction().labels == 1, 255, 0))


def test_areas():
    text = csv_of([*area_rows(prediction('a,b.png')), *area_rows(prediction())])
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row['picture'] for row in rows] == ['a,b.png'] * 2 + ['plant.png'] * 2
    assert rows[1] == dict(
        picture='a,b.png',
        **{'class': 'stem', 'class_index': '2'},
        **dict(regions='2', area_px='3', share_percent='6.2500', value='0.5000'),
    )
