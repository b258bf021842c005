"""From our SegFormer's parameter names to those of Hugging Face's, release 5."""

from collections.abc import Iterator

from torch import Tensor, nn

_LAYER = {
    'norm1': 'layernorm_before',
    'norm2': 'layernorm_after',
    'attn.attn.out_proj': 'attention.o_proj',
    'attn.sr': 'attention.sequence_reduction.sequence_reduction',
    'attn.norm': 'attention.sequence_reduction.layer_norm',
    'ffn.layers.0': 'mlp.fc1',
    'ffn.layers.1': 'mlp.dwconv.dwconv',
    'ffn.layers.4': 'mlp.fc2',
}
_EMBEDDING = {'projection': 'proj', 'norm': 'layer_norm'}
_HEAD = {
    'linear_fuse.conv': 'linear_fuse',
    'linear_fuse.bn': 'batch_norm',
    'conv_seg': 'classifier',
}


def state_dict_of(segmentor: nn.Module) -> dict[str, Tensor]:
    """Rename the weights of a segmentor with MiT and :class:`SegformerMLPHead`.

    Returns:
        A state dict for ``transformers.SegformerForSemanticSegmentation``.
    """
    renamed = {}
    for key, value in segmentor.state_dict().items():
        part, rest = key.split('.', 1)
        if part == 'backbone':
            renamed.update(_backbone(rest, value))
        else:
            renamed[f'decode_head.{_head(rest)}'] = value
    return renamed


def _backbone(key: str, value: Tensor) -> Iterator[tuple[str, Tensor]]:
    _, stage, group, rest = key.split('.', 3)
    prefix = f'segformer.stages.{stage}.'
    if group == '0':
        name, kind = rest.rsplit('.', 1)
        yield f'{prefix}patch_embeddings.{_EMBEDDING[name]}.{kind}', value
    elif group == '2':
        yield f'{prefix}layer_norm.{rest}', value
    else:
        block, rest = rest.split('.', 1)
        prefix += f'blocks.{block}.'
        if rest.startswith('attn.attn.in_proj_'):
            kind = rest.removeprefix('attn.attn.in_proj_')
            for name, part in zip('qkv', value.chunk(3)):
                yield f'{prefix}attention.{name}_proj.{kind}', part
            return
        name, kind = rest.rsplit('.', 1)
        if kind == 'weight' and name in ('ffn.layers.0', 'ffn.layers.4'):
            # A 1x1 convolution here, a linear layer there.
            value = value.flatten(1)
        yield f'{prefix}{_LAYER[name]}.{kind}', value


def _head(key: str) -> str:
    name, kind = key.rsplit('.', 1)
    if name.startswith('linear_c'):
        level = int(name.removeprefix('linear_c').removesuffix('.proj'))
        return f'linear_projections.{level - 1}.proj.{kind}'
    return f'{_HEAD[name]}.{kind}'
