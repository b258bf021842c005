"""LiteRT files; what converts needs the environment of ``make test-litert``."""

import json
import zipfile
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import CLASSES, save_tiny, tiny_model
from tool_modules import load_tool

from mmseg_custom.deployment.checked_file import Wanted
from mmseg_custom.deployment.litert import LiteRTModel, export_litert, read_metadata
from mmseg_custom.deployment.parity_pictures import Source
from mmseg_custom.deployment.picture_network import PictureNetwork
from mmseg_custom.inference.inferencer import Inferencer

HAS_CONVERTER = find_spec('litert_torch') is not None
converts = pytest.mark.skipif(not HAS_CONVERTER, reason='no litert-torch: make test-litert')
SIZE = (64, 96)
PICTURE = np.random.default_rng(0).integers(0, 256, (*SIZE, 3)).astype(np.uint8)


def test_what_is_not_such_a_file(tmp_path):
    text, other = tmp_path / 'text.tflite', tmp_path / 'other.tflite'
    text.write_text('hello, world')
    other.write_bytes(b'\x1c\0\0\0TFL3' + bytes(100))
    with pytest.raises(ValueError, match=r'text\.tflite is not a LiteRT file'):
        read_metadata(text)
    with pytest.raises(ValueError, match='does not name its classes, so it is of another task'):
        LiteRTModel(other)
    with pytest.raises(FileNotFoundError):
        LiteRTModel(tmp_path / 'absent.tflite')
    with zipfile.ZipFile(other, 'a') as archive:
        archive.writestr('metadata.json', json.dumps({'classes': ['a']}))
    assert read_metadata(other) == {'classes': ['a']}


@pytest.mark.skipif(HAS_CONVERTER, reason='the converter is installed')
def test_without_the_converter_the_line_that_installs_it(tmp_path):
    wanted = Wanted(tmp_path / 'out.tflite', '.tflite')
    with pytest.raises(ModuleNotFoundError, match=r'pip install "mmseg_custom\[litert\]"'):
        export_litert(Source('absent.py'), wanted, SIZE)


@pytest.fixture(scope='module')
def exported(tmp_path_factory, run_tool):
    """Folder with a small model, a picture, and the files made of them."""
    folder = tmp_path_factory.mktemp('litert')
    (folder / 'pictures').mkdir()
    Image.fromarray(PICTURE).save(folder / 'pictures/a.png')
    config, checkpoint = save_tiny(folder)
    for out in ('tiny.tflite', 'saved_model'):
        done = run_tool(
            *('deployment/export_litert.py', config, checkpoint, folder / out),
            *('--size', *SIZE, '--data', folder / 'pictures'),
        )
        assert done.returncode == 0, done.stderr
        assert 'parity on 1 pictures' in done.stdout and 'stretched to 96x64' in done.stdout
    return folder


@converts
@pytest.mark.slow
def test_a_file_gives_the_models_logits(exported):
    file, network = LiteRTModel(exported / 'tiny.tflite'), PictureNetwork(tiny_model())
    assert file.size == SIZE and file.metadata['classes'] == list(CLASSES)
    images = torch.from_numpy(PICTURE).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        wanted = network(images)
    torch.testing.assert_close(file(images), wanted, rtol=1e-3, atol=1e-3)


@converts
@pytest.mark.slow
def test_tensorflow_serves_the_same(exported):
    tensorflow = pytest.importorskip('tensorflow')
    loaded = tensorflow.saved_model.load(str(exported / 'saved_model'))
    images = tensorflow.constant(PICTURE[None].astype(np.float32))
    given = loaded.signatures['serving_default'](images=images)['logits'].numpy()
    with torch.inference_mode():
        network = PictureNetwork(tiny_model())
        wanted = network(torch.from_numpy(PICTURE).permute(2, 0, 1)[None].float())
    np.testing.assert_allclose(given, wanted.permute(0, 2, 3, 1), rtol=1e-3, atol=1e-3)
    about = json.loads((exported / 'saved_model/assets.extra/metadata.json').read_text())
    assert about['classes'] == list(CLASSES)


@converts
@pytest.mark.slow
def test_the_script_that_stands_alone_gives_the_inferencers_labels(exported, capsys):
    mask, picture = exported / 'mask.png', exported / 'pictures/a.png'
    script = load_tool('deployment/run_litert.py')
    script.main(str(exported / 'tiny.tflite'), str(picture), str(mask))
    config, checkpoint = (str(exported / f'segformer_b0.{suffix}') for suffix in ('py', 'pth'))
    wanted = Inferencer(config, checkpoint, 'cpu')(picture).labels
    assert len(np.unique(wanted)) > 1
    assert np.mean(np.asarray(Image.open(mask)) == wanted) > 0.999
    assert f'{CLASSES[0]}: {(wanted == 0).mean():.1%}' in capsys.readouterr().out
    assert not [name for name in vars(script) if name.startswith(('torch', 'mm'))]


@converts
@pytest.mark.slow
@pytest.mark.parametrize(
    'name', ['segformer_mlp_b0', 'segmenter_vit-t_mask', 'segmenter_vit-t_linear']
)
def test_every_head_converts(tmp_path, name):
    (tmp_path / 'pictures').mkdir()
    Image.fromarray(PICTURE).save(tmp_path / 'pictures/a.png')
    wanted = Wanted(tmp_path / 'out.tflite', '.tflite')
    report = export_litert(Source(*save_tiny(tmp_path, name), tmp_path / 'pictures'), wanted, SIZE)
    assert report.max_difference < 1e-4 and report.label_agreement > 0.999
