"""Models start from published weights of any known source."""

from mmengine.logging import print_log
from torch import nn

from mmseg_custom.checkpoints.loading import load_weights


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
    configs = init_cfg if isinstance(init_cfg, list | tuple) else [init_cfg]
    found = [one for one in configs if one and one.get('type') == 'Pretrained']
    if not found:
        return False
    load_weights(
        model,
        found[0]['checkpoint'],
        model_name=f'the {type(model).__name__} of the config',
        show=lambda text: print_log(text, logger='current'),
    )
    # mmengine would warn of a second initialisation.
    model.is_init = True
    return True
