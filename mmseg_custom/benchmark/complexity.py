"""What a model costs, part by part: parameters, FLOPs with attention, latency of each stage."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
from mmengine.config import Config
from torch import nn

from mmseg_custom.benchmark.counting import counting_flops
from mmseg_custom.benchmark.model_zoo import build
from mmseg_custom.benchmark.timing import interleave
from mmseg_custom.engine.class_count import heads
from mmseg_custom.engine.config import drop_pretrained
from mmseg_custom.models.segmentors.block_prediction import LogitMap

# For a config that leaves the number of classes to the data set.
ASSUMED_CLASSES = 19


@dataclass(frozen=True)
class Part:
    """A row of the table.

    Attributes:
        name: of a part of the model, or of a stage of a prediction.
        parameters: how many; None for a stage without.
        gflops: billions of multiplications and additions of one picture; None where not counted.
        attention_gflops: of these, those of attention's products with queries, keys and values.
        latency_ms: median time of one batch; None where not measured.
    """

    name: str
    parameters: int | None = None
    gflops: float | None = None
    attention_gflops: float | None = None
    latency_ms: float | None = None


def build_model(config: Config) -> nn.Module:
    """Build the segmentor of a config with random weights, in evaluation mode."""
    drop_pretrained(config)
    for _, head in heads(config.model):
        head['num_classes'] = head.get('num_classes') or ASSUMED_CLASSES
    return build(config.model).eval()


@torch.no_grad()
def count_parts(model: nn.Module, size: tuple[int, int]) -> list[Part]:
    """Count the backbone, the decode head, and both together.

    Args:
        model: a segmentor, on any device, also the meta device.
        size: (height, width) of the picture in pixels.
    """
    like = next(model.parameters())
    image = like.new_zeros(1, _num_channels(model), *size)
    features = model.extract_feat(image)
    backbone = _count('backbone', model.backbone, lambda: model.extract_feat(image))
    head = _count('decode_head', model.decode_head, lambda: model.decode_head(features))
    both = zip(vars(backbone).values(), vars(head).values())
    return [backbone, head, Part('both', *(a + b for a, b in list(both)[1:4]))]


def _count(name: str, module: nn.Module, step: Callable[[], object]) -> Part:
    with counting_flops() as counter:
        step()
    flops = counter.get_flop_counts()['Global']
    attention = sum(count for operator, count in flops.items() if 'attention' in str(operator))
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return Part(name, parameters, sum(flops.values()) / 1e9, attention / 1e9)


def _num_channels(model: nn.Module) -> int:
    return next(m.in_channels for m in model.modules() if isinstance(m, nn.Conv2d))


@torch.inference_mode()
def time_stages(
    model: nn.Module, size: tuple[int, int], batch_size: int = 1, rounds: int = 10
) -> list[Part]:
    """Time the stages of a prediction of random pictures, interleaved.

    Args:
        model: a segmentor in evaluation mode, on a CPU or a GPU.
        size: (height, width) of the pictures in pixels.
        batch_size: pictures at once.
        rounds: measurements of each stage; their median counts.

    Returns:
        ``preprocess`` (8-bit picture to the network's input), ``backbone``, ``decode_head``,
        ``class map`` (logits to labels at the picture's size) and ``whole``, each of a batch.
    """
    device = next(model.parameters()).device
    pictures = [torch.zeros(_num_channels(model), *size, dtype=torch.uint8)] * batch_size

    def preprocess():
        return model.data_preprocessor({'inputs': list(pictures)})['inputs']

    images = preprocess()
    features = model.extract_feat(images)
    logits = model.decode_head(features)

    def label():
        for one in logits:
            LogitMap.from_logits(one, size, model.align_corners).labels()

    stages: dict[str, Callable[[], object]] = {
        'preprocess': preprocess,
        'backbone': lambda: model.extract_feat(images),
        'decode_head': lambda: model.decode_head(features),
        'class map': label,
        'whole': lambda: model.predict(preprocess()),
    }
    synchronize = torch.cuda.synchronize if device.type == 'cuda' else lambda: None
    timing = interleave(stages, rounds, synchronize=synchronize)
    return [Part(name, latency_ms=1000 * median(timing.seconds[name])) for name in stages]


def format_parts(counted: list[Part], timed: list[Part]) -> str:
    """Both tables as text."""
    lines = [f'{"part":22}{"parameters":>14}{"GFLOPs":>10}{"attention":>11}']
    for part in counted:
        lines.append(
            f'{part.name:22}{part.parameters:14,}{part.gflops:10.2f}{part.attention_gflops:11.2f}'
        )
    if timed:
        lines += ['', f'{"stage":22}{"ms":>10}']
        lines += [f'{part.name:22}{part.latency_ms:10.2f}' for part in timed]
    return '\n'.join(lines)
