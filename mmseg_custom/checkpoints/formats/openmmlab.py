"""OpenMMLab's files and our own: the names of this project.

A full model is ``{'state_dict': {'backbone.*', 'decode_head.*'}, 'meta': ...}``, a backbone the
same without the first part of the names. ``meta.mmseg_custom`` is the description that our
converters and runs record; the epsilons of layer norms are known only from there. Normalisation and
labels are also read from the text of the run's config and from ``meta.dataset_meta``.
"""

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

from mmseg_custom.checkpoints.formats.description import (
    MIT_SIZES,
    VIT_SIZES,
    Description,
    Weights,
    check_heads,
)
from mmseg_custom.checkpoints.recorded_config import read_preprocessing

DESCRIPTION_KEY = 'mmseg_custom'
# Where the text of the config is: in our and mmengine's runs, MMSegmentation 0.x, converted files.
CONFIG_TEXT_KEY = 'config_text'
CONFIG_KEYS = ('cfg', 'config', CONFIG_TEXT_KEY)
_RECORDED = (
    *('heads', 'decoder_heads', 'strides', 'eps'),
    *('mean', 'std', 'channel_order', 'image_size', 'reduce_labels'),
)
_HEAD_PARTS = {
    'decode_head.linear_c1.proj.weight': 'mlp',
    'decode_head.fusion_conv.conv.weight': 'conv',
    'decode_head.cls_emb': 'mask',
    'decode_head.conv_seg.weight': 'linear',
    'head.fc.weight': 'classification',
}
Shapes = Mapping[str, tuple[int, ...]]


def recognise(shapes: Shapes, metadata: Mapping) -> bool:
    """Always: names that no other format knows are compared with the model's as they are."""
    return True


def to_ours(tensors: Mapping[str, Tensor], metadata: Mapping) -> Weights:
    """Put ``backbone.`` before the names of a backbone; a full model stays as it is."""
    if _is_backbone(tensors):
        tensors = {f'backbone.{name}': value for name, value in tensors.items()}
    meta = metadata.get('meta') or {}
    description = describe(
        {name: tuple(v.shape) for name, v in tensors.items() if isinstance(v, Tensor)}
    )
    description.source = 'OpenMMLab' if description.family else ''
    recorded = meta.get(DESCRIPTION_KEY)
    if isinstance(recorded, Mapping):
        recorded = Description.from_dict(recorded)
        description.source = recorded.source or 'this project'
        if not description.has_decoder:
            # A backbone alone: only the recorded number says what it was trained on.
            description.num_classes = description.num_classes or recorded.num_classes
    for key, value in {**_said_by_the_run(meta), **_said_by(recorded)}.items():
        setattr(description, key, value)
    if description.family and description.heads:
        check_heads(description.heads, description.dims, 'recorded description')
    if description.family == 'vit' and description.image_size is not None:
        check_picture_size(description.image_size, tensors, description.patch_size)
    description.classes, description.palette = _classes(meta)
    return Weights(dict(tensors), description)


def check_picture_size(size: Sequence[int], tensors: Mapping, patch_size: int) -> None:
    """Raise ``ValueError`` where a ViT's positions are for pictures of another size."""
    count = tensors['backbone.pos_embed'].shape[1] - 1
    rows, columns = (side // patch_size for side in size)
    if rows * columns != count:
        raise ValueError(
            f'pictures of {size[0]}x{size[1]} pixels are recorded, which are {rows}x{columns} '
            f'patches, but the tensors have positions for {count}; one of them is of another file'
        )


def _said_by(recorded: Description | None) -> dict:
    """What a converter or a run of ours recorded, and the tensors do not tell."""
    found = {key: getattr(recorded, key, None) for key in _RECORDED}
    return {key: value for key, value in found.items() if value not in (None, (), {})}


def _said_by_the_run(meta: Mapping) -> dict:
    """Preprocessing by the text of the run's config and by the data set that it was trained on."""
    texts = (meta.get(key) for key in CONFIG_KEYS)
    text = next((one for one in texts if isinstance(one, str)), None)
    found = read_preprocessing(text) if text else {}
    reduce_labels = (meta.get('dataset_meta') or {}).get('reduce_zero_label')
    return found if reduce_labels is None else {**found, 'reduce_labels': bool(reduce_labels)}


def _is_backbone(names: Mapping[str, object]) -> bool:
    return 'layers.0.0.projection.weight' in names or 'patch_embed.projection.weight' in names


def _classes(meta: Mapping) -> tuple[tuple | None, tuple | None]:
    """Names and colours as this project saves them, or MMSegmentation before 1.0."""
    found = meta.get('dataset_meta') or {}
    classes = found.get('classes') or meta.get('CLASSES')
    palette = found.get('palette')
    palette = meta.get('PALETTE') if palette is None else palette
    return (
        None if classes is None else tuple(str(name) for name in classes),
        None if palette is None else tuple(tuple(int(v) for v in colour) for colour in palette),
    )


def describe(shapes: Shapes) -> Description:
    """Say what a network is from the names and shapes of its parameters, in our names."""
    backbone = {
        name.removeprefix('backbone.'): shape
        for name, shape in shapes.items()
        if name.startswith('backbone.')
    }
    description = Description()
    if 'layers.0.0.projection.weight' in backbone:
        _describe_mit(description, backbone)
    elif 'patch_embed.projection.weight' in backbone and 'pos_embed' in backbone:
        _describe_vit(description, backbone)
    _describe_head(description, shapes)
    return description


def _describe_mit(description: Description, shapes: Shapes) -> None:
    stages = 0
    while f'layers.{stages}.0.projection.weight' in shapes:
        stages += 1
    projections = [shapes[f'layers.{stage}.0.projection.weight'] for stage in range(stages)]
    description.family = 'mit'
    description.dims = tuple(shape[0] for shape in projections)
    description.depths = tuple(
        _count(shapes, rf'layers\.{stage}\.1\.(\d+)\.') for stage in range(stages)
    )
    description.in_channels, description.patch_size = projections[0][1:3]
    if (description.depths, description.dims[0]) in MIT_SIZES.values():
        description.heads = tuple(dim // description.dims[0] for dim in description.dims)


def _describe_vit(description: Description, shapes: Shapes) -> None:
    width, in_channels, patch_size = shapes['patch_embed.projection.weight'][:3]
    description.family = 'vit'
    description.dims = (width,)
    description.depths = (_count(shapes, r'layers\.(\d+)\.'),)
    description.in_channels, description.patch_size = in_channels, patch_size
    if (description.depths[0], width) in VIT_SIZES.values():
        description.heads = (width // 64,)


def _describe_head(description: Description, shapes: Shapes) -> None:
    found = next((name for name in _HEAD_PARTS if name in shapes), None)
    if found is None:
        if any(name.startswith('decode_head.') for name in shapes):
            description.head = 'other'
        return
    description.head = _HEAD_PARTS[found]
    others = [n for n in shapes if n.startswith('decode_head.') and '.conv_seg.' not in n]
    if description.head == 'linear' and others:
        description.head = 'other'
    if description.head == 'mask':
        description.num_classes = shapes[found][1]
        if description.heads and shapes[found][2:] == description.dims:
            description.decoder_heads = description.heads[0]
        return
    classifier = found if description.head == 'classification' else 'decode_head.conv_seg.weight'
    if classifier in shapes:
        description.num_classes = shapes[classifier][0]
    if description.head in ('conv', 'mlp'):
        description.width = shapes[found][0]


def _count(shapes: Shapes, pattern: str) -> int:
    """How many layers there are if none is missing: one more than the highest index."""
    found = (re.match(pattern, name) for name in shapes)
    return max((int(match[1]) + 1 for match in found if match), default=0)
