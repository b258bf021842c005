"""Smaller ONNX files: half precision, and 8-bit integers with calibrated ranges.

Half precision halves the file and is fast where the hardware computes in it: on GPUs. On a CPU
onnxruntime converts to single precision and back, which is slower than the file it came from.

Integers quarter the weights and are fast on CPUs with integer dot products (VNNI, ARM). Only the
products with weights are quantised, convolutions and linear layers: attention's products of two
activations, softmax and norms keep single precision, which costs little time and keeps accuracy.
Ranges of activations are the smallest and the largest value on calibration pictures.
"""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from mmseg_custom.deployment.checked_file import Wanted
from mmseg_custom.deployment.onnx_graph import NETWORK_INPUT, NETWORK_OUTPUT
from mmseg_custom.deployment.parity import ParityReport, compare, probabilities_of
from mmseg_custom.deployment.parity_pictures import spread
from mmseg_custom.inference.inferencer import Inferencer
from mmseg_custom.inference.onnx_model import SUFFIX
from mmseg_custom.inference.pictures import list_pictures
from mmseg_custom.inference.predictor import array_pipeline, pipeline_input, read_image
from mmseg_custom.messages import import_extra
from mmseg_custom.writing import write_atomically

# Products with weights.
INTEGER_OPERATORS = ('Conv', 'Gemm', 'MatMul')
EXTRA = 'deploy'


@dataclass(frozen=True)
class Variants:
    """Which smaller files to write beside an exported one.

    Attributes:
        half: ONNX file in half precision; None leaves it out.
        integer: ONNX file with 8-bit integers; None leaves it out.
        calibration: folder of pictures like those that the model was trained on, for ``integer``.
        excluded: parts of names of nodes that keep single precision in ``integer``.
        overwrite: whether the files may exist.
        num_calibration: how many pictures of ``calibration``, evenly spread.
    """

    half: str | os.PathLike | None = None
    integer: str | os.PathLike | None = None
    calibration: str | os.PathLike | None = None
    excluded: Sequence[str] = ()
    overwrite: bool = False
    num_calibration: int = 32

    def check(self) -> None:
        """Look before the work whether they can be written.

        Raises:
            FileExistsError: a file exists.
            FileNotFoundError: there is no such calibration folder.
            ValueError: ``integer`` has no ``calibration``, or a name does not end with ``.onnx``.
        """
        for target in (self.half, self.integer):
            if target is not None:
                self._wanted(target).check()
        if self.integer and not self.calibration:
            raise ValueError(
                f'{self.integer} needs pictures to measure ranges on; add --calibration FOLDER, '
                'such as the pictures that the model was trained on'
            )
        if self.calibration and not os.path.isdir(self.calibration):
            raise FileNotFoundError(
                f'--calibration {self.calibration} does not exist; expected a folder of pictures'
            )

    def export(
        self,
        source: str | os.PathLike,
        pictures: Iterable[np.ndarray | tuple[np.ndarray, np.ndarray]],
        show: Callable[[str], None] = print,
    ) -> dict[str, ParityReport]:
        """Write them, and say what they lose.

        Args:
            source: ONNX file of export_onnx.py.
            pictures: to compare on, as :func:`~mmseg_custom.deployment.parity.compare` takes them.
            show: gets a report for each file.

        Returns:
            How far each file is from ``source``, by ``'fp16'`` and ``'int8'``; its mIoU difference
            is the loss.

        Raises:
            ValueError: what a file predicts is not finite; the file is not kept.
        """
        self.check()
        if self.half is None and self.integer is None:
            return {}
        source, reports = Path(source), {}
        reference = Inferencer(source, device='cpu', probs=True)
        threshold = reference.model.metadata['threshold']

        def write_integer(path: Path) -> None:
            inputs = calibration_inputs(reference, self.calibration, self.num_calibration)
            quantize(source, path, inputs, self.excluded)

        def compared(path: Path) -> ParityReport:
            both = reference, Inferencer(path, device='cpu', probs=True)
            return compare(*map(probabilities_of, both), pictures, threshold)

        for name, target, write in (
            ('fp16', self.half, lambda path: convert_to_half(source, path)),
            ('int8', self.integer, write_integer),
        ):
            if target is not None:
                wanted = self._wanted(target)
                reports[name] = wanted.write(write, compared, f'{name} against fp32', show)
        return reports

    def _wanted(self, target: str | os.PathLike) -> Wanted:
        """What is lost is the user's to judge; not a number is not."""
        return Wanted(Path(target), SUFFIX, 1, 0, self.overwrite)


def calibration_inputs(
    inferencer: Inferencer, folder: str | os.PathLike, count: int
) -> Iterator[np.ndarray]:
    """Prepare pictures of a folder as an exported file takes them.

    Args:
        inferencer: of the file.
        folder: of pictures.
        count: how many, evenly spread.

    Yields:
        float32 (1, C, H, W); of a file with preprocessing inside uint8 (1, H, W, 3).
    """
    model = inferencer.model
    paths = [path for path, _ in list_pictures(folder)]
    prepare = array_pipeline(model.cfg)
    for index in spread(len(paths), count):
        picture = read_image(model, paths[index])
        if model.metadata['preprocessing'] == 'inside':
            yield picture[None]
            continue
        packed = prepare({'img': pipeline_input(model, picture)})['inputs']
        yield model.data_preprocessor({'inputs': [packed]})['inputs'].numpy()


def convert_to_half(source: Path, target: Path) -> None:
    """Write a file whose network computes in half precision.

    Inputs, outputs and what stands around the network (positions of pixels, class maps) stay as
    they are.

    Args:
        source: ONNX file in single precision.
        target: ONNX file to write, with the metadata of ``source``.

    Raises:
        FileNotFoundError: there is no ``source``.
        ModuleNotFoundError: onnx or onnxconverter-common is missing.
        ValueError: ``source`` is not a file of export_onnx.py.
    """
    model = _load(source)
    helper = import_extra('onnx', EXTRA, target).helper
    converter = import_extra('onnxconverter_common.float16', EXTRA, target)
    nodes = [*model.graph.node]
    first, last = _network_nodes(nodes, source)
    used = {name for node in nodes[first:last] for name in node.input}
    weights, others = [], []
    for tensor in model.graph.initializer:
        (weights if tensor.name in used else others).append(tensor)
    ends = [
        [helper.make_tensor_value_info(name, 1, [f'{name}_{axis}' for axis in range(4)])]
        for name in (NETWORK_INPUT, NETWORK_OUTPUT)
    ]
    network = helper.make_model(
        helper.make_graph(nodes[first:last], 'network', *ends, weights),
        opset_imports=model.opset_import,
        ir_version=model.ir_version,
    )
    half = converter.convert_float_to_float16(network, keep_io_types=True).graph
    for field, values in (
        ('node', [*nodes[:first], *half.node, *nodes[last:]]),
        ('initializer', [*others, *half.initializer]),
        ('value_info', []),
    ):
        model.graph.ClearField(field)
        getattr(model.graph, field).extend(values)
    write_atomically(target, model.SerializeToString())


def _network_nodes(nodes: list, path: Path) -> tuple[int, int]:
    """The first node after ``NETWORK_INPUT``, and one past that of ``NETWORK_OUTPUT``."""
    made = {name: number for number, node in enumerate(nodes) for name in node.output}
    if not {NETWORK_INPUT, NETWORK_OUTPUT} <= made.keys():
        raise ValueError(f'{path} is not a file of export_onnx.py; export the model again')
    return made[NETWORK_INPUT] + 1, made[NETWORK_OUTPUT] + 1


def quantize(
    source: Path,
    target: Path,
    inputs: Iterable[np.ndarray],
    excluded: Sequence[str] = (),
) -> None:
    """Write a file whose convolutions and linear layers multiply 8-bit integers.

    Weights get a scale per output channel.

    Args:
        source: ONNX file in single precision.
        target: ONNX file to write, with the metadata of ``source``.
        inputs: of the file, float32 (1, C, H, W) of any sizes, from pictures like those it will
            see; held one at a time.
        excluded: parts of names of nodes that keep single precision.

    Raises:
        FileNotFoundError: there is no ``source``.
        ModuleNotFoundError: onnx or onnxruntime is missing.
        ValueError: ``source`` is not an ONNX file, or there is no calibration picture.
    """
    model = _load(source)
    quantization = import_extra('onnxruntime.quantization', EXTRA, target)
    inputs = iter(inputs)
    first = next(inputs, None)
    if first is None:
        raise ValueError('no picture to calibrate with; name a folder that has some')
    reader = _Reader(model.graph.input[0].name, chain([first], inputs))
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
            nodes_to_exclude=_nodes_named(prepared, excluded),
            extra_options=dict(
                MatMulConstBOnly=True,
                # A result is rescaled to single precision at once, not rounded to 8 bits.
                OpTypesToExcludeOutputQuantization=list(INTEGER_OPERATORS),
            ),
        )
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
    options.log_severity_level = 3
    runtime.InferenceSession(str(source), options, providers=['CPUExecutionProvider'])
    prepared = _load(target)
    # Otherwise onnxruntime asks for its own preparation, which fails on sizes that are free.
    import_extra('onnxruntime.quantization.quant_utils', EXTRA).add_pre_process_metadata(prepared)
    target.write_bytes(prepared.SerializeToString())


def _nodes_named(path: Path, parts: Sequence[str]) -> list[str]:
    """Names of a file's nodes that contain one of ``parts``.

    Raises:
        ValueError: one is in no name.
    """
    names = [node.name for node in _load(path).graph.node]
    for part in parts:
        if not any(part in name for name in names):
            raise ValueError(f'--exclude {part}: no node has it in its name, such as {names[-1]}')
    return [name for name in names if any(part in name for part in parts)]


class _Reader:
    """What onnxruntime's calibration asks for the next input; see its ``CalibrationDataReader``."""

    def __init__(self, name: str, inputs: Iterator[np.ndarray]) -> None:
        self._name, self._inputs = name, inputs

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next input by name; None after the last."""
        found = next(self._inputs, None)
        return None if found is None else {self._name: found}


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
