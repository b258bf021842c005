"""What is timed: a forward pass, a prediction, a training step, a head's loss.

Each task turns a network into a contender: a step, what it gives in full precision (compared
before anything is timed), and the tensors that it needs to exist.
"""

from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

from mmseg_custom.benchmark.named_models import NUM_CLASSES
from mmseg_custom.benchmark.networks import Batch, Network, autocast_for, without_randomness

IGNORED = 255
IGNORED_SHARE = 0.05
DEFAULT_BATCH = {'infer': 1, 'predict': 1, 'slide': 1, 'train': 2, 'loss': 8}
DEFAULT_SIZE = {'slide': (1024, 2048)}


@dataclass(frozen=True)
class Contender:
    """One implementation at one task.

    Attributes:
        network: the implementation.
        step: what is timed.
        countable_step: the same without inference mode, for the counters of FLOPs and bytes.
        result: named tensors that have to agree with the other contenders'; its argument opens the
            block of autocast, or of full precision.
        resident: the tensors that exist before the step: weights, optimiser state, inputs.
    """

    network: Network
    step: Callable[[], object]
    countable_step: Callable[[], object]
    result: Callable[[Callable], dict[str, Tensor]]
    resident: Callable[[], Iterable[Tensor]]


def make_batch(num_images: int, size: tuple[int, int], device: torch.device) -> Batch:
    """Make random pictures and labels; the labels are blocks of 16x16 pixels, some ignored."""
    height, width = size
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (num_images, 3, *size), generator=generator).byte()
    coarse = (num_images, 1, -(-height // 16), -(-width // 16))
    labels = torch.randint(0, NUM_CLASSES, coarse, generator=generator)
    labels[torch.rand(coarse, generator=generator) < IGNORED_SHARE] = IGNORED
    labels = labels.repeat_interleave(16, 2).repeat_interleave(16, 3)[..., :height, :width]
    images = ((pictures.flip(1).float() - 120) / 58).to(device)
    labels = labels.contiguous().to(device)
    meta = dict(img_shape=size, ori_shape=size, pad_shape=size, padding_size=[0, 0, 0, 0])
    samples = [SegDataSample(metainfo=meta, gt_sem_seg=PixelData(data=label)) for label in labels]
    return Batch(list(pictures), images, labels[:, 0], samples)


def make_contender(task: str, network: Network, batch: Batch, dtype: torch.dtype) -> Contender:
    """Prepare a network for a task.

    Args:
        task: a key of ``DEFAULT_BATCH``.
        network: what takes part.
        batch: its input.
        dtype: of matrix products, by autocast; weights stay in single precision.
    """
    makers = {'infer': _infer, 'predict': _predict, 'slide': _predict, 'train': _train}
    return {**makers, 'loss': _loss}[task](network, batch, dtype)


def _infer(network: Network, batch: Batch, dtype: torch.dtype) -> Contender:
    network.model.eval()

    def result(autocast: Callable) -> dict[str, Tensor]:
        with torch.inference_mode(), autocast():
            return {'logits': network.logits(batch.images)}

    return _forward_contender(network, batch, dtype, lambda: network.logits(batch.images), result)


def _predict(network: Network, batch: Batch, dtype: torch.dtype) -> Contender:
    model = network.model.eval()

    def predict() -> list[SegDataSample]:
        return model.predict(batch.images, [sample.clone() for sample in batch.samples])

    def result(autocast: Callable) -> dict[str, Tensor]:
        with torch.inference_mode(), autocast():
            return {'labels': torch.cat([s.pred_sem_seg.data for s in predict()])}

    return _forward_contender(network, batch, dtype, predict, result)


def _forward_contender(network, batch, dtype, forward, result) -> Contender:
    autocast = autocast_for(batch.images.device, dtype)

    def step() -> object:
        with torch.inference_mode(), autocast():
            return forward()

    def countable_step() -> object:
        with torch.no_grad(), autocast():
            return forward()

    def resident() -> list[Tensor]:
        return [*network.model.parameters(), *network.model.buffers(), batch.images]

    return Contender(network, step, countable_step, result, resident)


def _train(network: Network, batch: Batch, dtype: torch.dtype) -> Contender:
    model = network.model.train()

    def result(autocast: Callable) -> dict[str, Tensor]:
        with without_randomness(model):
            with autocast():
                loss = network.loss(batch)
            loss.backward()
        named = sorted(model.named_parameters())
        found = {'loss': loss.detach()}
        if hasattr(model, 'decode_head') and hasattr(model, 'backbone'):
            found['gradient'] = torch.cat([p.grad.flatten() for _, p in named])
        model.zero_grad()
        return found

    def resident() -> list[Tensor]:
        parameters = list(model.parameters())
        # AdamW keeps two moments of each parameter; gradients are released within the step.
        moments = [torch.empty_like(p) for p in 2 * parameters]
        return [*parameters, *model.buffers(), *moments, batch.images, batch.labels]

    step = network.train_step(batch, dtype)
    return Contender(network, step, step, result, resident)


def _loss(network: Network, batch: Batch, dtype: torch.dtype) -> Contender:
    """Loss and accuracy of a head from given logits, and the gradient with respect to them."""
    head = network.model.eval().decode_head
    with torch.no_grad():
        example = network.logits(batch.images[:1])
    head.train()
    generator = torch.Generator().manual_seed(1)
    shape = (len(batch.images), *example.shape[1:])
    values = torch.randn(shape, generator=generator).to(example.device)
    # In the memory layout in which this head gives its logits.
    channels_last = example.is_contiguous(memory_format=torch.channels_last)
    form = torch.channels_last if channels_last else torch.contiguous_format
    logits = values.to(dtype).contiguous(memory_format=form).requires_grad_()

    def losses_and_gradient(autocast: Callable) -> dict[str, Tensor]:
        with _instead_of_forward(head, logits), autocast():
            losses = head.loss(logits, batch.samples, {})
        sum(value for name, value in losses.items() if 'loss' in name).backward()
        gradient, logits.grad = logits.grad, None
        return {**losses, 'gradient': gradient}

    def step() -> None:
        losses_and_gradient(autocast_for(logits.device, dtype))

    def result(autocast: Callable) -> dict[str, Tensor]:
        found = losses_and_gradient(autocast)
        return {name: value.detach().float() for name, value in found.items()}

    def resident() -> list[Tensor]:
        return [logits, batch.labels]

    return Contender(network, step, step, result, resident)


@contextmanager
def _instead_of_forward(head: torch.nn.Module, logits: Tensor):
    head.forward = lambda features: logits
    try:
        yield
    finally:
        del head.forward


def differences(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> dict[str, float]:
    """Compare what two contenders computed.

    Returns:
        For each name that both have: the largest difference over the largest value of ``theirs``;
        for integers (class maps) the share of elements that differ.

    Raises:
        ValueError: a result has another shape.
    """
    found = {}
    for name in ours.keys() & theirs.keys():
        a, b = ours[name], theirs[name]
        if not a.is_floating_point():
            found[name] = (a != b).float().mean().item()
            continue
        if a.shape != b.shape:
            raise ValueError(f'{name} has the shapes {tuple(a.shape)} and {tuple(b.shape)}')
        largest = b.double().abs().max().item()
        found[name] = (a.double() - b.double()).abs().max().item() / max(largest, 1e-30)
    return found
