"""Half precision and 8-bit integers, from files of one convolution and from a small model."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image
from tiny_models import save_tiny

from mmseg_custom.deployment.onnx_graph import Windows
from mmseg_custom.deployment.quantization import Variants, convert_to_half, quantize
from mmseg_custom.inference.inferencer import Inferencer

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 52, 3)).astype(np.uint8)


def probabilities(path, picture=PICTURE):
    return Inferencer(path, device='cpu', probs=True)(picture).probs


def weights(path):
    return {one.name: numpy_helper.to_array(one) for one in onnx.load(path).graph.initializer}


@pytest.fixture
def folder(tmp_path):
    """Three pictures like the one that is predicted."""
    path = tmp_path / 'pictures'
    path.mkdir()
    for number in range(3):
        noise = np.random.default_rng(number + 1).integers(0, 256, PICTURE.shape)
        Image.fromarray(noise.astype(np.uint8)).save(path / f'{number}.png')
    return path


@pytest.mark.parametrize(
    'options',
    [{}, dict(threshold=0.3), dict(preprocessing=True)],
    ids=['multiclass', 'binary', 'preprocessing'],
)
def test_both_stay_near_and_shrink_the_weights(write_onnx, tmp_path, folder, options):
    source, half, integer = write_onnx(**options), tmp_path / 'half.onnx', tmp_path / 'int8.onnx'
    shown = []
    reports = Variants(half, integer, folder).export(source, [PICTURE], shown.append)
    wanted = probabilities(source)
    for name, path, dtype, allowed in (
        ('fp16', half, np.float16, 5e-3),
        ('int8', integer, np.int8, 0.1),
    ):
        assert dtype in {value.dtype.type for value in weights(path).values() if value.size > 9}
        difference = np.abs(probabilities(path) - wanted).max()
        assert 0 < difference < allowed
        assert reports[name].max_difference == pytest.approx(difference, rel=1e-3)
        assert Inferencer(path).model.metadata == Inferencer(source).model.metadata
    assert 'fp16 against fp32' in shown[0] and 'int8 against fp32' in shown[1]


def test_positions_keep_single_precision(write_onnx, tmp_path):
    """Half precision counts to 2048 only: windows further right would be misplaced."""
    source = write_onnx(windows=Windows((32, 32), (20, 20)))
    convert_to_half(source, tmp_path / 'half.onnx')
    wide = np.random.default_rng(0).integers(0, 256, (33, 2600, 3)).astype(np.uint8)
    difference = probabilities(tmp_path / 'half.onnx', wide) - probabilities(source, wide)
    assert np.abs(difference).max() < 5e-3


def test_what_is_excluded_keeps_its_precision(write_onnx, tmp_path):
    source, target = write_onnx(), tmp_path / 'int8.onnx'
    proto = onnx.load(source)
    for node in proto.graph.node:
        if node.op_type == 'Conv':
            node.name = 'network_conv'
    onnx.save(proto, source)
    inputs = np.random.default_rng(0).normal(size=(1, 3, 32, 32)).astype(np.float32)
    quantize(source, target, [inputs], ['network_'])
    assert weights(target)['weight'].dtype == np.float32
    np.testing.assert_array_equal(probabilities(target), probabilities(source))
    with pytest.raises(ValueError, match='--exclude head: no node has it in its name'):
        quantize(source, target, [inputs], ['head'])


def test_what_cannot_be_made(write_onnx, tmp_path, folder):
    source, target = write_onnx(), tmp_path / 'small.onnx'
    with pytest.raises(ValueError, match=r'small\.onnx needs pictures .* add --calibration FOLDER'):
        Variants(integer=target).check()
    with pytest.raises(FileNotFoundError, match='--calibration absent does not exist'):
        Variants(integer=target, calibration='absent').check()
    with pytest.raises(FileExistsError, match='give --overwrite'):
        Variants(half=source).check()
    with pytest.raises(ValueError, match='no picture to calibrate with'):
        quantize(source, target, [])
    text = tmp_path / 'text.onnx'
    text.write_text('hello')
    with pytest.raises(ValueError, match=r'text\.onnx is not an ONNX file'):
        convert_to_half(text, target)
    proto = onnx.load(source)
    for node in proto.graph.node:
        if node.op_type == 'Conv':
            node.output[0] = 'other'
    onnx.save(proto, source)
    with pytest.raises(ValueError, match=r'is not a file of export_onnx\.py'):
        convert_to_half(source, target)
    assert not target.exists()


def test_what_is_not_a_number_is_not_written(write_onnx, tmp_path):
    source, half = write_onnx(), tmp_path / 'half.onnx'
    proto = onnx.load(source)
    for weight in proto.graph.initializer:
        if weight.name == 'weight':
            spoilt = np.nan * numpy_helper.to_array(weight)
            weight.CopyFrom(numpy_helper.from_array(spoilt, weight.name))
    onnx.save(proto, source)
    with pytest.raises(ValueError, match='is not finite'):
        Variants(half).export(source, [PICTURE], str)
    assert [path.name for path in tmp_path.iterdir()] == [source.name]


@pytest.mark.slow
def test_the_tool_prints_what_is_lost(tmp_path, run_tool, folder):
    config, checkpoint = save_tiny(tmp_path)
    half, integer = tmp_path / 'half.onnx', tmp_path / 'int8.onnx'
    done = run_tool(
        *('deployment/export_onnx.py', config, checkpoint, tmp_path / 'tiny.onnx'),
        *('--data', folder, '--fp16', half, '--int8', integer, '--calibration', folder),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('parity on 3 pictures') == 3
    sizes = [path.stat().st_size for path in (tmp_path / 'tiny.onnx', half, integer)]
    assert sizes[1] < sizes[0]
    wanted = probabilities(tmp_path / 'tiny.onnx')
    assert np.abs(probabilities(half) - wanted).max() < 0.02
    assert np.mean(probabilities(integer).argmax(0) == wanted.argmax(0)) > 0.9
