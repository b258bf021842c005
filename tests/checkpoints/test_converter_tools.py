"""The converters' command lines, in processes of their own."""

import numpy as np
import pytest
import torch
from generated_weights import augreg_arrays, build, save, segformer, write_rstrudel
from reference_networks import NVlabsMiT, RstrudelSegmenter, TimmViT

from mmseg_custom.checkpoints.loading import open_weights


def sources(folder):
    """A generated file for each converter."""
    save(NVlabsMiT(), folder / 'mit.pth')
    np.savez(folder / 'vit.npz', **augreg_arrays(TimmViT()))
    write_rstrudel(folder / 'run', RstrudelSegmenter('linear'))
    return {'mit2mmseg': 'mit.pth', 'vitjax2mmseg': 'vit.npz', 'segmenter2mmseg': 'run'}


@pytest.mark.parametrize('tool', ['mit2mmseg', 'vitjax2mmseg', 'segmenter2mmseg'])
def test_source_and_target(tmp_path, run_tool, tool):
    source, target = tmp_path / sources(tmp_path)[tool], tmp_path / 'new/converted.pth'
    result = run_tool(f'model_converters/{tool}.py', source, target)
    assert result.returncode == 0, result.stderr
    assert f'wrote {target}' in result.stdout
    assert 'use it with --cfg-options' in result.stdout
    assert open_weights(target).description.family == open_weights(source).description.family


def test_to_hugging_face_and_back(tmp_path, run_tool):
    transformers = pytest.importorskip('transformers')
    config = transformers.SegformerConfig(
        hidden_sizes=[8, 16, 40, 64], depths=[1, 1, 1, 1], decoder_hidden_size=12, num_labels=5
    )
    theirs = transformers.SegformerForSemanticSegmentation(config)
    theirs.save_pretrained(tmp_path / 'theirs')
    result = run_tool('model_converters/hf2mmseg.py', tmp_path / 'theirs', tmp_path / 'x.pth')
    assert result.returncode == 0, result.stderr
    assert 'model.decode_head.type=SegformerMLPHead' in result.stdout
    result = run_tool('model_converters/mmseg2hf.py', tmp_path / 'x.pth', tmp_path / 'again')
    assert result.returncode == 0, result.stderr
    again = transformers.SegformerForSemanticSegmentation.from_pretrained(tmp_path / 'again')
    for name, value in theirs.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_publish(tmp_path, run_tool):
    save(build(segformer()), tmp_path / 'x.pth', meta={}, optimizer={})
    target = tmp_path / 'mine.safetensors'
    result = run_tool('model_converters/publish_model.py', tmp_path / 'x.pth', target)
    assert result.returncode == 0, result.stderr
    (written,) = tmp_path.glob('mine-*.safetensors')
    assert f'wrote {written}' in result.stdout


def test_mistakes_end_with_one_line(tmp_path, run_tool):
    write_rstrudel(tmp_path / 'run', RstrudelSegmenter())
    (tmp_path / 'run/variant.yml').unlink()
    cases = {
        'segmenter2mmseg': (tmp_path / 'run', 'needs its variant.yml'),
        'mit2mmseg': (tmp_path / 'none.pth', 'none.pth does not exist'),
    }
    for tool, (source, text) in cases.items():
        result = run_tool(f'model_converters/{tool}.py', source, tmp_path / 'x.pth')
        assert result.returncode == 2
        (line,) = result.stderr.splitlines()
        assert line.startswith('error: ') and text in line
    assert not (tmp_path / 'x.pth').exists()
