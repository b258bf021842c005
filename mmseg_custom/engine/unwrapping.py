"""The model itself, without what training on several processes or augmentation puts around it."""

from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import nn


def unwrap(model: nn.Module) -> nn.Module:
    """Return the segmentor or classifier inside wrappers; it has the names that configs know."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model
