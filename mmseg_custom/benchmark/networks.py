"""One interface to the implementations that are compared: ours, mmseg's and other libraries'."""

import importlib
import importlib.metadata
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmseg_custom.benchmark.named_models import (
    NUM_CLASSES,
    build,
    has_stock_class,
    quiet_mmengine,
    randomise,
)
from mmseg_custom.engine.compiling import compile_parts
from mmseg_custom.engine.config import load_config
from mmseg_custom.registry import SCOPE

INSTALL_HINTS = {
    'transformers': 'pip install "mmseg_custom[peers]"',
    'segmentation_models_pytorch': 'pip install segmentation-models-pytorch; it needs torchvision '
    '(for a CPU-only torch there may be no build that matches it)',
}
LEARNING_RATE = 6e-5


@dataclass(frozen=True)
class Batch:
    """The input of every network.

    Attributes:
        pictures: N uint8 tensors of shape (3, H, W), BGR, as a data loader gives them.
        images: the same normalised, float32 of shape (N, 3, H, W), on the device.
        labels: int64 of shape (N, H, W) on the device; 255 is ignored.
        samples: N samples with ``gt_sem_seg`` and the meta information of a test pipeline.
    """

    pictures: list[Tensor]
    images: Tensor
    labels: Tensor
    samples: list[SegDataSample]


class Network(ABC):
    """A model with the calls that the benchmark times.

    Attributes:
        name: ``ours``, ``mmseg``, ``hf`` or ``smp``.
        model: the module, on its device.
        same_weights: whether it computes the same function as ours.
    """

    def __init__(self, name: str, model: nn.Module, same_weights: bool):
        self.name, self.model, self.same_weights = name, model, same_weights

    @abstractmethod
    def logits(self, images: Tensor) -> Tensor:
        """Return the logits as the model's forward pass gives them."""

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """Return the training loss, a scalar."""

    def train_step(self, batch: Batch, dtype: torch.dtype) -> Callable[[], object]:
        """Return a function that takes one training step with AdamW.

        Raises:
            ValueError: the step cannot be taken in this dtype.
        """
        if dtype == torch.float16:
            raise ValueError(f'{self.name} is not trained in fp16 here; use --dtype bf16')
        autocast = autocast_for(batch.images.device, dtype)
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)

        def step() -> None:
            with autocast():
                loss = self.loss(batch)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

        return step

    def compile(self) -> None:
        """Compile the model in place."""
        self.model.compile()


class MMSegNetwork(Network):
    """A segmentor of ours or of mmseg's."""

    def logits(self, images: Tensor) -> Tensor:
        return self.model(images, mode='tensor')

    def loss(self, batch: Batch) -> Tensor:
        losses = self.model.loss(batch.images, batch.samples)
        return self.model.parse_losses(losses)[0]

    def train_step(self, batch: Batch, dtype: torch.dtype) -> Callable[[], object]:
        """As mmengine's runner does it, data preprocessor and parsing of the losses included."""
        config = load_config('_base_/schedules/adamw_160k.py').optim_wrapper.to_dict()
        if self.name != 'ours':
            config.pop('constructor', None)
            config['optimizer'].pop('fused', None)
        if dtype != torch.float32:
            if batch.images.device.type == 'cpu':
                raise ValueError(
                    'mmengine trains in half precision on a GPU only; use --dtype fp32, or cuda'
                )
            config.update(type='AmpOptimWrapper', dtype=str(dtype).removeprefix('torch.'))
        scope = SCOPE if self.name == 'ours' else self.name
        with DefaultScope.overwrite_default_scope(scope), quiet_mmengine():
            wrapper = build_optim_wrapper(self.model, config)
        data = dict(inputs=batch.pictures, data_samples=batch.samples)
        return lambda: self.model.train_step(data, wrapper)

    def compile(self) -> None:
        """Compile backbone and heads as the runner does; mmseg's may break into several graphs."""
        compile_parts(self.model, fullgraph=self.name == 'ours')


class HuggingFaceNetwork(Network):
    """``transformers.SegformerForSemanticSegmentation``."""

    def logits(self, images: Tensor) -> Tensor:
        return self.model(pixel_values=images).logits

    def loss(self, batch: Batch) -> Tensor:
        return self.model(pixel_values=batch.images, labels=batch.labels).loss


class SmpNetwork(Network):
    """``segmentation_models_pytorch.Segformer``, whose forward pass ends at the input's size."""

    def logits(self, images: Tensor) -> Tensor:
        return self.model(images)

    def loss(self, batch: Batch) -> Tensor:
        return F.cross_entropy(self.model(batch.images), batch.labels, ignore_index=255)


def can_compare(name: str, task: str, peer: str) -> bool:
    """Whether ``peer`` has a counterpart of the model, and of the task."""
    if peer == 'mmseg':
        return has_stock_class(name)
    return name.startswith('segformer') and task in ('infer', 'train')


def require(module: str):
    """Import a peer's module.

    Raises:
        ModuleNotFoundError: it is not installed; the message is the line to run.
    """
    if importlib.util.find_spec(module) is None:
        raise ModuleNotFoundError(f'{module} is not installed; run: {INSTALL_HINTS[module]}')
    return importlib.import_module(module)


def build_networks(name: str, config, peers: list[str], device: torch.device) -> list[Network]:
    """Build our model and its counterparts, with our weights where they compute the same function.

    Args:
        name: of the model, see :mod:`mmseg_custom.benchmark.named_models`.
        config: its config.
        peers: some of ``mmseg``, ``hf`` and ``smp``.
        device: where the models go.

    Raises:
        ModuleNotFoundError: a peer is not installed.
    """
    ours = build(config)
    randomise(ours)
    networks = [MMSegNetwork('ours', ours, True)]
    builders = {'mmseg': _mmseg, 'hf': _hugging_face, 'smp': _smp}
    networks += [builders[peer](name, config, ours) for peer in peers]
    for network in networks:
        network.model.to(device)
    return networks


def _mmseg(name: str, config, ours: nn.Module) -> Network:
    stock = build(config, 'mmseg')
    stock.load_state_dict(ours.state_dict(), strict=True)
    return MMSegNetwork('mmseg', stock, True)


def _hugging_face(name: str, config, ours: nn.Module) -> Network:
    from mmseg_custom.checkpoints.to_huggingface import model_state_dict

    transformers = require('transformers')
    backbone, head = config.backbone, config.decode_head
    same = head.type == 'SegformerMLPHead'
    size = name.rsplit('_', 1)[-1]
    settings = transformers.SegformerConfig(
        depths=backbone.num_layers,
        hidden_sizes=head.in_channels,
        num_attention_heads=backbone.num_heads,
        decoder_hidden_size=head.channels if same else (256 if size in ('b0', 'b1') else 768),
        drop_path_rate=backbone.drop_path_rate,
        num_labels=NUM_CLASSES,
        attn_implementation='sdpa',
    )
    model = transformers.SegformerForSemanticSegmentation(settings)
    if same:
        weights = model_state_dict(ours)
        if weights.keys() != model.state_dict().keys():
            version = importlib.metadata.version('transformers')
            raise ValueError(
                f'transformers {version} names the parameters of SegFormer differently; '
                'run: pip install transformers==5.23.0'
            )
        model.load_state_dict(weights, strict=True)
    return HuggingFaceNetwork('hf', model, same)


def _smp(name: str, config, ours: nn.Module) -> Network:
    peer = require('segmentation_models_pytorch')
    encoder = f'mit_{name.rsplit("_", 1)[-1]}'
    model = peer.Segformer(encoder, encoder_weights=None, classes=NUM_CLASSES)
    return SmpNetwork('smp', model, False)


def autocast_for(device: torch.device, dtype: torch.dtype) -> Callable:
    """Return what opens a block in which matrix products run in ``dtype``."""
    if dtype == torch.float32:
        return nullcontext
    return lambda: torch.autocast(device.type, dtype)


@contextmanager
def without_randomness(model: nn.Module):
    """Switch dropout and stochastic depth off, in training mode too."""
    changed = []
    for module in model.modules():
        key = 'p' if isinstance(module, nn.modules.dropout._DropoutNd) else 'drop_prob'
        rate = getattr(module, key, None)
        if isinstance(rate, float) and rate > 0:
            changed.append((module, key, rate))
            setattr(module, key, 0.0)
    try:
        yield
    finally:
        for module, key, rate in changed:
            setattr(module, key, rate)
