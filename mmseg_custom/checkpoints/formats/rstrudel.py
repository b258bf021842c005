"""rstrudel/segmenter: ``checkpoint.pth`` with ``variant.yml`` beside it.

Official code: ``segm/model/``. Facts that the tensors do not show: every layer norm has torch's
default eps of 1e-5; ``variant.yml`` names the heads and the normalisation of the pictures, ``vit``
(0.5 and 0.5) or ``deit`` (ImageNet's). The projections of the mask decoder are matrices that are
multiplied from the right.
"""

from collections.abc import Mapping

from torch import Tensor

from mmseg_custom.checkpoints.formats.description import Weights, check_heads, check_side_file
from mmseg_custom.checkpoints.formats.naming import Entry
from mmseg_custom.checkpoints.formats.naming import to_ours as rename
from mmseg_custom.checkpoints.formats.openmmlab import to_ours as describe_ours
from mmseg_custom.checkpoints.formats.timm import (
    encoder_entries,
    layer_entries,
    picture_size,
    refuse_unknown,
)
from mmseg_custom.checkpoints.image_processor import HALF, IMAGENET

EPS = {'norm': 1e-5, 'head_norm': 1e-5}
NORMALISATIONS = {'vit': HALF, 'deit': IMAGENET}
ENTRIES = (
    *encoder_entries('encoder.'),
    *layer_entries('decode_head.layers.{layer}', 'decoder.blocks.{layer}'),
    Entry('decode_head.dec_proj.{kind}', 'decoder.proj_dec.{kind}'),
    Entry('decode_head.cls_emb', 'decoder.cls_emb'),
    Entry('decode_head.patch_proj.weight', 'decoder.proj_patch', 'transposed'),
    Entry('decode_head.classes_proj.weight', 'decoder.proj_classes', 'transposed'),
    Entry('decode_head.decoder_norm.{kind}', 'decoder.decoder_norm.{kind}'),
    Entry('decode_head.mask_norm.{kind}', 'decoder.mask_norm.{kind}'),
    Entry('decode_head.conv_seg.{kind}', 'decoder.head.{kind}', 'linear'),
)
_LAYERS = 'decode_head.layers.'
# The encoder's classifier, which the segmentor never calls.
_UNUSED = ('encoder.head.weight', 'encoder.head.bias')


def recognise(shapes: Mapping[str, tuple[int, ...]], metadata: Mapping) -> bool:
    """Whether the names are those of rstrudel's Segmenter."""
    return 'encoder.patch_embed.proj.weight' in shapes and any(
        name.startswith('decoder.') for name in shapes
    )


def to_ours(tensors: Mapping[str, Tensor], metadata: Mapping) -> Weights:
    """Rename, transpose the mask decoder's projections, and read ``variant.yml``.

    Raises:
        ValueError: there is no ``variant.yml``, it says something else than the tensors, or the
            encoder is a distilled DeiT.
    """
    variant = metadata.get('variant')
    if variant is None:
        raise ValueError(
            'a Segmenter of rstrudel needs its variant.yml, which names the number of heads and '
            'the normalisation; put it into the same folder'
        )
    if 'encoder.dist_token' in tensors:
        raise ValueError(
            'a Segmenter on a distilled DeiT, whose second token (encoder.dist_token) takes part '
            'in every layer and has no counterpart here; take a Segmenter with a ViT encoder '
            '(seg_tiny_mask to seg_large_mask), or train from the encoder of the DeiT itself'
        )
    ignored = [name for name in _UNUSED if name in tensors]
    renamed, unknown = rename({k: v for k, v in tensors.items() if k not in ignored}, ENTRIES)
    refuse_unknown(unknown, 'rstrudel/segmenter')
    weights = describe_ours(renamed, {})
    description = weights.description
    network = variant.get('net_kwargs') or {}
    description.image_size = picture_size(weights, network.get('image_size'))
    _compare(network, weights)
    description.source, description.eps, weights.ignored = 'rstrudel', dict(EPS), ignored
    if description.head != 'mask':
        description.eps = {'norm': EPS['norm']}
    description.heads = (int(network['n_heads']),)
    if description.head == 'mask':
        # segm/model/factory.py gives each head of the decoder 64 channels.
        description.decoder_heads = description.dims[0] // 64 or None
    normalisation = network.get('normalization', 'vit')
    if normalisation not in NORMALISATIONS:
        raise ValueError(
            f'variant.yml has normalization: {normalisation}, expected '
            f'{" or ".join(NORMALISATIONS)}'
        )
    description.mean, description.std = NORMALISATIONS[normalisation]
    return weights


def _compare(network: Mapping, weights: Weights) -> None:
    """Raise where ``variant.yml`` belongs to another file."""
    if 'n_heads' not in network:
        raise ValueError('variant.yml has no net_kwargs.n_heads; take the one of this checkpoint')
    description = weights.description
    found = {
        'n_layers': description.depths[0],
        'd_model': description.dims[0],
        'patch_size': description.patch_size,
        'n_cls': description.num_classes,
        'image_size': description.image_size,
    }
    check_side_file('variant.yml', network, found)
    check_heads((int(network['n_heads']),), description.dims, 'variant.yml')
    decoder = network.get('decoder')
    layers = {name.split('.')[2] for name in weights.state_dict if name.startswith(_LAYERS)}
    masks = description.head == 'mask'
    found = {
        'name': 'mask_transformer' if masks else 'linear',
        'n_layers': len(layers) if masks else None,
    }
    check_side_file('variant.yml', decoder if isinstance(decoder, Mapping) else {}, found)
