"""Smaller ONNX files: half precision, and 8-bit integers with calibrated ranges.

Half precision halves the file and is fast where the hardware computes in it: on GPUs. On a CPU
onnxruntime converts to single precision and back, which is slower than the file it came from.

Integers quarter the weights and are fast on CPUs with integer dot products (VNNI, ARM). Only the
products with weights are quantised, convolutions and linear layers: attention's products of two
activations, softmax and norms keep single precision, which costs little time and keeps accuracy.
Ranges of activations are the smallest and the largest value on calibration pictures.
"""

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np

from mmseg_custom.messages import import_extra
from mmseg_custom.writing import write_atomically

# Products with weights.
INTEGER_OPERATORS = ('Conv', 'Gemm', 'MatMul')
EXTRA = 'deploy'


def convert_to_half(source: Path, target: Path) -> None:
    """Write a file that computes in half precision; inputs and outputs stay single precision.

    Args:
        source: ONNX file in single precision.
        target: ONNX file to write, with the metadata of ``source``.

    Raises:
        FileNotFoundError: there is no ``source``.
        ModuleNotFoundError: onnx or onnxconverter-common is missing.
        ValueError: ``source`` is not an ONNX file.
    """
    model = _load(source)
    converter = import_extra('onnxconverter_common.float16', EXTRA, target)
    half = converter.convert_float_to_float16(model, keep_io_types=True)
    write_atomically(target, half.SerializeToString())


def quantize(
    source: Path,
    target: Path,
    inputs: Iterable[np.ndarray],
    excluded: Iterable[str] = (),
) -> None:
    """Write a file whose convolutions and linear layers multiply 8-bit integers.

    Weights get a scale per output channel.

    Args:
        source: ONNX file in single precision.
        target: ONNX file to write, with the metadata of ``source``.
        inputs: of the file, float32 (1, C, H, W) of any sizes, from pictures like those it will
            see; held one at a time.
        excluded: names of nodes that keep single precision.

    Raises:
        FileNotFoundError: there is no ``source``.
        ModuleNotFoundError: onnx or onnxruntime is missing.
        ValueError: ``source`` is not an ONNX file, or there is no calibration picture.
    """
    model = _load(source)
    quantization = import_extra('onnxruntime.quantization', EXTRA, target)
    reader = _Reader(model.graph.input[0].name, inputs)
    with tempfile.TemporaryDirectory() as folder:
        prepared, written = Path(folder) / 'prepared.onnx', Path(folder) / 'int8.onnx'
        _prepare(source, prepared)
        quantization.quantize_static(
            prepared,
            written,
            reader,
            op_types_to_quantize=list(INTEGER_OPERATORS),
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            nodes_to_exclude=[*excluded],
            extra_options=dict(
                MatMulConstBOnly=True,
                CalibMaxIntermediateOutputs=1,
                # A result is rescaled to single precision at once, not rounded to 8 bits.
                OpTypesToExcludeOutputQuantization=list(INTEGER_OPERATORS),
            ),
        )
        if not reader.count:
            raise ValueError('no picture to calibrate with; name a folder that has some')
        quantized = _load(written)
    del quantized.metadata_props[:]
    quantized.metadata_props.extend(model.metadata_props)
    write_atomically(target, quantized.SerializeToString())


def _prepare(source: Path, target: Path) -> None:
    """Fold constants and fuse, so that weights are seen as weights."""
    runtime = import_extra('onnxruntime', EXTRA, source)
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    runtime.InferenceSession(str(source), options, providers=['CPUExecutionProvider'])


class _Reader:
    """What onnxruntime's calibration asks for the next input; see its ``CalibrationDataReader``."""

    def __init__(self, name: str, inputs: Iterable[np.ndarray]) -> None:
        self.count = 0
        self._name, self._inputs = name, iter(inputs)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next input by name; None after the last."""
        found = next(self._inputs, None)
        if found is None:
            return None
        self.count += 1
        return {self._name: found}


def _load(path: Path):
    """Read an ONNX file."""
    onnx = import_extra('onnx', EXTRA, path)
    if not Path(path).is_file():
        raise FileNotFoundError(f'{path} does not exist')
    protobuf = import_extra('google.protobuf.message', EXTRA, path)
    try:
        return onnx.load(str(path))
    except protobuf.DecodeError as error:
        raise ValueError(f'{path} is not an ONNX file; expected one of export_onnx.py') from error
