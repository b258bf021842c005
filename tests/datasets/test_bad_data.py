"""Data with a mistake: the doctor and the training name the file and the fix."""

import base64
import io
import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from bad_folders import CASES, SIZE, cut, good_folder, labels, photograph, write
from generated_bands import write_bands
from mmengine.registry import DefaultScope
from PIL import Image

from mmseg_custom.datasets import FolderDataset
from mmseg_custom.datasets.inspection import has_errors, inspect
from mmseg_custom.datasets.inspection.html_report import render
from mmseg_custom.datasets.inspection.image_files import (
    DamagedFileError,
    check_pixels,
    read_header,
)
from mmseg_custom.datasets.inspection.summary import lines
from mmseg_custom.datasets.inspection.totals import Totals
from mmseg_custom.datasets.transforms.load_bands import LoadBandsFromFile
from mmseg_custom.registry import SCOPE, TRANSFORMS
from mmseg_custom.visualization.panels import draw_overlay

HERE = Path(__file__).parent
# A look at a few samples is enough for these.
TRAINED = ('truncated_image', 'size_differs', 'value_outside', 'shifted_by_one', 'duplicate_stems')


@pytest.fixture(scope='module')
def told(tmp_path_factory):
    """Of each case its folder, what was expected, the exit status and the output."""
    folders = {}
    for case in CASES:
        root = good_folder(tmp_path_factory.mktemp('cases') / case.__name__)
        folders[case] = (root, case(root))
    run = subprocess.run(
        [
            sys.executable,
            str(HERE / 'doctor_runs.py'),
            *(str(root) for root, _ in folders.values()),
        ],
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert run.returncode == 0, run.stderr
    results = json.loads(run.stdout.splitlines()[-1])
    return {
        case: (root, *expected, *results[str(root)]) for case, (root, expected) in folders.items()
    }


@pytest.mark.parametrize('case', CASES, ids=lambda case: case.__name__)
def test_the_doctor_names_file_and_fix(case, told):
    _, expected_status, expected, status, output = told[case]
    for text in expected:
        assert text in output, output
    assert status == expected_status, output
    assert 'Traceback' not in output
    weighed = 'class weights: ' in output or 'foreground prior: ' in output
    assert weighed == (status == 0), output
    assert (' weight |' in output) == ('class weights: ' in output), output


class _Page(HTMLParser):
    """The elements that are open, the embedded pictures, and the captions."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.pictures, self.captions, self.linked = [], [], [], []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.linked += [values[key] for key in ('src', 'href') if key in values]
        if tag not in ('meta', 'img', 'br'):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == 'figcaption':
            self.captions.append(data)


def test_the_report_is_one_file_with_samples_and_histogram(told):
    root = told[CASES[0]][0]
    text = root.with_name(f'{root.name}.html').read_text(encoding='utf-8')
    page = _Page()
    page.feed(text)
    assert page.open == []
    assert '<b>' not in text, 'the name of a file became an element'
    assert any(caption.endswith('Straße 1 <b>日本.jpg') for caption in page.captions)
    assert len(page.linked) == len(page.captions) == 6
    assert text.count('class="bar"') == 2 * 3
    assert '<td class="number">1026</td>' in text

    shown = page.linked[page.captions.index(str(root / 'images/train/a0.jpg'))]
    content = base64.b64decode(shown.removeprefix('data:image/jpeg;base64,'))
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    image = np.asarray(Image.open(root / 'images/train/a0.jpg').convert('RGB'))
    facts = FolderDataset(str(root)).metainfo
    wanted = draw_overlay(image, labels(), facts['classes'], facts['palette'])
    assert picture.shape == wanted.shape
    assert np.abs(picture.astype(int) - wanted).mean() < 8, 'another picture, or other labels'


FLAT = np.zeros((SIZE, SIZE, 3), np.uint8)
FLAT[:16], FLAT[16:] = (200, 40, 90), (10, 220, 120)


def _sixteen_bits(path: Path) -> None:
    cv2.imwrite(str(path), FLAT[..., ::-1].astype(np.uint16) * 257)


@pytest.mark.parametrize(
    ('name', 'save'),
    [
        ('cmyk.jpg', lambda path: write(path, Image.fromarray(FLAT).convert('CMYK'), quality=98)),
        ('alpha.png', lambda path: write(path, np.dstack([FLAT, FLAT[..., 0]]))),
        ('palette.png', lambda path: write(path, Image.fromarray(FLAT).quantize(4))),
        ('16bit.png', _sixteen_bits),
        ('16bit.tif', _sixteen_bits),
    ],
)
def test_what_is_converted_has_the_right_colours(tmp_path, name, save):
    save(tmp_path / name)
    with DefaultScope.overwrite_default_scope(SCOPE):
        load = TRANSFORMS.build(dict(type='LoadImageFromFile'))
    image = load({'img_path': str(tmp_path / name)})['img']
    assert image.dtype == np.uint8
    np.testing.assert_allclose(image[..., ::-1].astype(int), FLAT, atol=2)


@pytest.mark.parametrize('stop', [0.02, 0.3, 0.7, 0.99, -3])
@pytest.mark.parametrize('options', [{}, {'progressive': True}])
def test_a_jpeg_that_ends_early_is_found(tmp_path, stop, options):
    path = write(tmp_path / 'a.jpg', photograph(0, 96, 128), quality=90, **options)
    content = path.read_bytes()
    check_pixels(content, read_header(path))
    end = stop if stop < 0 else int(stop * len(content))
    path.write_bytes(content[:end])
    with pytest.raises(DamagedFileError, match=r'damaged|no image'):
        check_pixels(path.read_bytes(), read_header(path))


def test_one_changed_byte_of_a_png_is_found(tmp_path):
    path = write(tmp_path / 'a.png', photograph(0))
    content = bytearray(path.read_bytes())
    content[1000] ^= 255
    with pytest.raises(DamagedFileError, match='damaged'):
        check_pixels(bytes(content), read_header(path))


def test_many_samples_are_inspected_by_several_processes_in_order(tmp_path):
    root = good_folder(tmp_path / 'many', pictures=70)
    cut(root / 'images/train/a7.jpg')
    # OpenCV's threads, which a forked process does not have, must not stop it.
    cv2.setNumThreads(2)
    cv2.GaussianBlur(np.zeros((2000, 2000), np.uint8), (31, 31), 5)
    config = dict(type='FolderDataset', data_root=str(root), pipeline=[])
    alone, _ = inspect({'train': config}, workers=0)
    together, findings = inspect({'train': config}, workers=2)
    paths = [facts.image_path for facts in together[0].samples]
    assert paths == [together[0].dataset.get_data_info(i)['img_path'] for i in range(70)]
    assert [f.problems for f in alone[0].samples] == [f.problems for f in together[0].samples]
    assert [f.digest for f in alone[0].samples] == [f.digest for f in together[0].samples]
    assert 'a7.jpg is truncated' in str(findings[0])
    assert cv2.getNumThreads() == 2


def test_the_members_of_a_mixture_are_told_apart(tmp_path):
    """Their classes are weighed together; an image of both is no leak."""
    members = []
    for number in (2, 3):
        root = good_folder(tmp_path / str(number), number)
        members.append(dict(type='FolderDataset', data_root=str(root), pipeline=[]))
    splits, findings = inspect({'train': dict(datasets=members), 'val': members[0]}, workers=0)
    assert [split.title for split in splits] == ['train, val', 'train']
    splits, findings = inspect({'train': dict(datasets=members)}, workers=0)
    assert [split.title for split in splits] == ['train (1 of 2)', 'train (2 of 2)']
    assert [finding.level for finding in findings] == ['warning']
    text = [*lines(splits, findings)]
    assert text[0].startswith('train (1 of 2): 2 images') and text[1].startswith('train (2 of 2): ')
    assert 'train (1 of 2) images' in text[2] and 'train (2 of 2) images' in text[2]
    weights = Totals.of([*splits[0].samples, *splits[1].samples], 3).weights()
    assert text[3].endswith(f'class_weight=[{",".join(map(str, weights))}]"')


def test_the_report_shows_bands(tmp_path):
    pytest.importorskip('tifffile')
    root = write_bands(tmp_path, {'train': 1}, 32)
    pipeline = [dict(type='LoadBandsFromFile')]
    config = dict(type='FolderDataset', data_root=str(root), pipeline=pipeline)
    page = _Page()
    page.feed(render('bands', *inspect({'train': config}, workers=0)))
    content = base64.b64decode(page.linked[0].removeprefix('data:image/jpeg;base64,'))
    picture = np.asarray(Image.open(io.BytesIO(content)))
    loader = LoadBandsFromFile(rgb_bands=[2, 1, 0])
    image = loader.to_rgb(loader({'img_path': str(root / 'images/train/0.tif')})['img'])
    mask = np.asarray(Image.open(root / 'masks/train/0.png'))
    facts = FolderDataset(str(root)).metainfo
    wanted = draw_overlay(image, mask, facts['classes'], facts['palette'])
    assert picture.shape == wanted.shape
    assert np.abs(picture.astype(int) - wanted).mean() < 10


@pytest.mark.parametrize(('values', 'shifted'), [((0, 1), True), ((0, 1, 2), False)])
def test_zero_that_is_a_class_and_is_ignored(tmp_path, values, shifted):
    root = good_folder(tmp_path / 'data')
    for path in root.glob('masks/train/*.png'):
        write(path, labels(values))
    config = dict(type='FolderDataset', data_root=str(root), pipeline=[], reduce_zero_label=True)
    config['metainfo'] = dict(classes=('background', 'road'))
    (root / 'dataset.yaml').unlink()
    _, findings = inspect({'train': config}, workers=0)
    assert ['reduce_zero_label=False' in str(finding) for finding in findings] == [True] * shifted


@pytest.mark.shared_data
def test_camvid_and_nuclei_have_no_error(shared_data):
    camvid = dict(type='CamVidDataset', data_root=str(shared_data / 'camvid'), pipeline=[])
    datasets = {split: {**camvid, 'split': split, 'indices': 40} for split in ('train', 'val')}
    nuclei = dict(type='FolderDataset', data_root=str(shared_data / 'nuclei'), pipeline=[])
    metainfo = dict(classes=('background', 'nucleus'))
    datasets['nuclei'] = {**nuclei, 'metainfo': metainfo, 'indices': 40}
    splits, findings = inspect(datasets, workers=0)
    assert [len(split.samples) for split in splits] == [40, 40, 40]
    assert not has_errors(findings), findings


@pytest.mark.slow
@pytest.mark.parametrize('case', [c for c in CASES if c.__name__ in TRAINED])
def test_a_training_stops_before_it_begins(case, tmp_path, run_tool):
    """With a line on stderr, and status 2; what the doctor calls an error."""
    root = good_folder(tmp_path / 'data')
    _, expected = case(root)
    options = [f'data_root={root}', 'max_iters=1', 'train_dataloader.num_workers=0']
    config = 'segformer/segformer_mit-b0_folder.py'
    work_dir = ['--work-dir', tmp_path / 'run', '--from-scratch']
    result = run_tool('train.py', config, *work_dir, '--cfg-options', *options)
    assert result.returncode == 2, result.stdout + result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith('error')]
    assert len(lines) == 1 and expected[-1] in lines[0], result.stderr
