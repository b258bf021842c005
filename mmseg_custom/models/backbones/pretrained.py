"""Backbones whose own initialisation reads checkpoints start from any known source."""

from torch import nn

from mmseg_custom.checkpoints.initialising import Pretrained


def load_pretrained(model: nn.Module, init_cfg: dict | list[dict] | None) -> bool:
    """Load what ``dict(type='Pretrained', checkpoint=...)`` names, if it names something.

    Args:
        model: a backbone, which takes its part of a whole segmentor's checkpoint.
        init_cfg: initialisation as in mmengine. Beside ``Pretrained`` others have no effect: every
            parameter is loaded.

    Returns:
        Whether there was something to load.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: the checkpoint does not fill the model.
    """
    configs = init_cfg if isinstance(init_cfg, list | tuple) else [init_cfg]
    config = next((one for one in configs if one and one.get('type') == 'Pretrained'), None)
    if config is None:
        return False
    Pretrained(**{key: value for key, value in config.items() if key != 'type'})(model)
    # mmengine would warn of a second initialisation.
    model.is_init = True
    return True
