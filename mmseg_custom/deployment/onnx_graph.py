"""What stands around the network in an ONNX file: preprocessing, windows, class maps.

torch exports the network. What depends on sizes in ways that it cannot trace is written here in
nodes of ONNX, so that one file is right for every size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 18
NETWORK_INPUT, NETWORK_OUTPUT = 'network_images', 'head_logits'
# Fixed-point weights of OpenCV's bilinear resizing of 8-bit pictures.
_WEIGHT_ONE = 2048


@dataclass(frozen=True)
class Windows:
    """Sliding windows of a test: (height, width) in pixels of each, and between two of them."""

    size: tuple[int, int]
    stride: tuple[int, int]


@dataclass(frozen=True)
class Resize:
    """mmcv's ``Resize``, bilinear: to ``scale`` (width, height), or as large as fits into it."""

    scale: tuple[int, int]
    keep_ratio: bool


@dataclass(frozen=True)
class Surroundings:
    """What an ONNX file does besides the network.

    Attributes:
        in_channels: of the network.
        num_classes: K.
        threshold: of one output channel for two classes; None for one channel per class.
        align_corners: as in the head.
        windows: None where the network sees whole pictures.
        preprocessing: whether the file takes pictures instead of normalised images.
        resize: of pictures; None keeps their size.
        mean: subtracted, one per channel in the network's order; None normalises nothing.
        std: by which is divided then.
        takes_bgr: whether the network's order is blue, green, red.
    """

    in_channels: int
    num_classes: int
    threshold: float | None
    align_corners: bool
    windows: Windows | None = None
    preprocessing: bool = False
    resize: Resize | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    takes_bgr: bool = False


class Nodes:
    """Nodes in the making: ``nodes('Add', a, b)`` returns the name of the sum.

    Inputs are names of values, or numpy numbers and arrays, which become constants.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def __call__(self, op_type: str, *inputs, output: str | None = None, **attributes) -> str:
        names = [one if isinstance(one, str) else self._constant(one) for one in inputs]
        name = f'{self.prefix}_{len(self.nodes)}_{op_type}'
        output = output or name
        self.nodes.append(helper.make_node(op_type, names, [output], name, **attributes))
        return output

    def _constant(self, value: np.generic | np.ndarray) -> str:
        name = f'{self.prefix}_constant_{len(self.constants)}'
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def cast(self, value: str, dtype: str) -> str:
        """Convert to a type such as ``'FLOAT'``."""
        return self('Cast', value, to=getattr(TensorProto, dtype))

    def side(self, value: str, axis: int) -> str:
        """The length of an axis: an int64 number."""
        return self('Squeeze', self('Shape', value, start=axis, end=axis + 1))

    def count(self, stop: str, dtype: str = 'INT64') -> str:
        """0, 1, ... up to ``stop``, without it."""
        return self.cast(self('Range', np.int64(0), stop, np.int64(1)), dtype)

    def shape(self, *sides: str | int) -> str:
        """A shape from numbers and names of numbers."""
        parts = [
            self('Unsqueeze', one, np.array([0])) if isinstance(one, str) else np.array([one])
            for one in sides
        ]
        return self('Concat', *parts, axis=0)

    def clip(self, value: str, low: np.generic, high: str | np.generic) -> str:
        """Limit integers to ``low`` .. ``high``."""
        return self('Min', self('Max', value, low), high)


def surround(network: onnx.ModelProto, around: Surroundings) -> onnx.ModelProto:
    """Put nodes before and after a network.

    Args:
        network: from ``NETWORK_INPUT``, float32 (windows, C_in, h, w), to ``NETWORK_OUTPUT``,
            float32 (windows, C, h', w'); it is changed.
        around: what they do.

    Returns:
        A model with one input: ``images``, float32 (batch, C_in, height, width), normalised; or
        with preprocessing ``pictures``, uint8 (batch, height, width, 3), RGB. Its outputs, at the
        size of the input: ``labels``, uint8 (batch, height, width), int64 for more than 256
        classes; ``probabilities``, float32 (batch, K, height, width); ``logits``, float32 of
        shape (batch, C, height, width), C = 1 for one output channel; and without preprocessing
        ``head_logits``, the network's output.
    """
    before, after = Nodes('before'), Nodes('after')
    images = _prepare(before, around) if around.preprocessing else 'images'
    size = [before.side(images, axis) for axis in (2, 3)]
    if around.windows is None:
        before('Identity', images, output=NETWORK_INPUT)
        logits = _resize(after, NETWORK_OUTPUT, size, around.align_corners)
    else:
        axes = [
            _cover(before, *one) for one in zip(size, around.windows.size, around.windows.stride)
        ]
        _cut(before, images, axes)
        batch = before.side(images, 0)
        logits = _merge(after, batch, size, axes, around.align_corners)
    if around.resize is not None:
        size = [after.side('pictures', axis) for axis in (1, 2)]
        _resize(after, logits, size, around.align_corners)
    # The last node makes the logits; an Identity would copy them.
    after.nodes[-1].output[0] = 'logits'
    _classify(after, around)
    graph = network.graph
    nodes = [*before.nodes, *graph.node, *after.nodes]
    graph.ClearField('node')
    graph.node.extend(nodes)
    graph.initializer.extend([*before.constants, *after.constants])
    graph.ClearField('value_info')
    _declare(graph, around)
    return network


def _declare(graph: onnx.GraphProto, around: Surroundings) -> None:
    """Name the inputs and outputs with their types and shapes."""
    info, float32, plane = helper.make_tensor_value_info, TensorProto.FLOAT, ['height', 'width']
    channels = around.num_classes if around.threshold is None else 1
    labels = TensorProto.UINT8 if around.num_classes <= 256 else TensorProto.INT64
    inputs = [info('images', float32, ['batch', around.in_channels, *plane])]
    outputs = [
        info('labels', labels, ['batch', *plane]),
        info('probabilities', float32, ['batch', around.num_classes, *plane]),
        info('logits', float32, ['batch', channels, *plane]),
    ]
    if around.preprocessing:
        inputs = [info('pictures', TensorProto.UINT8, ['batch', *plane, 3])]
    else:
        own = ['windows', channels, 'head_height', 'head_width']
        outputs.append(info(NETWORK_OUTPUT, float32, own))
    for field, values in (('input', inputs), ('output', outputs)):
        graph.ClearField(field)
        getattr(graph, field).extend(values)


def _prepare(n: Nodes, around: Surroundings) -> str:
    """From ``pictures`` to normalised images, as mmcv's ``Resize`` and the preprocessor do."""
    pixels = n.cast('pictures', 'INT32')
    if around.resize is not None:
        sides = [n.side('pictures', axis) for axis in (1, 2)]
        pixels = _opencv_resize(n, pixels, sides, _resized_sides(n, sides, around.resize))
    images = n('Transpose', n.cast(pixels, 'FLOAT'), perm=[0, 3, 1, 2])
    if around.takes_bgr:
        images = n('Gather', images, np.array([2, 1, 0]), axis=1)
    if around.mean is None:
        return images
    mean, std = (np.array(one, np.float32).reshape(-1, 1, 1) for one in (around.mean, around.std))
    return n('Div', n('Sub', images, mean), std)


def _resized_sides(n: Nodes, sides: Sequence[str], resize: Resize) -> list[str]:
    """Height and width after resizing, rounded as mmcv rounds them, at least 1."""
    if not resize.keep_ratio:
        return [n('Identity', np.int64(side)) for side in resize.scale[::-1]]
    real = [n.cast(side, 'DOUBLE') for side in sides]
    ratio = n(
        'Min',
        n('Div', np.float64(max(resize.scale)), n('Max', *real)),
        n('Div', np.float64(min(resize.scale)), n('Min', *real)),
    )
    rounded = [n('Add', n('Mul', side, ratio), np.float64(0.5)) for side in real]
    return [n('Max', n.cast(side, 'INT64'), np.int64(1)) for side in rounded]


def _opencv_resize(n: Nodes, pixels: str, sides: Sequence[str], new_sides: Sequence[str]) -> str:
    """Resize int32 pictures (N, H, W, 3) to the numbers of OpenCV's 8-bit ``INTER_LINEAR``.

    Source: ``modules/imgproc/src/resize.cpp``: weights of 11 bits, products rounded in two steps.
    """
    lower, upper, first, second = _opencv_taps(n, sides[1], new_sides[1], rows=False)
    column = np.array([1])
    pixels = n(
        'Add',
        n('Mul', n('Gather', pixels, lower, axis=2), n('Unsqueeze', first, column)),
        n('Mul', n('Gather', pixels, upper, axis=2), n('Unsqueeze', second, column)),
    )
    pixels = n('Div', pixels, np.int32(16))
    lower, upper, first, second = _opencv_taps(n, sides[0], new_sides[0], rows=True)
    shares = [
        n('Mul', n('Gather', pixels, rows, axis=1), n('Unsqueeze', weights, np.array([1, 2])))
        for rows, weights in ((lower, first), (upper, second))
    ]
    total = n('Add', *[n('Div', share, np.int32(65536)) for share in shares])
    return n('Div', n('Add', total, np.int32(2)), np.int32(4))


def _opencv_taps(n: Nodes, side: str, new_side: str, rows: bool) -> tuple[str, str, str, str]:
    """The two positions that each new one is made of, int64, and their weights, int32."""
    ratio = n('Div', n.cast(new_side, 'DOUBLE'), n.cast(side, 'DOUBLE'))
    centres = n('Add', n.count(new_side, 'DOUBLE'), np.float64(0.5))
    scaled = n('Mul', centres, n('Reciprocal', ratio))
    position = n.cast(n('Sub', scaled, np.float64(0.5)), 'FLOAT')
    floor = n('Floor', position)
    fraction = n('Sub', position, floor)
    floor, last = n.cast(floor, 'INT64'), n('Sub', side, np.int64(1))
    if not rows:
        inside = n('And', n('GreaterOrEqual', floor, np.int64(0)), n('Less', floor, last))
        fraction = n('Where', inside, fraction, np.float32(0))
    weights = [
        n.cast(n('Round', n('Mul', share, np.float32(_WEIGHT_ONE))), 'INT32')
        for share in (n('Sub', np.float32(1), fraction), fraction)
    ]
    next_one = n('Add', floor, np.int64(1))
    return *(n.clip(one, np.int64(0), last) for one in (floor, next_one)), *weights


@dataclass(frozen=True)
class _Axis:
    """Windows along an axis: names of the first pixel of each, int64 (count,), and their length."""

    starts: str
    window: str


def _cover(n: Nodes, side: str, window: int, stride: int) -> _Axis:
    """Cover an axis with windows; the last is moved back to end with the picture."""
    window = n('Min', side, np.int64(window))
    rest = n('Sub', side, window)
    steps = n('Div', n('Add', rest, np.int64(stride - 1)), np.int64(stride))
    numbers = n.count(n('Add', steps, np.int64(1)))
    return _Axis(n('Min', n('Mul', numbers, np.int64(stride)), rest), window)


def _cut(n: Nodes, images: str, axes: Sequence[_Axis]) -> None:
    """Cut images (N, C, H, W) into (N * windows, C, h, w): row by row, then the next image."""
    rows, columns = (
        n('Add', n('Unsqueeze', axis.starts, np.array([1])), n.count(axis.window)) for axis in axes
    )
    cut = n('Gather', n('Gather', images, rows, axis=2), columns, axis=4)
    cut = n('Transpose', cut, perm=[0, 2, 4, 1, 3, 5])
    sides = [n.side(cut, axis) for axis in (3, 4, 5)]
    n('Reshape', cut, n.shape(-1, *sides), output=NETWORK_INPUT)


def _merge(
    n: Nodes, batch: str, size: Sequence[str], axes: Sequence[_Axis], align_corners: bool
) -> str:
    """Average the windows' logits at the size of the images.

    Resizing a window and adding it to the picture is a matrix for each axis.
    """
    channels, *sides = (n.side(NETWORK_OUTPUT, axis) for axis in (1, 2, 3))
    counts = [n.side(axis.starts, 0) for axis in axes]
    apart = n('Reshape', NETWORK_OUTPUT, n.shape(batch, *counts, channels, *sides))
    beside = n('Transpose', apart, perm=[0, 3, 1, 4, 2, 5])
    lengths = [n('Mul', count, side) for count, side in zip(counts, sides)]
    grid = n('Reshape', beside, n.shape(batch, channels, *lengths))
    rows, columns = (_placing(n, *one, align_corners) for one in zip(size, axes, sides))
    return n('MatMul', n('MatMul', rows, grid), n('Transpose', columns, perm=[1, 0]))


def _placing(n: Nodes, size: str, axis: _Axis, side: str, align_corners: bool) -> str:
    """The matrix (size, windows * side) that resizes windows, places and averages them."""
    pixels = n('Unsqueeze', n.count(size), np.array([1]))
    local = n('Sub', pixels, axis.starts)
    inside = n('And', n('GreaterOrEqual', local, np.int64(0)), n('Less', local, axis.window))
    inside = n.cast(inside, 'FLOAT')
    share = n('Div', inside, n('ReduceSum', inside, np.array([1])))
    local, low, high = n.cast(local, 'FLOAT'), n.cast(side, 'FLOAT'), n.cast(axis.window, 'FLOAT')
    last = n('Sub', low, np.float32(1))
    if align_corners:
        gaps = n('Max', n('Sub', high, np.float32(1)), np.float32(1))
        position = n('Mul', local, n('Div', last, gaps))
    else:
        centre = n('Mul', n('Add', local, np.float32(0.5)), n('Div', low, high))
        position = n('Sub', centre, np.float32(0.5))
    position = n('Unsqueeze', n.clip(position, np.float32(0), last), np.array([2]))
    distance = n('Abs', n('Sub', position, n.count(side, 'FLOAT')))
    bilinear = n('Relu', n('Sub', np.float32(1), distance))
    placed = n('Mul', bilinear, n('Unsqueeze', share, np.array([2])))
    return n('Reshape', placed, n.shape(size, -1))


def _resize(n: Nodes, logits: str, size: Sequence[str], align_corners: bool) -> str:
    """Resize (N, C, h, w) bilinearly to ``size`` (height, width)."""
    mode = 'align_corners' if align_corners else 'half_pixel'
    sizes = n('Concat', n('Shape', logits, start=0, end=2), n.shape(*size), axis=0)
    return n('Resize', logits, '', '', sizes, mode='linear', coordinate_transformation_mode=mode)


def _classify(n: Nodes, around: Surroundings) -> None:
    """From ``logits`` to ``probabilities`` and ``labels``."""
    if around.threshold is None:
        # On a CPU onnxruntime's Softmax takes four times as long, and its ReduceSum as MatMul.
        powers = n('Exp', n('Sub', 'logits', n('ReduceMax', 'logits', np.array([1]))))
        ones = np.ones((1, around.num_classes), np.float32)
        total = n('MatMul', ones, n('Reshape', powers, np.array([0, 0, -1])))
        plane = n('Concat', np.array([0, 1]), n('Shape', 'logits', start=2, end=4), axis=0)
        n('Div', powers, n('Reshape', total, plane), output='probabilities')
        labels = n('ArgMax', 'logits', axis=1, keepdims=0)
        dtype = TensorProto.UINT8 if around.num_classes <= 256 else TensorProto.INT64
    else:
        positive = n('Sigmoid', 'logits')
        n('Concat', n('Sub', np.float32(1), positive), positive, axis=1, output='probabilities')
        above = n('Greater', positive, np.float32(around.threshold))
        labels, dtype = n('Squeeze', above, np.array([1])), TensorProto.UINT8
    n('Cast', labels, to=dtype, output='labels')
