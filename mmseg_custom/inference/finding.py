"""What the few words mean that a model is named with."""

import copy
import os

from mmengine.config import Config

from mmseg_custom.checkpoints.formats.openmmlab import CONFIG_KEYS
from mmseg_custom.checkpoints.loading import open_weights
from mmseg_custom.checkpoints.published import PUBLISHED
from mmseg_custom.checkpoints.recorded_config import read_config
from mmseg_custom.engine.config import apply_options, load_config


def find_model(
    model: str | os.PathLike | Config,
    weights: str | os.PathLike | None = None,
    cfg_options: list[str] | None = None,
) -> tuple[Config, str | os.PathLike]:
    """Find the config and the weights that a few words mean; see :class:`Inferencer`.

    Raises:
        ValueError: there are no weights, or the checkpoint carries no config.
    """
    if weights is None and (isinstance(model, Config) or str(model).endswith('.py')):
        name = model.filename if isinstance(model, Config) else model
        raise ValueError(
            f'config {name} has no weights; name a checkpoint after it, or give a checkpoint alone'
        )
    published = PUBLISHED.get(str(model)) if weights is None else None
    if published is not None and not published.config:
        raise ValueError(f"'{model}' is an encoder alone; expected the name of a segmentor")
    if weights is None and published is None:
        config, weights = recorded_config(model), model
    else:
        if published is not None:
            model, weights = published.config, str(model)
        config = copy.deepcopy(model) if isinstance(model, Config) else load_config(str(model))
    apply_options(config, cfg_options or [])
    return config, weights


def recorded_config(checkpoint: str | os.PathLike) -> Config:
    """Rebuild the config that a run of this project, or of MMSegmentation 1.x, keeps in its files.

    The text is Python, of which only literals are read; nothing of it runs.

    Raises:
        ValueError: there is none.
    """
    meta = open_weights(checkpoint).meta
    text = next((meta[key] for key in CONFIG_KEYS if isinstance(meta.get(key), str)), '')
    config = read_config(text)
    if not isinstance(config.get('model'), dict):
        raise ValueError(
            f'{checkpoint} carries no config; name its config first: CONFIG {checkpoint}'
        )
    return Config(config)
