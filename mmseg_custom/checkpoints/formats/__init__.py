"""One module per source of weights: recognise a file by its names, and rename it into ours.

Each has ``recognise(shapes, metadata)`` and ``to_ours(tensors, metadata)``. A file is recognised by
its content, never by its own name.
"""

from mmseg_custom.checkpoints.formats import (
    augreg,
    huggingface,
    nvlabs,
    openmmlab,
    rstrudel,
    timm,
)
from mmseg_custom.checkpoints.formats.description import Weights
from mmseg_custom.checkpoints.reading import RawCheckpoint

# The last one takes every file: it is also the form of any model trained here.
FORMATS = (augreg, rstrudel, timm, nvlabs, huggingface, openmmlab)


def convert(raw: RawCheckpoint) -> Weights:
    """Turn what a file holds into parameters by our names and a description.

    Raises:
        ValueError: the file is of a known source, but incomplete or of an architecture that has no
            counterpart here.
    """
    shapes = raw.shapes
    found = next(one for one in FORMATS if one.recognise(shapes, raw.metadata))
    try:
        weights = found.to_ours(raw.tensors, raw.metadata)
    except ValueError as error:
        raise ValueError(f'checkpoint {raw.path}: {error}') from error
    weights.name, weights.content = str(raw.path), raw.content
    weights.meta = raw.metadata.get('meta') or {}
    return weights
