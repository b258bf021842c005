"""The converters' command lines."""

import pytest
import torch
from generated_weights import (
    build,
    save,
    segformer,
    write_augreg,
    write_huggingface,
    write_rstrudel,
)
from reference_networks import NVlabsMiT, RstrudelSegmenter
from tool_modules import load_tool

from mmseg_custom import cli
from mmseg_custom.checkpoints.loading import open_weights


def run(tool: str, *arguments) -> None:
    """Call a converter as ``python tools/model_converters/TOOL.py ARGUMENTS`` does."""
    cli.run(load_tool(f'model_converters/{tool}.py').main, [str(word) for word in arguments])


def sources(folder):
    """A generated file for each converter."""
    save(NVlabsMiT(), folder / 'mit.pth')
    write_augreg(folder / 'vit.npz')
    write_rstrudel(folder / 'run', RstrudelSegmenter('linear'))
    return {'mit2mmseg': 'mit.pth', 'vitjax2mmseg': 'vit.npz', 'segmenter2mmseg': 'run'}


@pytest.mark.parametrize('tool', ['mit2mmseg', 'vitjax2mmseg', 'segmenter2mmseg'])
def test_source_and_target(tmp_path, capsys, tool):
    source, target = tmp_path / sources(tmp_path)[tool], tmp_path / 'new/converted.pth'
    run(tool, source, target)
    printed = capsys.readouterr().out
    assert f'wrote {target}' in printed and 'use it with --cfg-options' in printed
    converted, original = open_weights(target), open_weights(source)
    kept = {k: v for k, v in original.state_dict.items() if not k.startswith('head.')}
    assert converted.state_dict.keys() == kept.keys()
    assert all(torch.equal(converted.state_dict[name], value) for name, value in kept.items())
    assert converted.description.eps == original.description.eps


def test_to_hugging_face_and_back(tmp_path, capsys):
    transformers = pytest.importorskip('transformers')
    folder = write_huggingface(tmp_path / 'theirs', 'SemanticSegmentation', 5)
    theirs = transformers.SegformerForSemanticSegmentation.from_pretrained(folder)
    run('hf2mmseg', tmp_path / 'theirs', tmp_path / 'x.pth')
    assert 'model.decode_head.type=SegformerMLPHead' in capsys.readouterr().out
    options = ('--reduce-zero-label', 'False', '--image-size', 64, 96)
    run('mmseg2hf', tmp_path / 'x.pth', tmp_path / 'again', *options)
    processor = transformers.SegformerImageProcessor.from_pretrained(tmp_path / 'again')
    assert processor.do_reduce_labels is False and processor.size['width'] == 96
    again = transformers.SegformerForSemanticSegmentation.from_pretrained(tmp_path / 'again')
    for name, value in theirs.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_publish(tmp_path, capsys):
    save(build(segformer()), tmp_path / 'x.pth', meta={}, optimizer={})
    run('publish_model', tmp_path / 'x.pth', tmp_path / 'mine.safetensors')
    (written,) = tmp_path.glob('mine-*.safetensors')
    assert f'wrote {written}' in capsys.readouterr().out


def test_mistakes_end_with_one_line(tmp_path, capsys):
    write_rstrudel(tmp_path / 'run', RstrudelSegmenter())
    (tmp_path / 'run/variant.yml').unlink()
    (tmp_path / 'text.pth').write_text('no checkpoint')
    cut = [write_augreg(tmp_path / 'cut.npz'), save(NVlabsMiT(), tmp_path / 'cut.pth')]
    for path in cut:
        path.write_bytes(path.read_bytes()[:-2000])
    target = tmp_path / 'x.pth'
    cases = [
        ('vitjax2mmseg', (cut[0], target), 'is not a readable checkpoint'),
        ('mit2mmseg', (cut[1], target), 'is not a readable checkpoint'),
        ('publish_model', (cut[1], target), 'is not a readable checkpoint'),
        ('hf2mmseg', (write_augreg(tmp_path / 'vit.npz'), target), 'AugReg'),
        ('segmenter2mmseg', (tmp_path / 'run', target), 'needs its variant.yml'),
        ('mit2mmseg', (tmp_path / 'none.pth', target), 'none.pth does not exist'),
        ('mit2mmseg', (tmp_path / 'text.pth', target), 'is not a readable checkpoint'),
        ('mmseg2hf', (tmp_path / 'text.pth', tmp_path / 'new'), 'is not a readable checkpoint'),
        ('vitjax2mmseg', (tmp_path / 'text.pth', tmp_path / 'x.npz'), "cannot write a '.npz' file"),
    ]
    before = sorted(tmp_path.rglob('*'))
    for tool, arguments, text in cases:
        with pytest.raises(SystemExit) as ended:
            run(tool, *arguments)
        assert ended.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith('error: ') and text in line
    assert sorted(tmp_path.rglob('*')) == before, 'something was left behind'


def test_as_a_command(run_tool):
    result = run_tool('model_converters/hf2mmseg.py', '--help')
    assert result.returncode == 0 and 'src' in result.stdout
