"""An ONNX file in the place of a checkpoint: predictions, tools, and what is refused."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image
from tool_modules import load_tool

from mmseg_custom.deployment.onnx_graph import Windows
from mmseg_custom.inference.inferencer import Inferencer
from mmseg_custom.inference.tiles import predict_bands

RESIZE = dict(type='Resize', scale=(120, 60), keep_ratio=True)
SCRIPT = Path(__file__).parents[2] / 'tools/deployment/run_onnx.py'


@pytest.fixture
def blocks():
    """RGB uint8 (61, 90, 3): blocks of random colours, of another mean in each channel."""
    colours = np.random.default_rng(0).integers(0, 200, (7, 10, 3)) + np.array([55, 20, 0])
    return colours.astype(np.uint8).repeat(9, 0).repeat(9, 1)[:61]


@pytest.fixture
def picture_path(tmp_path, blocks):
    path = tmp_path / 'pictures/blocks.png'
    path.parent.mkdir()
    Image.fromarray(blocks).save(path)
    return path


def test_classes_colours_and_regions(write_onnx, blocks):
    prediction = Inferencer(write_onnx(resize=RESIZE))(blocks)
    assert prediction.classes == ('sky', 'road', 'tree', 'car')
    assert list(prediction.palette) == [(128,) * 3, (128, 64, 128), (128, 128, 0), (64, 0, 128)]
    assert sum(region.area for region in prediction.regions) == blocks.shape[0] * blocks.shape[1]
    assert {region.name for region in prediction.regions} <= {*prediction.classes}


def test_the_tool_writes_what_the_inferencer_says(write_onnx, picture_path, tmp_path):
    path = write_onnx(resize=RESIZE, preprocessing=True)
    out = tmp_path / 'out'
    load_tool('predict.py').main([str(path), str(picture_path), '--out-dir', str(out)])
    written = np.asarray(Image.open(out / 'blocks_classes.png'))
    np.testing.assert_array_equal(written, Inferencer(path)(picture_path).labels)


def test_tiles_of_one_size_are_pictures(write_onnx, blocks):
    inferencer = Inferencer(write_onnx())
    picture = np.tile(blocks, (2, 2, 1))[:96, :160]
    bands = predict_bands(
        inferencer.model, lambda *rows: picture[slice(*rows)], (96, 160), (48, 80), 0
    )
    labels = np.concatenate(list(bands))
    np.testing.assert_array_equal(labels[48:, :80], inferencer(picture[48:, :80]).labels)
    np.testing.assert_array_equal(labels[:48, 80:], inferencer(picture[:48, 80:]).labels)


def test_tiles_of_a_file_that_resizes_are_refused(write_onnx, blocks):
    model = Inferencer(write_onnx(resize=RESIZE, preprocessing=True)).model
    with pytest.raises(ValueError, match='tiles would not keep their scale; export it without'):
        next(predict_bands(model, lambda *rows: blocks[slice(*rows)], (61, 90), (32, 32), 0))


def test_the_script_gives_the_same_labels(write_onnx, picture_path, tmp_path):
    """In a process that can import neither this package nor torch."""
    files = [
        write_onnx('plain', resize=RESIZE, windows=Windows((32, 40), (24, 30)), takes_bgr=True),
        write_onnx('stretched', resize={**RESIZE, 'keep_ratio': False}, threshold=0.3),
        write_onnx('inside', resize=RESIZE, preprocessing=True),
    ]
    calls = [[str(path), str(picture_path), str(path.with_suffix(''))] for path in files]
    code = f"""
import runpy, sys
sys.modules['mmseg_custom'] = sys.modules['torch'] = None
for arguments in {calls!r}:
    sys.argv = ['run_onnx.py', *arguments]
    runpy.run_path({str(SCRIPT)!r}, run_name='__main__')
"""
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': ''},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    for path in files:
        labels = np.asarray(Image.open(path.with_name(f'{path.stem}_labels.png')))
        wanted = Inferencer(path)(picture_path)
        np.testing.assert_array_equal(labels, wanted.labels)
        overlay = np.asarray(Image.open(path.with_name(f'{path.stem}_overlay.png')))
        colours = np.array(wanted.palette, np.uint8)[labels]
        np.testing.assert_array_equal(overlay, wanted.image // 2 + colours // 2)


def test_the_script_is_short():
    assert len(SCRIPT.read_text().splitlines()) <= 40


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(weights='x.pth'), r'model\.onnx carries its weights; leave x\.pth out'),
        (dict(tta=True), 'cannot follow --tta; leave it out, or predict with the checkpoint'),
        (dict(half=True), 'cannot follow --amp'),
        (dict(cfg_options=['a=1']), 'cannot follow --cfg-options'),
        (dict(device='cuda:0'), "device='cuda:0', but onnxruntime has .*CPUExecutionProvider"),
    ],
    ids=str,
)
def test_options_that_a_file_cannot_follow(write_onnx, options, message):
    with pytest.raises(ValueError, match=message):
        Inferencer(write_onnx(), **options)


def without_metadata(path):
    proto = onnx.load(path)
    del proto.metadata_props[:]
    onnx.save(proto, path)


@pytest.mark.parametrize(
    ('spoil', 'message'),
    [
        (lambda path: path.write_text('no model'), r'\(8 bytes\) is not an ONNX file that onnxrun'),
        (lambda path: path.write_bytes(path.read_bytes()[:-900]), 'is not an ONNX file'),
        (without_metadata, r"\(input images \['batch', 3, .*\]\) has no metadata 'mmseg_custom'"),
    ],
    ids=['text', 'cut off', 'no metadata'],
)
def test_files_that_are_something_else(write_onnx, spoil, message):
    path = write_onnx()
    spoil(path)
    with pytest.raises(ValueError, match=message):
        Inferencer(path)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda facts: facts.update(task='detection'), "is of the task 'detection'; expected 'sem"),
        (lambda facts: facts.pop('palette'), 'lacks palette; export the file again'),
        (lambda facts: facts.update(config='x = 1'), 'no config with model.data_preprocessor'),
        (lambda facts: facts.clear(), 'lacks task, kind, classes'),
    ],
    ids=['task', 'palette', 'config', 'empty'],
)
def test_metadata_that_does_not_serve(write_onnx, change, message):
    with pytest.raises(ValueError, match=message):
        Inferencer(write_onnx(change=change))


def test_a_file_that_is_not_there():
    with pytest.raises(FileNotFoundError, match='model not_here.onnx does not exist'):
        Inferencer('not_here.onnx')


def test_without_onnxruntime(write_onnx, monkeypatch):
    path = write_onnx()
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "mmseg_custom\[deploy\]"'):
        Inferencer(path)
