"""The page of ``tools/segmenter.py page`` in a real browser, from the choice to a prediction."""

import base64
import io
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from screens import PHONE

from mmseg_custom.datasets import generate_quickstart_dataset
from mmseg_custom.inference.prediction_videos import draw_color, draw_side_by_side
from mmseg_custom.templates.client import App
from mmseg_custom.visualization.curves import points

pytestmark = pytest.mark.slow
SIZE, NUM_TRAIN, NUM_EPOCHS = 64, 16, 2
TRAINING_MS = 400_000
STATUS = '[data-status]'


@pytest.fixture(scope='module')
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('data') / 'shapes'
    return generate_quickstart_dataset(root, dict(train=NUM_TRAIN, val=4, test=2), SIZE)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """Where runs are kept; what still trains in the end is stopped."""
    folder = tmp_path_factory.mktemp('segmenter')
    yield folder
    runs = App(root=folder).runs
    for run in runs.list():
        if not runs.status(run.id).is_final:
            runs.stop(run.id)


@pytest.fixture(scope='module')
def url(serve, root) -> str:
    return serve('segmenter.py', 'page', '--root', root)


def choose(page, data: Path) -> None:
    """Name the folder, and wait for the doctor."""
    field = page.get_by_label('Data set')
    field.fill(str(data))
    field.press('Enter')
    page.get_by_text("The doctor's verdict: ").wait_for()


def fill(page, **values) -> None:
    """Type values into the fields of these names that are seen."""
    for name, value in values.items():
        field = page.get_by_label(name).locator('visible=true').first
        field.fill(str(value))
        field.press('Tab')


def decoded(image) -> np.ndarray:
    """The pixels of an ``img`` with a data URL, RGB uint8 (H, W, 3)."""
    content = base64.b64decode(image.get_attribute('src').partition('base64,')[2])
    return np.asarray(Image.open(io.BytesIO(content)).convert('RGB'))


def test_from_the_choice_to_a_prediction(visit, url, data, root):
    page = visit(url)
    choose(page, data)
    verdict = page.locator('#verdict').inner_text()
    assert 'verdict: 1 warning' in verdict and '1 of 6 classes never occur: cross' in verdict
    page.get_by_text("The doctor's report").click()
    report = page.frame_locator('iframe.report')
    report.get_by_text('Classes in train').wait_for()
    assert f'train: {NUM_TRAIN} images, {SIZE}x{SIZE}' in report.locator('body').inner_text()
    assert page.get_by_role('checkbox').count() == 6

    train = page.get_by_role('button', name='Train', exact=True)
    fill(page, image_size='1, 2, 3', pretrained_weights='None', device='cpu', per_item_lrate=1e-3)
    train.click()
    page.locator('#problem', has_text='image_size').wait_for()
    assert not App(root=root).runs.list()

    fill(page, image_size=SIZE, batch_size=4, num_epochs=NUM_EPOCHS)
    train.click()
    page.locator(STATUS).wait_for()
    page.locator('#curves circle').first.wait_for(state='attached', timeout=TRAINING_MS)
    page.locator('#samples img').first.wait_for(timeout=TRAINING_MS)
    page.locator('[data-status="MODEL-TRAINED"]').wait_for(timeout=TRAINING_MS)

    model = App(root=root).run('run-1')
    params = model.get_params()['train_params']
    assert (params['batch_size'], params['num_epochs'], params['per_item_lrate']) == (
        4,
        NUM_EPOCHS,
        1e-3,
    )
    history = model.history()
    for number, (mode, name) in enumerate([('train', 'loss'), ('val', 'mIoU')]):
        curve = page.locator('#curves figure').nth(number)
        logged = [f'{step}: {value:.6g}' for step, value in points(history, mode, name)]
        curve.locator('title', has_text=logged[-1]).wait_for(state='attached')
        assert curve.locator('title').all_text_contents() == logged
    last = points(history, 'val', 'mIoU')[-1][0]
    page.get_by_text(f'iteration {last}', exact=False).wait_for()
    samples = page.locator('#samples img').all()
    for sample, prediction in zip(samples, model.predict(model.pictures()), strict=True):
        expected = draw_side_by_side(prediction, 0.5)
        # The last checkpoint may just have been saved.
        for _ in range(60):
            if (difference := np.abs(decoded(sample).astype(float) - expected).mean()) < 6:
                break
            page.wait_for_timeout(500)
        assert difference < 6

    page.get_by_role('tab', name='Predict').click()
    picture = data / 'images/test/test_000.jpg'
    page.set_input_files('input[type=file]', picture)
    page.locator('.stage').wait_for()
    (prediction,) = model.predict(picture)
    assert (decoded(page.locator('.stage .classes')) == draw_color(prediction)).all()
    page.locator('.stage').click()
    pattern = re.compile(r'confidence [\d.]+ %, [\d,]+ pixels')
    page.locator('.region', has_text=pattern).wait_for()


def test_each_template_has_its_fields_with_their_bounds(visit, url, root):
    page = visit(url, PHONE)
    app = App(root=root)
    for template in app.templates():
        field = page.get_by_label('Template')
        field.click()
        page.get_by_role('option', name=template, exact=True).click()
        schema = app.create_model('any', template).schema()['properties']
        for name, facts in schema.items():
            part = page.get_by_label(name).locator('visible=true').first
            part.wait_for()
            if facts.get('type') == 'integer' and 'step' in facts and facts['maximum'] < 1000:
                slider = page.get_by_label(f'range slider for {name}').locator('visible=true')
                bounds = [slider.get_attribute(key) for key in ('min', 'max', 'step')]
                known = [facts[key] for key in ('minimum', 'maximum', 'step')]
                assert [float(bound) for bound in bounds] == known
                assert float(slider.input_value()) == facts['default']
    assert page.evaluate('document.documentElement.scrollWidth') <= PHONE[0]


def test_a_folder_that_is_none(visit, url, tmp_path):
    page = visit(url)
    field = page.get_by_label('Data set')
    field.fill(str(tmp_path / 'nowhere'))
    field.press('Enter')
    page.locator('#verdict .error', has_text='nowhere').wait_for()
    page.get_by_role('button', name='Train', exact=True).click()
    page.locator('#problem .error', has_text='nowhere').wait_for()


def test_without_a_browser_the_tests_fail(tmp_path):
    """They are not skipped."""
    words = ['-m', 'pytest', '-m', 'slow', f'{__file__}::{test_a_folder_that_is_none.__name__}']
    done = subprocess.run(
        [sys.executable, *words],
        env={**os.environ, 'PATH': str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and ' 1 error in ' in done.stdout, done.stdout
    assert 'no browser to look at the page with; run: make browser' in done.stdout


def test_pages_of_other_sites_are_refused(url):
    """They could start trainings."""
    for headers, status in (dict(Host='evil.example'), 400), (dict(Origin='http://a.example'), 403):
        request = urllib.request.Request(f'{url}gradio_api/queue/join', b'{}', headers)
        with pytest.raises(urllib.error.HTTPError, match=str(status)):
            urllib.request.urlopen(request, timeout=20)
