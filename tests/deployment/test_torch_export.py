"""Programs of torch.export, loaded from their files, against the network they were made of."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import CLASSES, save_tiny, tiny_model

from mmseg_custom.deployment.checked_file import Wanted
from mmseg_custom.deployment.parity_pictures import Source
from mmseg_custom.deployment.picture_network import PictureNetwork, describe
from mmseg_custom.deployment.torch_export import Pt2Model, export_pt2, write_pt2

SIZES = [(1, 3, 64, 64), (3, 3, 96, 65), (1, 3, 150, 70)]
MODELS = ['segformer_b0', 'segformer_mlp_b0', 'segmenter_vit-t_mask', 'segmenter_vit-t_linear']


@pytest.mark.slow
@pytest.mark.parametrize('name', MODELS)
def test_a_file_for_every_batch_and_size(tmp_path, name):
    network = PictureNetwork(tiny_model(name))
    write_pt2(network, tmp_path / 'tiny.pt2', describe(network.model))
    file = Pt2Model(tmp_path / 'tiny.pt2')
    assert file.metadata['classes'] == list(CLASSES)
    for shape in SIZES:
        images = 255 * torch.rand(shape)
        with torch.inference_mode():
            wanted = network(images)
        assert wanted.std() > 0.01
        torch.testing.assert_close(file(images), wanted, rtol=1e-4, atol=1e-4)
    if name == 'segformer_b0':
        with pytest.raises(
            ValueError, match=r'\(1, 3, 64, 24\) .*pad them to sides of at least 64'
        ):
            file(torch.zeros(1, 3, 64, 24))


ALONE = """
import json, sys, torch, numpy
program = torch.export.load(sys.argv[1])
images = torch.from_numpy(numpy.load(sys.argv[2]))
print(json.dumps(program.module()(images).argmax(1).flatten().tolist()))
assert not {'mmcv', 'mmengine', 'mmseg', 'mmseg_custom'} & {*sys.modules}
"""


@pytest.mark.slow
def test_the_tool_writes_what_a_process_without_this_project_runs(tmp_path, run_tool):
    picture = np.random.default_rng(0).integers(0, 256, (64, 80, 3)).astype(np.uint8)
    (tmp_path / 'pictures').mkdir()
    Image.fromarray(picture).save(tmp_path / 'pictures/a.png')
    config, checkpoint = save_tiny(tmp_path)
    out = tmp_path / 'out.pt2'
    arguments = ('deployment/export_pt2.py', config, checkpoint, out, '--data')
    done = run_tool(*arguments, tmp_path / 'pictures')
    assert done.returncode == 0, done.stderr
    assert 'parity on 1 pictures' in done.stdout and '100.0000 % of the pixels' in done.stdout
    images = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    np.save(tmp_path / 'images.npy', images.numpy())
    command = [sys.executable, '-c', ALONE, str(out), str(tmp_path / 'images.npy')]
    alone = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert alone.returncode == 0, alone.stderr
    with torch.inference_mode():
        wanted = PictureNetwork(tiny_model())(images).argmax(1).flatten()
    assert np.mean(np.array(json.loads(alone.stdout)) == wanted.numpy()) > 0.999
    again = run_tool(*arguments, tmp_path / 'pictures')
    assert again.returncode == 2 and 'out.pt2 exists; choose another name' in again.stderr
    far = run_tool(*arguments, tmp_path / 'pictures', '--overwrite', '--max-difference', '-1')
    assert far.returncode == 1 and 'does not predict what the model does' in far.stderr
    # The file that passed is still there, and nothing beside it.
    assert out.is_file() and not list(tmp_path.glob('.out*'))


def test_what_is_not_such_a_file(tmp_path):
    text, other = tmp_path / 'text.pt2', tmp_path / 'other.pt2'
    text.write_text('hello')
    torch.save({'weight': torch.zeros(1)}, other)
    with pytest.raises(ValueError, match=r'text\.pt2 is not a \.pt2 file; expected one of export'):
        Pt2Model(text)
    with pytest.raises(ValueError, match='does not name its classes'):
        Pt2Model(other)
    with pytest.raises(FileNotFoundError):
        Pt2Model(tmp_path / 'absent.pt2')
    with pytest.raises(
        ValueError, match=r'OUT is .*out\.onnx; expected a name that ends with \.pt2'
    ):
        export_pt2(Source('absent.py'), Wanted(tmp_path / 'out.onnx', '.pt2'))
