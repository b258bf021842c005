"""The page of ``tools/serve.py`` in a real browser."""

import io
import json
import re
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from screens import PHONE

from mmseg_custom.inference.inferencer import Inferencer
from mmseg_custom.inference.prediction import Prediction
from mmseg_custom.inference.prediction_videos import draw_color
from mmseg_custom.inference.region_files import to_geojson
from mmseg_custom.inference.video import VideoWriter, read_frames
from mmseg_custom.visualization.rendering import blend

pytestmark = pytest.mark.slow
WIDTH, HEIGHT = 480, 320
# Pixels at the rounded corners of the picture, and the most that JPEG may change on average.
CORNER, JPEG_ERROR = 10, 1.5
UPLOAD, STAGE = 'input[type=file]', '.stage'


@pytest.fixture(scope='module')
def picture_path(tmp_path_factory) -> Path:
    """Smooth hills of colour, so that regions are large."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] / 60
    waves = [np.sin(x), np.cos(y), np.sin(x + y)]
    picture = np.stack([127 + 110 * wave for wave in waves], axis=-1).astype(np.uint8)
    path = tmp_path_factory.mktemp('pictures') / 'hills.png'
    Image.fromarray(picture).save(path)
    return path


@pytest.fixture(scope='module')
def inferencers(checkpoints) -> list[Inferencer]:
    return [Inferencer(checkpoint, device='cpu') for checkpoint in checkpoints]


@pytest.fixture(scope='module')
def prediction(inferencers, picture_path) -> Prediction:
    return inferencers[0](picture_path)


@pytest.fixture(scope='module')
def url(serve, checkpoints) -> str:
    return serve('serve.py', checkpoints[0], '--device', 'cpu')


@pytest.fixture
def page(visit, url, picture_path):
    """The page after an upload."""
    page = visit(url)
    page.set_input_files(UPLOAD, picture_path)
    page.wait_for_selector(STAGE)
    return page


def seen(page, number: int = 0) -> np.ndarray:
    """The pixels of a view's picture as the browser shows them, RGB (H, W, 3)."""
    stage = page.locator(STAGE).nth(number)
    stage.locator('img').nth(1).evaluate('image => image.decode()')
    shown = Image.open(io.BytesIO(stage.screenshot())).convert('RGB')
    # One more where it begins between two pixels of the screen.
    assert 0 <= shown.width - WIDTH <= 1 and 0 <= shown.height - HEIGHT <= 1
    return np.asarray(shown, dtype=float)


def difference(shown: np.ndarray, expected: np.ndarray) -> float:
    """Mean difference of pixel values away from the corners."""
    inside = slice(CORNER, -CORNER)
    return min(
        np.abs(shown[top:, left:][:HEIGHT, :WIDTH] - expected)[inside, inside].mean()
        for top in range(shown.shape[0] - HEIGHT + 1)
        for left in range(shown.shape[1] - WIDTH + 1)
    )


def overlay(prediction: Prediction, opacity: float) -> np.ndarray:
    image, labels = prediction.image, prediction.labels
    return blend(image, labels, prediction.palette, opacity, border=0, ignore_index=None)


def test_the_overlay_is_the_inferencers_at_any_opacity(page, prediction):
    assert len(np.unique(prediction.labels)) > 1
    assert difference(seen(page), overlay(prediction, 0.5)) < JPEG_ERROR
    for percent in (100, 20, 0):
        page.get_by_label('Opacity of the classes').fill(str(percent))
        page.get_by_text(f'{percent} %', exact=True).wait_for()
        assert difference(seen(page), overlay(prediction, percent / 100)) < JPEG_ERROR
    assert difference(overlay(prediction, 0.2), overlay(prediction, 0.5)) > 5 * JPEG_ERROR


def test_the_legend_names_the_classes_with_their_shares(page, prediction):
    shares = np.bincount(prediction.labels.ravel(), minlength=3) / prediction.labels.size
    shown = page.locator('.legend li')
    found = {
        line.locator('span').inner_text(): float(line.locator('small').inner_text().strip('% <'))
        for line in shown.all()
    }
    expected = {c: 100 * s for c, s in zip(prediction.classes, shares) if s}
    assert found == pytest.approx(expected, abs=0.05)
    red, green, blue = prediction.palette[int(shares.argmax())]
    swatch = shown.first.locator('i').evaluate('box => getComputedStyle(box).backgroundColor')
    assert swatch == f'rgb({red}, {green}, {blue})'


def test_a_click_tells_the_region(page, prediction):
    largest = prediction.regions[0]
    for region in (largest, next(r for r in prediction.regions if r.name != largest.name)):
        ys, xs = np.nonzero(region.full_mask)
        middle = len(ys) // 2
        page.locator(STAGE).click(position=dict(x=int(xs[middle]) + 0.5, y=int(ys[middle]) + 0.5))
        page.locator('.region b', has_text=region.name).wait_for()
        facts = page.locator('.region').inner_text()
        assert f'confidence {100 * region.value:.1f} %' in facts
        assert f'{region.area:,} pixels' in facts
        path = page.locator('svg path.line').get_attribute('d')
        corners = [corner for shell, _ in region.polygons for corner in shell]
        assert path.startswith(f'M{corners[0][0]} {corners[0][1]}L')
        assert path.count('L') + path.count('M') >= len(corners)


def test_downloads(page, prediction, tmp_path):
    with page.expect_download() as mask:
        page.get_by_text('Mask (PNG)').click()
    assert mask.value.suggested_filename == 'hills_classes.png'
    mask.value.save_as(tmp_path / 'mask.png')
    assert (np.asarray(Image.open(tmp_path / 'mask.png')) == prediction.labels).all()
    with page.expect_download() as regions:
        page.get_by_text('Regions (GeoJSON)').click()
    assert regions.value.suggested_filename == 'hills_regions.geojson'
    regions.value.save_as(tmp_path / 'regions.geojson')
    found = json.loads((tmp_path / 'regions.geojson').read_text())
    assert found == json.loads(json.dumps(to_geojson(prediction)))


def test_two_models_side_by_side(visit, serve, checkpoints, inferencers, picture_path):
    models = [f'first={checkpoints[0]}', f'second={checkpoints[1]}']
    page = visit(serve('serve.py', *models, '--device', 'cpu'))
    page.set_input_files(UPLOAD, picture_path)
    page.locator(STAGE).nth(1).wait_for()
    headings = page.locator('.heading span').all_inner_texts()
    assert headings == ['first', 'second']
    left, right = (page.locator(STAGE).nth(number).bounding_box() for number in (0, 1))
    assert left['y'] == right['y'] and left['x'] + left['width'] <= right['x']
    for number, inferencer in enumerate(inferencers):
        expected = overlay(inferencer(picture_path), 0.5)
        assert difference(seen(page, number), expected) < JPEG_ERROR


@pytest.fixture(scope='module')
def make_video(tmp_path_factory, picture_path):
    """A video of so many frames, 8 a second, in which the hills move."""

    def make(num_frames: int) -> Path:
        picture = np.asarray(Image.open(picture_path))
        path = tmp_path_factory.mktemp('videos') / f'{num_frames}.mp4'
        with VideoWriter(path, 8) as writer:
            for number in range(num_frames):
                writer.write(np.roll(picture, 12 * number, axis=1)[:128, :160])
        return path

    return make


def test_a_short_video(visit, url, inferencers, make_video, tmp_path):
    page, path = visit(url), make_video(5)
    page.set_input_files(UPLOAD, path)
    video = page.locator('video')
    video.wait_for()
    page.wait_for_function('document.querySelector("video").readyState >= 2')
    assert video.evaluate('one => [one.videoWidth, one.videoHeight]') == [160, 128]
    (tmp_path / 'shown.mp4').write_bytes(
        page.request.get(video.evaluate('one => one.currentSrc')).body()
    )
    predictions = list(inferencers[0].stream(path))
    frames = list(read_frames(tmp_path / 'shown.mp4'))
    assert len(frames) == len(predictions) == 5
    for frame, prediction in zip(frames, predictions):
        assert np.abs(frame - overlay(prediction, 0.5).astype(float)).mean() < 8
        assert np.abs(frame - draw_color(prediction).astype(float)).mean() > 20
    assert re.fullmatch(r'5 frames, [\d.]+ per second', page.locator('.heading small').inner_text())
    names = {prediction.classes[label] for label in np.unique([p.labels for p in predictions])}
    assert set(page.locator('.legend li span').all_inner_texts()) == names
    assert not page.locator(STAGE).is_visible()


def test_a_long_video_is_refused(visit, url, make_video):
    page = visit(url)
    page.set_input_files(UPLOAD, make_video(8 * 10 + 1))
    page.get_by_text('the video has more than 80 frames, 10 seconds at 8 a second').wait_for()


def test_what_is_no_picture_is_refused_and_the_next_one_is_shown(
    visit, url, picture_path, tmp_path
):
    page = visit(url)
    (tmp_path / 'page.png').write_text('<script>document.title = "taken"</script>')
    page.set_input_files(UPLOAD, tmp_path / 'page.png')
    page.get_by_text('not a picture; expected JPEG, PNG').wait_for()
    page.get_by_label('Clear').first.click()
    page.set_input_files(UPLOAD, picture_path)
    page.wait_for_selector(STAGE)
    assert page.title() != 'taken'


def test_a_phone_shows_all_of_it(visit, url, picture_path):
    page = visit(url, PHONE)
    page.set_input_files(UPLOAD, picture_path)
    page.wait_for_selector(STAGE)
    assert page.evaluate('document.documentElement.scrollWidth') <= PHONE[0]
    box = page.locator(STAGE).bounding_box()
    assert 0.8 * PHONE[0] < box['width'] <= PHONE[0]
    assert box['width'] / box['height'] == pytest.approx(WIDTH / HEIGHT, rel=0.01)


@pytest.mark.parametrize('path', ['/etc/passwd', '../../etc/passwd', 'http://127.0.0.1:9/a.png'])
def test_a_request_reaches_no_other_file(url, path):
    named = dict(path=path, meta=dict(_type='gradio.FileData'))
    config = json.load(urllib.request.urlopen(f'{url}config'))
    (event,) = [one['id'] for one in config['dependencies'] if one['targets'][0][1] == 'change']
    body = dict(data=[named], fn_index=event, session_hash='tests')
    join = urllib.request.Request(
        f'{url}gradio_api/queue/join',
        json.dumps(body).encode(),
        {'Content-Type': 'application/json'},
    )
    json.load(urllib.request.urlopen(join))
    stream = urllib.request.urlopen(f'{url}gradio_api/queue/data?session_hash=tests', timeout=60)
    lines = (line.decode() for line in stream)
    done = next(line for line in lines if 'process_completed' in line)
    assert json.loads(done.partition('data:')[2])['success'] is False
    assert 'root:' not in done


@pytest.mark.parametrize('route', ['file=', 'file/', 'proxy='])
def test_no_other_host_is_asked(url, route):
    with pytest.raises(urllib.error.HTTPError, match='404'):
        urllib.request.urlopen(f'{url}gradio_api/{route}https://example.org/a.png', timeout=20)


@pytest.mark.parametrize(
    ('headers', 'status'),
    [(dict(Host='evil.example'), 400), (dict(Origin='http://evil.example'), 403)],
    ids=['rebound', 'cross-origin'],
)
def test_pages_of_other_sites_are_refused(url, headers, status):
    for path in ('', 'config', 'gradio_api/info', 'v1/models'):
        with pytest.raises(urllib.error.HTTPError, match=str(status)) as refused:
            urllib.request.urlopen(urllib.request.Request(url + path, headers=headers), timeout=20)
        assert 'Access-Control-Allow-Origin' not in refused.value.headers


def test_a_huge_request_is_refused(url):
    """Not only a huge file."""
    request = urllib.request.Request(f'{url}gradio_api/queue/join', b'{}', method='POST')
    request.add_header('Content-Length', str(2**31))
    with pytest.raises(urllib.error.HTTPError, match='413'):
        urllib.request.urlopen(request, timeout=20)
    assert json.load(urllib.request.urlopen(f'{url}healthz'))['status'] == 'ok'
