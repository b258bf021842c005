"""The models that a service is started with."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mmseg_custom.inference.inferencer import Inferencer

# A picture of this side must go through every model at the start.
PROBE_SIDE = 64


def load_models(
    specs: Sequence[str],
    device: str | None = None,
    *,
    batch_size: int = 1,
    half: bool = False,
    show: Callable[[str], None] | None = None,
) -> dict[str, Inferencer]:
    """Load models, and try each with a small picture.

    Args:
        specs: what :class:`Inferencer` takes alone, or ``NAME=MODEL``; without it the name is that
            of the file.
        device: such as ``cpu`` or ``cuda:1``; default: the first GPU if there is one.
        batch_size: pictures that go through a network at once.
        half: compute in half precision.
        show: gets the report on the weights as text.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: two models have the same name, or one does not take RGB pictures.
    """
    models: dict[str, Inferencer] = {}
    for spec in specs:
        name, path = _name_and_path(spec)
        if name in models:
            raise ValueError(f'two models have the name {name!r}; give them others as NAME={path}')
        models[name] = Inferencer(path, device=device, batch_size=batch_size, half=half, show=show)
        try:
            models[name](np.zeros((PROBE_SIDE, PROBE_SIDE, 3), np.uint8))
        except (ValueError, RuntimeError, IndexError) as error:
            reason = ' '.join(str(error).split())
            raise ValueError(
                f'{path} does not take RGB pictures ({reason}); serve another'
            ) from error
    return models


def _name_and_path(spec: str) -> tuple[str, str]:
    name, equals, path = spec.partition('=')
    if not equals or Path(spec).exists():
        return Path(spec).stem, spec
    if not name or not path:
        raise ValueError(f'{spec!r} is no model; expected a checkpoint or NAME=CHECKPOINT')
    return name, path
