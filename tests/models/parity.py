"""Our model beside the stock one: same weights, same numbers."""

import copy

import torch
from torch import Tensor, nn

from mmseg_custom.registry import MODELS


def pair(config: dict, dtype=torch.float64, seed: int = 0) -> tuple[nn.Module, nn.Module]:
    """Build ours and mmseg's from one config, with the same random weights, loaded strictly.

    Norm layers get other scales, shifts and statistics than their initial ones.
    """
    torch.manual_seed(seed)
    ours, stock = (
        MODELS.build({**copy.deepcopy(config), '_scope_': scope})
        for scope in ('mmseg_custom', 'mmseg')
    )
    assert type(ours).__module__.startswith('mmseg_custom.')
    assert type(stock).__module__.startswith('mmseg.')
    with torch.no_grad():
        for parameter in ours.parameters():
            spread = 0.3 if parameter.ndim < 2 else 1.5 / parameter[0].numel() ** 0.5
            parameter.add_(torch.randn_like(parameter) * spread)
        for name, buffer in ours.named_buffers():
            if name.endswith(('running_mean', 'running_var')):
                buffer.add_(torch.rand_like(buffer))
    stock.load_state_dict(ours.state_dict(), strict=True)
    ours.load_state_dict(stock.state_dict(), strict=True)
    return ours.to(dtype), stock.to(dtype)


def flat(outputs) -> list[Tensor]:
    """Tensors of a nested output, in order."""
    return [outputs] if isinstance(outputs, Tensor) else [t for out in outputs for t in flat(out)]


def assert_same_numbers(ours: nn.Module, stock: nn.Module, inputs, tolerance: float = 1e-9):
    """Compare outputs, and every parameter's gradient of a random projection of them."""
    gradients = []
    results = []
    for model in (ours, stock):
        torch.manual_seed(1)  # stochastic depth draws the same samples in both
        outputs = flat(model(inputs))
        torch.manual_seed(2)
        loss = sum((out * torch.randn(out.shape, dtype=out.dtype)).sum() for out in outputs)
        model.zero_grad()
        loss.backward()
        results.append(outputs)
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    assert len(results[0]) == len(results[1])
    for out, want in zip(*results, strict=True):
        assert out.shape == want.shape
        assert (out - want).abs().max() <= tolerance * want.abs().max()
    largest = max(g.norm() for g in gradients[1].values() if g is not None)
    assert largest > 0
    for name, want in gradients[1].items():
        if want is None:
            assert gradients[0][name] is None, name
        else:
            assert (gradients[0][name] - want).norm() <= tolerance * largest, name
