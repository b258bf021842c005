"""What holds for the files of every source: recognised, filled in, or refused in one line."""

import copy
import itertools

import pytest
import torch
from generated_weights import ENCODERS, SEGMENTORS, build, segformer, segmenter

from mmseg_custom.checkpoints.loading import load_weights, open_weights

CLASSIFIERS = ('conv_seg.', 'cls_emb', 'mask_norm.')
segmentors = pytest.mark.parametrize('name', SEGMENTORS)
encoders = pytest.mark.parametrize('name', ENCODERS)
every = pytest.mark.parametrize('name', [*SEGMENTORS, *ENCODERS])


def written(name, folder):
    """The function that makes a model's config, and the path of a file for 5 classes."""
    if name in SEGMENTORS:
        config, write = SEGMENTORS[name]
        return config, write(folder, 5)
    config, write = ENCODERS[name]
    return config, write(folder)


def refused(model, path, **options) -> str:
    """The one line with which a file is refused; the model stays as it was."""
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError) as caught:
        load_weights(model, path, show=None, **options)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert '\n' not in str(caught.value)
    return str(caught.value)


def weights_file(path):
    """The file with the tensors."""
    found = [*path.glob('*.safetensors'), *path.glob('*.bin')] if path.is_dir() else [path]
    return found[0]


@segmentors
def test_a_segmentor_fills_its_model(tmp_path, name):
    config, path = written(name, tmp_path)
    report = load_weights(build(config()), path, show=None)
    assert name.startswith(report.description.source)
    assert report.description.num_classes == 5
    assert not (report.new or report.wrong_shape or report.adapted)


@encoders
def test_an_encoder_fills_a_backbone(tmp_path, name):
    config, path = written(name, tmp_path)
    report = load_weights(build(config()), path, new_decoder=True, show=None)
    assert name.startswith(report.description.source) and not report.description.has_decoder
    assert report.new and all(key.startswith('decode_head.') for key in report.new)


@segmentors
def test_a_name_says_nothing(tmp_path, name):
    """Such as that of another source, or no suffix."""
    _, path = written(name, tmp_path)
    wanted = open_weights(path)
    file = weights_file(path)
    for other in ('mit_b5.npz', 'Ti_16'):
        file = file.rename(file.with_name(other))
        assert open_weights(file).state_dict.keys() == wanted.state_dict.keys()


@segmentors
def test_another_number_of_classes(tmp_path, name):
    config, path = written(name, tmp_path)
    message = refused(build(config(num_classes=3)), path)
    assert 'the file has 5 classes, the model 3' in message and 'new_classes=True' in message
    report = load_weights(build(config(num_classes=3)), path, new_classes=True, show=None)
    assert report.new and report.new == report.wrong_shape
    assert all(key.removeprefix('decode_head.').startswith(CLASSIFIERS) for key in report.new)


@every
def test_another_size(tmp_path, name):
    config, path = written(name, tmp_path)
    layers = [1, 1, 2, 1] if config()['backbone']['type'] == 'MixVisionTransformer' else 3
    message = refused(build(config(num_layers=layers)), path, new_decoder=True)
    # Options where the number of attention heads is known, too.
    fixes = ('set model.backbone.num_layers=', 'take a config with that backbone')
    assert ' weights, the model is ' in message and any(fix in message for fix in fixes)


@every
def test_another_family(tmp_path, name):
    config, path = written(name, tmp_path)
    other = segmenter if config()['backbone']['type'] == 'MixVisionTransformer' else segformer
    assert ' weights, the model is ' in refused(build(other()), path, new_decoder=True)


@encoders
def test_an_encoder_is_no_segmentor(tmp_path, name):
    config, path = written(name, tmp_path)
    assert 'the file has no decoder; it can start a training' in refused(build(config()), path)


@every
def test_a_truncated_file(tmp_path, name):
    config, path = written(name, tmp_path)
    file = weights_file(path)
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    message = refused(build(config()), path, new_decoder=True)
    assert f'{file.name} ({file.stat().st_size} bytes) is not a readable checkpoint' in message


@every
def test_something_else_in_its_place(tmp_path, name):
    config, path = written(name, tmp_path)
    weights_file(path).write_text('<html>404 Not Found</html>')
    assert 'is not a readable checkpoint' in refused(build(config()), path, new_decoder=True)


@pytest.mark.parametrize(('name', 'part'), itertools.product(['NVlabs', 'timm'], [0.3, 0.9]))
def test_a_file_without_some_parameters(tmp_path, name, part):
    config, path = written(name, tmp_path)
    content = torch.load(path)
    weights = content.get('state_dict', content)
    keys = [key for key in weights if not key.startswith(('decode_head.conv_seg', 'head.'))]
    del weights[keys[int(part * len(keys))]]
    torch.save(content, path)
    assert 'the file is incomplete' in refused(build(config()), path, new_decoder=True)
