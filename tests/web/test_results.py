"""What pages are told of predictions."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from mmseg_custom.inference.prediction import Prediction
from mmseg_custom.inference.region_files import to_geojson
from mmseg_custom.web.results import GONE, LONGEST_SHOWN_SIDE, Results

CLASSES, PALETTE = ('ground', 'roof'), [(10, 20, 30), (200, 100, 0)]


def make(height=20, width=30, name='town/a.jpg') -> Prediction:
    labels = np.zeros((height, width), np.uint8)
    labels[2:6, 3:9] = 1
    confidence = np.full((height, width), 0.5, np.float32)
    confidence[labels == 1] = 0.9
    image = np.full((height, width, 3), 90, np.uint8)
    return Prediction(labels, confidence, CLASSES, PALETTE, name, image)


def pixels(url: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition('base64,')[2]))))


def test_what_is_shown():
    shown = Results().show(make(), 'the title')
    assert (shown['width'], shown['height'], shown['title']) == (30, 20, 'the title')
    assert shown['legend'] == [
        dict(name='ground', colour='#0a141e', share='96.0 %'),
        dict(name='roof', colour='#c86400', share='4.0 %'),
    ]
    assert (pixels(shown['classes'])[3, 4] == PALETTE[1]).all()
    assert (pixels(shown['classes'])[0, 0] == PALETTE[0]).all()
    assert abs(pixels(shown['picture']).astype(int) - 90).max() <= 2


def test_a_large_picture_is_shown_smaller_and_asked_about_whole():
    results, side = Results(), 2 * LONGEST_SHOWN_SIDE
    shown = results.show(make(side, side // 2), '')
    assert (shown['width'], shown['height']) == (LONGEST_SHOWN_SIDE // 2, LONGEST_SHOWN_SIDE)
    point = dict(x=5.5 / (side // 2), y=3.5 / side)
    found = results.region_at(dict(token=shown['token'], **point))
    assert found['name'] == 'roof' and found['outline'] == 'M1.5 1L1.5 3L4.5 3L4.5 1Z'


@pytest.mark.parametrize(
    ('x', 'y', 'name', 'facts'),
    [
        (3.01 / 30, 2.01 / 20, 'roof', 'confidence 90.0 %, 24 pixels, 4.0 % of the picture'),
        (9.01 / 30, 2.01 / 20, 'ground', 'confidence 50.0 %, 576 pixels, 96.0 % of the picture'),
        (1, 1, 'ground', 'confidence 50.0 %, 576 pixels, 96.0 % of the picture'),
        (-5, 7, 'ground', 'confidence 50.0 %, 576 pixels, 96.0 % of the picture'),
    ],
)
def test_the_region_at_a_point(x, y, name, facts):
    results = Results()
    token = results.show(make(), '')['token']
    found = results.region_at(dict(token=token, x=x, y=y))
    assert (found['name'], found['facts']) == (name, facts)


@pytest.mark.parametrize('point', [{}, dict(x='a', y=0), dict(x=None, y=None), dict(x=[], y=1)])
def test_a_point_that_is_none(point):
    results = Results()
    token = results.show(make(), '')['token']
    assert 'expected x and y' in results.region_at(dict(token=token, **point))['error']


def test_files():
    results, prediction = Results(), make()
    token = results.show(prediction, '')['token']
    mask = results.file_of(dict(token=token, kind='mask'))
    assert (mask['name'], mask['type']) == ('a_classes.png', 'image/png')
    picture = Image.open(io.BytesIO(base64.b64decode(mask['base64'])))
    assert picture.mode == 'P' and (np.asarray(picture) == prediction.labels).all()
    regions = results.file_of(dict(token=token, kind='regions'))
    assert regions['name'] == 'a_regions.geojson'
    assert json.loads(base64.b64decode(regions['base64'])) == json.loads(
        json.dumps(to_geojson(prediction))
    )


@pytest.mark.parametrize('asked', [None, [], 'x', {}, dict(token=3), dict(token='guessed')])
def test_no_result_without_its_token(asked):
    results = Results()
    results.show(make(), '')
    assert results.region_at(asked) == results.file_of(asked) == dict(error=GONE)


def test_old_results_make_room():
    results = Results(most_pixels=2 * 600)
    first, second, third = (results.show(make(), '')['token'] for _ in range(3))
    kept = ['error' not in results.file_of(dict(token=t)) for t in (first, second, third)]
    assert kept == [False, True, True]
    large = results.show(make(60, 90), '')['token']
    assert 'error' not in results.file_of(dict(token=large))
    assert 'error' in results.file_of(dict(token=third))


def test_what_is_told_of_a_hostile_picture_is_bounded(monkeypatch):
    """Single pixels; then one region of many holes, in which the others lie."""
    bounds = dict(MOST_REGIONS=100, MOST_CORNERS=500, MOST_OUTLINE_CORNERS=100)
    for name, value in bounds.items():
        monkeypatch.setattr(f'mmseg_custom.web.results.{name}', value)
    y, x = np.mgrid[:60, :60]
    results, confidence = Results(), np.full(y.shape, 0.5, np.float32)
    image = np.zeros((*y.shape, 3), np.uint8)
    for labels, num_regions, num_told in (((x + y) % 2, 3600, 100), ((x % 2) & (y % 2), 901, 99)):
        prediction = Prediction(labels.astype(np.uint8), confidence, CLASSES, PALETTE, '', image)
        token = results.show(prediction, '')['token']
        found = results.region_at(dict(token=token, x=0, y=0))
        is_fine = found['facts'].endswith(' of the picture, too fine an outline to draw')
        assert is_fine == (found['outline'] == '') == (num_regions == 901)
        file = results.file_of(dict(token=token, kind='regions'))
        regions = json.loads(base64.b64decode(file['base64']))
        assert len(regions['features']) == num_told
        assert regions['left_out'] == num_regions - num_told
        assert file['note'].startswith(f'{regions["left_out"]:,} of {num_regions:,} regions')
    monkeypatch.setattr('mmseg_custom.web.results.MOST_SECONDS', -1)
    file = results.file_of(dict(token=token, kind='regions'))
    assert json.loads(base64.b64decode(file['base64']))['features'] == []
