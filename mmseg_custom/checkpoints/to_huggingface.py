"""From our weights to a folder that Hugging Face's transformers opens.

Written are the hub's key names, which releases 4 and 5 read. transformers computes with an eps of
1e-5 in every layer norm, whatever ``config.json`` says.
"""

import json
import os
from math import isclose
from pathlib import Path

from torch import Tensor, nn

from mmseg_custom.checkpoints.formats.description import Description, Weights
from mmseg_custom.checkpoints.formats.huggingface import EPS, HUB_ENTRIES, MODEL_ENTRIES
from mmseg_custom.checkpoints.formats.naming import from_ours
from mmseg_custom.checkpoints.image_processor import ImageProcessor, write_processor
from mmseg_custom.checkpoints.loading import open_weights
from mmseg_custom.checkpoints.saving import write_folder


def model_state_dict(segmentor: nn.Module) -> dict[str, Tensor]:
    """Rename the weights of a segmentor with MiT and ``SegformerMLPHead``.

    Returns:
        A state dict for ``transformers.SegformerForSemanticSegmentation`` of release 5 in memory.

    Raises:
        ValueError: it has parameters that transformers' SegFormer does not have.
    """
    return _renamed(segmentor.state_dict(), MODEL_ENTRIES)


def _renamed(state_dict, entries) -> dict[str, Tensor]:
    renamed, unknown = from_ours(state_dict, entries)
    if unknown:
        raise ValueError(
            f"transformers' SegFormer has no counterpart of {unknown[0]} (and {len(unknown) - 1} "
            'more); expected MiT with SegformerMLPHead, or with a linear classifier'
        )
    return renamed


def write_huggingface(
    source: str | os.PathLike, folder: str | os.PathLike, **preprocessing
) -> list[str]:
    """Write ``config.json``, ``model.safetensors`` and ``preprocessor_config.json``.

    Args:
        source: a checkpoint of a SegFormer with the MLP decoder, or of MiT with a classifier.
        folder: a new folder, for ``from_pretrained``.
        **preprocessing: ``mean``, ``std``, ``image_size`` or ``reduce_labels`` as in
            :class:`~mmseg_custom.checkpoints.formats.description.Description`, where the checkpoint
            does not say them; None counts as not given.

    Returns:
        Lines on what differs from the model that it was.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: it cannot be read, transformers has no such model, or neither the checkpoint nor
            the caller says how pictures and labels are prepared.
        FileExistsError: the folder holds something already.
        OSError: it cannot be written; nothing is left of it.
    """
    from safetensors.torch import save

    weights = open_weights(source)
    description = weights.description
    if description.family != 'mit' or description.head not in ('mlp', 'classification'):
        raise ValueError(
            f"{weights.name} holds {description.kind}; transformers' SegFormer has MiT with the "
            'MLP decoder (SegformerMLPHead) or with a linear classifier'
        )
    if not description.heads:
        raise ValueError(
            f'{weights.name} does not say how many attention heads it has; expected a published '
            'size, or a checkpoint that tools/train.py of this release or a converter wrote'
        )
    tensors = _renamed(weights.state_dict, HUB_ENTRIES)
    for key, value in preprocessing.items():
        if value is not None:
            setattr(description, key, value)
    processor = _processor(description, weights.name)
    files = {
        'config.json': _json(_config(description, weights)),
        'preprocessor_config.json': _json(write_processor(processor)),
        'model.safetensors': save(
            {name: value.contiguous().clone() for name, value in tensors.items()}, {'format': 'pt'}
        ),
    }
    write_folder(Path(folder).expanduser(), files)
    return _differences(description)


def _processor(description: Description, name: str) -> ImageProcessor:
    """The image processor that prepares pictures as the checkpoint was trained."""
    if description.channel_order == 'bgr':
        raise ValueError(
            f"{name} takes BGR pictures, transformers' SegFormer RGB; train with "
            'model.data_preprocessor.bgr_to_rgb=True'
        )
    classifies = description.head == 'classification'
    reduce_labels = False if classifies else description.reduce_labels
    said = {
        '--mean': description.mean,
        '--std': description.std,
        '--reduce-zero-label': reduce_labels,
    }
    missing = [option for option, value in said.items() if value is None]
    if missing:
        raise ValueError(
            f'{name} does not say how its pictures and labels were prepared; add '
            f'{" and ".join(missing)} as in the config that it was trained with'
        )
    if len(description.mean) != len(description.std) or len(description.mean) not in (
        1,
        description.in_channels,
    ):
        raise ValueError(
            f'expected a mean and std of {description.in_channels} channels, got '
            f'{len(description.mean)} and {len(description.std)} numbers'
        )
    return ImageProcessor(
        description.mean, description.std, description.image_size, reduce_labels=reduce_labels
    )


def _differences(description: Description) -> list[str]:
    if not description.eps:
        return [
            'the file does not say the eps of its layer norms; transformers computes with 1e-5, '
            "mmseg's MiT with 1e-6, which changes the outputs a little"
        ]
    other = {k: v for k, v in description.eps.items() if k in EPS and not isclose(v, EPS[k])}
    return [
        f'{kind}: eps {value:g} here, {EPS[kind]:g} in transformers, which changes the outputs a '
        'little'
        for kind, value in other.items()
    ]


def _json(content: dict) -> bytes:
    return (json.dumps(content, indent=2) + '\n').encode()


def _config(description: Description, weights: Weights) -> dict:
    """The ``config.json`` of transformers' SegFormer."""
    state_dict = weights.state_dict
    stages = range(len(description.dims))

    def shape(stage: int, name: str) -> tuple[int, ...] | None:
        value = state_dict.get(f'backbone.layers.{stage}.{name}')
        return None if value is None else tuple(value.shape)

    hidden = [shape(stage, '1.0.ffn.layers.0.weight')[0] for stage in stages]
    reductions = [shape(stage, '1.0.attn.sr.weight') for stage in stages]
    num_classes = description.num_classes
    names = description.classes or [f'LABEL_{index}' for index in range(num_classes)]
    segments = description.head == 'mlp'
    return {
        'architectures': [
            f'SegformerFor{"SemanticSegmentation" if segments else "ImageClassification"}'
        ],
        'model_type': 'segformer',
        'num_channels': description.in_channels,
        'num_encoder_blocks': len(stages),
        'depths': list(description.depths),
        'hidden_sizes': list(description.dims),
        'num_attention_heads': list(description.heads),
        'patch_sizes': [shape(stage, '0.projection.weight')[2] for stage in stages],
        'strides': list(description.strides or (4, 2, 2, 2)),
        'sr_ratios': [reduction[2] if reduction else 1 for reduction in reductions],
        'mlp_ratios': [size // dim for size, dim in zip(hidden, description.dims, strict=True)],
        'hidden_act': 'gelu',
        'hidden_dropout_prob': 0.0,
        'attention_probs_dropout_prob': 0.0,
        'classifier_dropout_prob': 0.1,
        'drop_path_rate': 0.1,
        'decoder_hidden_size': description.width or 256,
        'reshape_last_stage': True,
        'semantic_loss_ignore_index': 255,
        'id2label': {str(index): name for index, name in enumerate(names)},
        'label2id': {name: index for index, name in enumerate(names)},
    }
