"""Sharded training with PyTorch's FSDP2: each process keeps a part of every parameter.

Gradients and the optimizer's state are kept in the same parts. A checkpoint holds whole tensors, so
it loads on any number of processes, sharded or not.
"""

import torch
from mmengine.device import get_device
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import EMAHook, Hook
from mmengine.optim import OptimWrapper
from mmengine.utils import apply_to
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

SHARDINGS = ('fsdp',)


def transformer_layers(model: nn.Module) -> list[nn.Module]:
    """The layers of ViT, MiT and Segmenter's decoder: what has attention and a feed-forward net."""
    return [
        module for module in model.modules() if hasattr(module, 'attn') and hasattr(module, 'ffn')
    ]


def check_sharding(config: dict, hooks: list[Hook]) -> None:
    """Raise unless a run can be sharded as its config says.

    Args:
        config: of the run.
        hooks: of the run.

    Raises:
        ValueError: an unknown ``sharding``, or something that needs whole parameters is on.
    """
    sharding = config.get('sharding')
    if sharding not in (None, False, *SHARDINGS):
        raise ValueError(f"sharding={sharding!r}, expected 'fsdp' or None; leave it out for DDP")
    problems = {
        'compile': config.get('compile'),
        'EMAHook': any(isinstance(hook, EMAHook) for hook in hooks),
        'model_wrapper_cfg': config.get('model_wrapper_cfg'),
    }
    found = [name for name, on in problems.items() if on]
    if sharding and found:
        raise ValueError(
            f'sharding={sharding!r} does not work together with {", ".join(found)}; leave one out'
        )


def shard(model: nn.Module, optim_wrapper: OptimWrapper) -> None:
    """Shard a model in place, each transformer layer by itself, and its optimizer with it.

    Args:
        model: whole, with the same weights in every process.
        optim_wrapper: with an optimizer of all or some of the parameters; may have a state. The
            parts replace its parameters, in the same groups and order.

    Raises:
        ValueError: the model has no transformer layers, or is trained in float16, whose loss
            scaling would skip steps in some processes only.
    """
    layers = transformer_layers(model)
    if not layers:
        raise ValueError(
            f"sharding='fsdp' shards transformer layers, and {type(model).__name__} has none; "
            'leave sharding out'
        )
    if getattr(optim_wrapper, 'cast_dtype', None) == torch.float16:
        raise ValueError(
            "sharding='fsdp' does not work together with float16; set optim_wrapper.dtype=bfloat16"
        )
    names = {parameter: name for name, parameter in model.named_parameters()}
    mesh = init_device_mesh(get_device(), (get_world_size(),))
    for module in (*layers, model):
        fully_shard(module, mesh=mesh)
    parts = dict(model.named_parameters())
    optimizer = optim_wrapper.optimizer
    for group in optimizer.param_groups:
        group['params'] = [parts[names[parameter]] for parameter in group['params']]
    for parameter in list(optimizer.state):
        part = parts[names[parameter]]
        state = optimizer.state.pop(parameter)
        optimizer.state[part] = {
            key: _part_like(value, parameter, part) for key, value in state.items()
        }


def _part_like(value, parameter: nn.Parameter, part: DTensor):
    """The part of a state that has the parameter's shape; anything else as it is."""
    if not isinstance(value, torch.Tensor) or value.shape != parameter.shape or not value.dim():
        return value
    return distribute_tensor(value, part.device_mesh, part.placements)


def whole(state):
    """Put the parts of a nested state together on the CPU; every process has to call it.

    Returns:
        The same structure; outside the first process empty tensors stand for the whole ones.
    """

    def gather(part: DTensor) -> torch.Tensor:
        tensor = part.full_tensor()
        return tensor.cpu() if is_main_process() else tensor.new_empty(0)

    return apply_to(state, lambda value: isinstance(value, DTensor), gather)


def is_sharded(model: nn.Module) -> bool:
    """Whether :func:`shard` was called with this model."""
    return isinstance(model, FSDPModule)


def keep_whole(model: nn.Module, keep: bool) -> None:
    """Keep the whole parameters of a sharded model in every process, or its parts again.

    A validation needs them: pictures of different sizes have different numbers of windows, so the
    processes do not gather the layers equally often.
    """
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_reshard_after_forward(not keep and module is not model, recurse=False)
            if keep:
                module.unshard()
            else:
                module.reshard()
