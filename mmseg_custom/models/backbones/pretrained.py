"""Models start from published weights of any known source."""

from mmengine.logging import print_log
from torch import nn

from mmseg_custom.checkpoints.loading import load_weights


def pretrained_checkpoint(init_cfg: dict | list[dict] | None) -> str | None:
    """The checkpoint that an initialisation as in mmengine names, if it names one."""
    configs = init_cfg if isinstance(init_cfg, list | tuple) else [init_cfg]
    return next(
        (one['checkpoint'] for one in configs if one and one.get('type') == 'Pretrained'), None
    )


def load_pretrained(model: nn.Module, init_cfg: dict | list[dict] | None) -> bool:
    """Load what ``dict(type='Pretrained', checkpoint=...)`` names, if it names something.

    Args:
        model: a backbone, which takes its part of a whole segmentor's checkpoint, or a segmentor.
        init_cfg: initialisation as in mmengine. Beside ``Pretrained`` others have no effect: every
            parameter is loaded.

    Returns:
        Whether there was something to load.

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: the checkpoint does not fill the model.
    """
    checkpoint = pretrained_checkpoint(init_cfg)
    if checkpoint is None:
        return False
    load_weights(
        model,
        checkpoint,
        model_name=f'the {type(model).__name__} of the config',
        show=lambda text: print_log(text, logger='current'),
    )
    # mmengine would warn of a second initialisation.
    model.is_init = True
    return True
