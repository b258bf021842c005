"""The loss against mmseg's and PyTorch's in float64, its memory, and what it refuses."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmseg_custom.models.losses import CrossEntropyLoss, low_memory_cross_entropy
from mmseg_custom.models.losses.bilinear import bilinear_blocks
from mmseg_custom.models.losses.low_memory_cross_entropy import upsampled_cross_entropy
from mmseg_custom.registry import MODELS

pytestmark = pytest.mark.filterwarnings('ignore:Default ``avg_non_ignore``')

# Logits' size and labels' size: integer and other ratios, odd, one row, equal, shrinking.
SIZES = [
    ((8, 8), (32, 32)),
    ((7, 5), (31, 23)),
    ((13, 33), (97, 131)),
    ((1, 4), (3, 9)),
    ((6, 9), (6, 9)),
    ((6, 9), (6, 20)),
    ((20, 15), (9, 7)),
    ((5, 5), (1, 1)),
]


def make_batch(size, label_size, num_classes=6, ignored=0.2, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, num_classes, *size, generator=generator, dtype=dtype) * 4
    labels = torch.randint(0, num_classes, (3, *label_size), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < ignored] = 255
    return logits, labels


def reference(loss, logits, labels, align_corners=False, factor=1.0, ignore_index=255):
    """Loss, gradient and accuracy from the full-size logits, as mmseg's heads compute them."""
    from mmseg.models.losses import accuracy

    leaf = logits.clone().requires_grad_()
    full = F.interpolate(leaf, labels.shape[1:], mode='bilinear', align_corners=align_corners)
    value = loss(full, labels, ignore_index=ignore_index)
    (value * factor).backward()
    return value.detach(), leaf.grad, accuracy(full, labels, ignore_index=ignore_index)


def computed(loss, logits, labels, align_corners=False, factor=1.0, ignore_index=255):
    leaf = logits.clone().requires_grad_()
    value, accuracy = loss.at_label_size(leaf, labels, ignore_index, align_corners)
    (value * factor).backward()
    return value.detach(), leaf.grad, accuracy


def assert_same(actual, expected, accuracy_tolerance=1e-4):
    assert actual[0].dtype == expected[0].dtype
    assert abs(actual[0] - expected[0]) <= 1e-12 * max(1, abs(expected[0]))
    assert (actual[1] - expected[1]).abs().max() <= 1e-9 * max(expected[1].norm(), 1e-12)
    assert actual[2].shape == expected[2].shape == (1,)
    assert abs(actual[2] - expected[2]) <= accuracy_tolerance


@pytest.fixture(params=['one strip', 'strips of two rows'])
def strips(request, monkeypatch):
    if request.param != 'one strip':
        monkeypatch.setitem(low_memory_cross_entropy.STRIP_ELEMENTS, 'cpu', 2 * 6 * 23)
        monkeypatch.setattr(low_memory_cross_entropy, 'COLUMN_BLOCK', 8)


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize(('size', 'label_size'), SIZES)
def test_equals_mmseg(size, label_size, align_corners, strips):
    logits, labels = make_batch(size, label_size)
    for average in (False, True):
        arguments = dict(type='CrossEntropyLoss', avg_non_ignore=average, loss_weight=0.7)
        stock = MODELS.build(dict(arguments, _scope_='mmseg'))
        ours = MODELS.build(arguments)
        assert type(ours) is CrossEntropyLoss and type(stock) is not CrossEntropyLoss
        for factor in (1.0, 1024.0):
            options = dict(align_corners=align_corners, factor=factor)
            actual = computed(ours, logits, labels, **options)
            assert_same(actual, reference(stock, logits, labels, **options))


@pytest.mark.parametrize('average', [False, True])
@pytest.mark.parametrize('ignored', [0.0, 1.0])
def test_nothing_or_everything_ignored(average, ignored):
    logits, labels = make_batch((7, 5), (31, 23), ignored=ignored)
    arguments = dict(type='CrossEntropyLoss', avg_non_ignore=average)
    actual = computed(MODELS.build(arguments), logits, labels)
    assert_same(actual, reference(MODELS.build(dict(arguments, _scope_='mmseg')), logits, labels))
    if ignored:
        assert actual[0] == 0 and actual[1].abs().max() == 0


@pytest.mark.parametrize('reduction', ['mean', 'sum'])
@pytest.mark.parametrize('average', [False, True])
def test_class_weights_equal_mmseg(average, reduction):
    """The ignore index is a class here: with any other, mmseg stops with an index error."""
    logits, labels = make_batch((7, 5), (31, 23), ignored=0)
    arguments = dict(
        type='CrossEntropyLoss',
        class_weight=[0.5, 1.0, 2.0, 0.0, 1.5, 3.0],
        avg_non_ignore=average,
        reduction=reduction,
    )
    stock = MODELS.build(dict(arguments, _scope_='mmseg'))
    ours = MODELS.build(arguments)
    expected = reference(stock, logits, labels, ignore_index=2)
    assert_same(computed(ours, logits, labels, ignore_index=2), expected)
    assert_same(reference(ours, logits, labels, ignore_index=2), expected)


def test_class_weights_with_ignored_pixels_divide_by_the_valid_weights():
    logits, labels = make_batch((7, 5), (31, 23))
    weights = [0.5, 1.0, 2.0, 0.25, 1.5, 3.0]
    full = F.interpolate(logits, labels.shape[1:], mode='bilinear')
    expected = F.cross_entropy(
        full, labels, weight=torch.tensor(weights, dtype=torch.float64), ignore_index=255
    )
    for average in (False, True):
        ours = CrossEntropyLoss(class_weight=weights, avg_non_ignore=average)
        value, gradient, _ = computed(ours, logits, labels)
        assert value.item() == pytest.approx(expected.item(), rel=1e-9)
        plain_value, plain_gradient, _ = reference(ours, logits, labels)
        assert value.item() == pytest.approx(plain_value.item(), rel=1e-12)
        torch.testing.assert_close(gradient, plain_gradient, rtol=0, atol=1e-12)


@pytest.mark.parametrize('weighted', [False, True])
@pytest.mark.parametrize('smoothing', [0.1, 1.0])
def test_label_smoothing_equals_pytorch(smoothing, weighted, strips):
    logits, labels = make_batch((7, 5), (31, 23))
    weights = [0.5, 1.0, 2.0, 0.25, 1.5, 3.0] if weighted else None
    ours = CrossEntropyLoss(
        class_weight=weights, label_smoothing=smoothing, avg_non_ignore=True, loss_weight=2.0
    )

    def pytorch(full, labels, ignore_index):
        tensor = None if weights is None else full.new_tensor(weights)
        return 2 * F.cross_entropy(
            full, labels, tensor, ignore_index=ignore_index, label_smoothing=smoothing
        )

    actual, expected = computed(ours, logits, labels), reference(pytorch, logits, labels)
    # PyTorch divides by the weights alone, mmseg by them plus float32's epsilon.
    assert actual[0].item() == pytest.approx(expected[0].item(), rel=1e-9)
    torch.testing.assert_close(actual[1], expected[1], rtol=1e-8, atol=1e-12)
    assert_same(actual, reference(ours, logits, labels))


def test_gradient_by_finite_differences():
    logits, labels = make_batch((3, 2), (7, 5), num_classes=4)
    loss = CrossEntropyLoss(label_smoothing=0.2, class_weight=[1.0, 2.0, 0.5, 0.1])
    leaf = logits.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss.at_label_size(x, labels, 255)[0], (leaf,))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_computed_in_float32(dtype):
    logits, labels = make_batch((8, 8), (32, 32), dtype=torch.float32)
    logits = logits.to(dtype)
    loss = CrossEntropyLoss(avg_non_ignore=True)
    expected = computed(loss, logits.double(), labels)
    with torch.autocast('cpu', dtype):
        value, gradient, accuracy = computed(loss, logits, labels, factor=2.0**10)
    assert value.dtype == torch.float32 and gradient.dtype == dtype
    assert value.item() == pytest.approx(expected[0].item(), rel=1e-5)
    assert accuracy.item() == pytest.approx(expected[2].item(), abs=0.05)
    precision = 2 * torch.finfo(dtype).eps
    torch.testing.assert_close(gradient.double() / 2**10, expected[1], rtol=precision, atol=1e-7)


def test_extreme_logits_stay_finite():
    logits = torch.tensor([[-3e4, 0.0, 3e4], [3e4, 0.0, -3e4]]).reshape(2, 3, 1, 1)
    labels = torch.zeros(2, 4, 4, dtype=torch.long)
    value, gradient, accuracy = computed(CrossEntropyLoss(), logits, labels)
    assert value.item() == pytest.approx(3e4)
    assert gradient.isfinite().all() and accuracy.item() == pytest.approx(50)


def test_a_tie_is_not_counted_as_correct():
    terms = upsampled_cross_entropy(torch.zeros(1, 3, 2, 2), torch.zeros(1, 8, 8).long())
    assert (terms.num_correct.item(), terms.num_valid.item()) == (0, 64)
    assert terms.loss_sum.item() == pytest.approx(64 * math.log(3))


def test_memory_format_and_reduced_precision_setting_are_kept():
    logits, labels = make_batch((8, 8), (32, 32), dtype=torch.float32)
    expected = computed(CrossEntropyLoss(), logits, labels)
    channels_last = logits.to(memory_format=torch.channels_last)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision('medium')
    try:
        actual = computed(CrossEntropyLoss(), channels_last, labels.to(torch.uint8))
        assert torch.get_float32_matmul_precision() == 'medium'
    finally:
        torch.set_float32_matmul_precision(before)
    assert actual[0] == expected[0] and torch.equal(actual[1], expected[1])
    assert actual[1].is_contiguous(memory_format=torch.channels_last)


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_samples_side_by_side_give_the_same_bits(one_thread):
    logits, labels = make_batch((8, 8), (32, 32), dtype=torch.float32)
    expected = computed(CrossEntropyLoss(), logits, labels)
    for num_threads in (2, 7):
        torch.set_num_threads(num_threads)
        actual = computed(CrossEntropyLoss(), logits, labels)
        assert all(torch.equal(*pair) for pair in zip(actual, expected))
        assert torch.get_num_threads() == num_threads
        with torch.inference_mode():
            value, _ = CrossEntropyLoss().at_label_size(logits.clone(), labels, 255)
        assert value == expected[0] and not value.requires_grad
        wrong = labels.clone().fill_(9)
        with pytest.raises(ValueError, match='label 9 is outside'):
            computed(CrossEntropyLoss(), logits, wrong)


class LargestTensor(TorchDispatchMode):
    """Remembers the most elements that any floating-point result had."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                self.elements = max(self.elements, value.numel())
        return result


def test_full_size_logits_are_never_held(monkeypatch, one_thread):
    monkeypatch.setitem(low_memory_cross_entropy.STRIP_ELEMENTS, 'cpu', 1 << 14)
    logits, labels = make_batch((16, 16), (64, 64), num_classes=20, dtype=torch.float32)
    with LargestTensor() as largest:
        computed(CrossEntropyLoss(), logits, labels)
    assert largest.elements == max(logits.numel(), (1 << 14) // (20 * 64) * 20 * 64)
    assert largest.elements * 16 <= 3 * 20 * 64 * 64


def test_compiles_without_graph_break():
    logits, labels = make_batch((8, 8), (31, 29), dtype=torch.float32)
    loss = CrossEntropyLoss(class_weight=[0.5, 1.0, 2.0, 0.25, 1.5, 3.0], avg_non_ignore=True)

    def step(logits):
        value, accuracy = loss.at_label_size(logits * 1.5, labels, 255)
        return value * 2, accuracy

    results = []
    for function in (step, torch.compile(step, backend='aot_eager', fullgraph=True)):
        leaf = logits.clone().requires_grad_()
        value, accuracy = function(leaf)
        value.backward()
        results.append((value.detach(), accuracy, leaf.grad))
    for eager, compiled in zip(*results):
        torch.testing.assert_close(compiled, eager, rtol=1e-6, atol=1e-8)
    operator = torch.ops.mmseg_custom.upsampled_cross_entropy.default
    leaf = logits.clone().requires_grad_()
    checks = ('test_schema', 'test_faketensor', 'test_autograd_registration')
    torch.library.opcheck(operator, (leaf, labels, 255, None, 0.1, False, True), test_utils=checks)


def test_second_derivative_is_refused():
    logits, labels = make_batch((3, 2), (7, 5))
    leaf = logits.requires_grad_()
    value, _ = CrossEntropyLoss().at_label_size(leaf, labels, 255)
    (gradient,) = torch.autograd.grad(value, leaf, create_graph=True)
    with pytest.raises(RuntimeError, match='differentiated once'):
        gradient.square().sum().backward()


@pytest.mark.parametrize(('value', 'count'), [(6, 3), (-1, 1), (254, 2)])
def test_label_outside_the_classes(value, count):
    logits, labels = make_batch((7, 5), (31, 23))
    labels.view(-1)[:count] = value
    message = rf'label {value} is outside the classes 0..5 \({count} such pixels.*num_classes=6'
    with pytest.raises(ValueError, match=message):
        CrossEntropyLoss().at_label_size(logits, labels, 255)


def test_wrong_arguments_are_named():
    logits, labels = make_batch((7, 5), (31, 23))
    with pytest.raises(ValueError, match='class_weight has 2 entries but the logits have 6'):
        CrossEntropyLoss(class_weight=[1.0, 2.0]).at_label_size(logits, labels, 255)
    with pytest.raises(ValueError, match=r'expected logits .* got \(3, 6, 7, 5\) and \(3, 713\)'):
        upsampled_cross_entropy(logits, labels.flatten(1))
    with pytest.raises(ValueError, match='label_smoothing must lie in 0..1, got 1.5'):
        CrossEntropyLoss(label_smoothing=1.5)
    with pytest.raises(ValueError, match='needs the softmax loss'):
        CrossEntropyLoss(label_smoothing=0.1, use_sigmoid=True)
    with pytest.raises(ValueError, match="'none', 'mean' or 'sum', got 'max'"):
        CrossEntropyLoss()(logits, logits.argmax(1), reduction_override='max')


def test_plain_call_equals_mmseg():
    logits, labels = make_batch((9, 7), (9, 7))
    for arguments in (
        dict(),
        dict(avg_non_ignore=True),
        dict(reduction='none', loss_weight=3.0),
        dict(use_sigmoid=True, avg_non_ignore=True),
    ):
        stock = MODELS.build(dict(type='CrossEntropyLoss', _scope_='mmseg', **arguments))
        ours = CrossEntropyLoss(**arguments)
        for weight in (None, torch.rand(labels.shape)):
            options = dict(weight=weight, ignore_index=255)
            torch.testing.assert_close(
                ours(logits, labels.clone(), **options), stock(logits, labels.clone(), **options)
            )
    assert not CrossEntropyLoss(use_sigmoid=True).resizes
    assert not CrossEntropyLoss(reduction='none').resizes


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize(('num_inputs', 'num_outputs'), [(5, 20), (7, 30), (20, 9), (1, 6), (4, 4)])
def test_blocks_equal_interpolate(num_inputs, num_outputs, align_corners):
    values = torch.randn(1, 3, num_inputs, dtype=torch.float64)
    expected = F.interpolate(
        values[..., None], (num_outputs, 1), mode='bilinear', align_corners=align_corners
    )[0, :, :, 0]
    arguments = (num_inputs, num_outputs, align_corners, 4, torch.float64, values.device)
    for block in bilinear_blocks(*arguments):
        part = values[0, :, block.first : block.last]
        part = part if block.weights is None else part @ block.weights.t()
        torch.testing.assert_close(part, expected[:, block.start : block.stop])
