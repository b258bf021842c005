"""Layer-wise learning-rate decay: the deeper a layer lies in the encoder, the less it learns.

Paper: ELECTRA (https://arxiv.org/abs/2003.10555, section 3.1), used for vision transformers since
BEiT (https://arxiv.org/abs/2106.08254). mmseg has it for BEiT and ConvNeXt only.
"""

import re
from collections.abc import Iterable

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from mmseg_custom.registry import OPTIM_WRAPPER_CONSTRUCTORS

# MiT: layers.<stage>.0 is a patch embedding, .1.<block> a block, .2 the stage's norm.
_MIT = re.compile(r'backbone\.layers\.(\d+)\.(?:0\.|1\.(\d+)\.|2\.)')
_VIT = re.compile(r'backbone\.layers\.(\d+)\.[a-z]')
_VIT_STEM = ('backbone.patch_embed', 'backbone.pos_embed', 'backbone.cls_token')


def layer_ids(names: Iterable[str]) -> dict[str, int]:
    """Number each parameter's layer, from the picture on.

    ViT: embeddings are 0, block i is i + 1. MiT: the first patch embedding is 0, blocks count on
    through the stages from 1; a stage's patch embedding belongs to its first block, its norm to its
    last. What follows the last block (a final norm, heads) is one more than that.

    Args:
        names: of all parameters of a model whose encoder is called ``backbone``.

    Raises:
        ValueError: the encoder is neither a MiT nor a ViT.
    """
    names = list(names)
    mit = {name: match for name in names if (match := _MIT.match(name))}
    if mit:
        return _mit_ids(names, mit)
    vit = {name: int(match[1]) for name in names if (match := _VIT.match(name))}
    if not vit:
        raise ValueError(
            'layer_decay needs a backbone MixVisionTransformer or VisionTransformer; leave it out'
        )
    top = max(vit.values()) + 2
    return {
        name: 0 if name.startswith(_VIT_STEM) else vit[name] + 1 if name in vit else top
        for name in names
    }


def _mit_ids(names: list[str], found: dict[str, re.Match]) -> dict[str, int]:
    depths: dict[int, int] = {}
    for match in found.values():
        stage, block = int(match[1]), int(match[2] or 0)
        depths[stage] = max(depths.get(stage, 1), block + 1)
    before = {stage: sum(depths[s] for s in depths if s < stage) for stage in depths}
    ids = dict.fromkeys(names, sum(depths.values()) + 1)
    for name, match in found.items():
        stage = int(match[1])
        if match[2] is not None:
            ids[name] = before[stage] + int(match[2]) + 1
        elif match[0].endswith('.0.'):
            ids[name] = before[stage] + 1 if stage else 0
        else:
            ids[name] = before[stage] + depths[stage]
    return ids


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's constructor, whose learning rates fall by a factor per layer of the encoder.

    Key of ``paramwise_cfg`` beyond mmengine's: ``layer_decay``, above 0, at most 1. Heads keep
    their learning rate; a parameter n layers below them gets ``layer_decay ** n`` of what it would
    have (with ``lr_mult`` of ``custom_keys``).

    Raises:
        ValueError: ``layer_decay`` is out of range, or the encoder is neither a MiT nor a ViT.
    """

    def _validate_cfg(self) -> None:
        super()._validate_cfg()
        decay = self.paramwise_cfg.get('layer_decay')
        if isinstance(decay, bool) or not isinstance(decay, int | float) or not 0 < decay <= 1:
            raise ValueError(f'layer_decay={decay}; expected above 0 and at most 1, e.g. 0.75')

    def add_params(self, params: list[dict], module: nn.Module, prefix: str = '', **kwargs) -> None:
        """Add the groups as mmengine does, one a parameter; then scale their learning rates."""
        super().add_params(params, module, prefix=prefix, **kwargs)
        if prefix:
            return
        names = {id(parameter): name for name, parameter in module.named_parameters()}
        ids = layer_ids(names.values())
        decay, top = self.paramwise_cfg['layer_decay'], max(ids.values())
        for group in params:
            depth = top - ids[names[id(group['params'][0])]]
            group['lr'] = group.get('lr', self.base_lr) * decay**depth
