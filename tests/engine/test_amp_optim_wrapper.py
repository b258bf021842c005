"""Mixed precision on the CPU."""

from types import SimpleNamespace

import pytest
import torch

from mmseg_custom.engine.amp_optim_wrapper import AmpOptimWrapper
from mmseg_custom.precision import preferred_dtype


def make(**kwargs):
    torch.manual_seed(0)
    model = torch.nn.Linear(8, 8)
    return model, AmpOptimWrapper(optimizer=torch.optim.SGD(model.parameters(), 0.1), **kwargs)


def test_bfloat16_step_is_a_plain_step_on_bfloat16_activations():
    model, wrapper = make(clip_grad={'max_norm': 1e9})
    twin, _ = make()
    x = torch.randn(4, 8)
    with wrapper.optim_context(model):
        y = model(x)
    assert y.dtype == torch.bfloat16
    wrapper.update_params(y.float().square().mean())
    with torch.autocast('cpu', torch.bfloat16):
        loss = twin(x).float().square().mean()
    loss.backward()
    expected = twin.weight - 0.1 * twin.weight.grad
    torch.testing.assert_close(model.weight, expected, rtol=1e-6, atol=1e-7)
    state = wrapper.state_dict()
    make()[1].load_state_dict(state)


def test_wrong_precision_names_the_fix():
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match='float16 training needs a GPU; set .*bfloat16'):
            make(dtype='float16')
    with pytest.raises(ValueError, match="dtype='float64', expected bfloat16, float16 or auto"):
        make(dtype='float64')


@pytest.mark.parametrize('emulated', [True, False])
def test_emulated_bfloat16_is_not_preferred(monkeypatch, emulated):
    """A GPU of before 2020, as torch describes it: major version 7 and bfloat16 tensors."""
    properties = SimpleNamespace(major=7 if emulated else 8)
    monkeypatch.setattr(torch.version, 'hip', None)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'current_device', lambda: 0)
    monkeypatch.setattr(torch.cuda, 'get_device_properties', lambda device: properties)
    monkeypatch.setattr(torch.cuda, '_check_bf16_tensor_supported', lambda device: True)
    assert torch.cuda.is_bf16_supported()
    assert preferred_dtype('cuda') == (torch.float16 if emulated else torch.bfloat16)
    assert preferred_dtype('cpu') == torch.bfloat16
