"""``torch.compile`` for the parts of a model."""

import torch
from torch import nn


def compile_parts(model: nn.Module, fullgraph: bool = True, **options) -> None:
    """Compile backbone, neck and heads in place.

    mmengine compiles the whole ``train_step``, which breaks into many graphs; here everything
    around the parts stays as it is. The ``forward`` functions are compiled, not the modules: heads
    compute their loss by ``self.forward``, past ``__call__``.

    Args:
        model: a segmentor in mmseg's sense, or an image classifier.
        fullgraph: whether a part that cannot become one graph is an error.
        options: of :func:`torch.compile`, e.g. ``mode='max-autotune'``.
    """
    for name in ('backbone', 'neck', 'decode_head', 'auxiliary_head', 'head'):
        part = getattr(model, name, None)
        for module in part if isinstance(part, nn.ModuleList) else (part,):
            if module is not None:
                module.forward = torch.compile(module.forward, fullgraph=fullgraph, **options)
