"""``init_cfg=dict(type='Pretrained', ...)`` of any module, filled by ``load_weights``."""

from pathlib import Path

from mmengine.logging import print_log
from torch import nn

from mmseg_custom.checkpoints.formats import convert
from mmseg_custom.checkpoints.formats.description import Weights
from mmseg_custom.checkpoints.loading import load_weights, open_weights
from mmseg_custom.checkpoints.reading import RawCheckpoint, state_dict_of
from mmseg_custom.checkpoints.sources import HUGGING_FACE_PREFIX, URL_PREFIXES


class Pretrained:
    """Fills a module with weights of any known source, in place of mmengine's ``PretrainedInit``.

    Args:
        checkpoint: path, link or name of weights.
        prefix: which part of a whole model's file the module is, such as ``decode_head.``; None
            takes the whole file, and of a segmentor's the encoder for a backbone.
        map_location: as in mmengine; parameters are copied to where the module's lie.
        new_classes: leave the classifier as it is where its number of classes is another.
    """

    def __init__(
        self,
        checkpoint: str,
        prefix: str | None = None,
        map_location: str = 'cpu',
        new_classes: bool = False,
    ) -> None:
        self.checkpoint, self.prefix, self.new_classes = checkpoint, prefix, new_classes

    def __call__(self, module: nn.Module) -> None:
        """Fill the module.

        Raises:
            FileNotFoundError: there is no such checkpoint.
            ValueError: the checkpoint does not fill the module, or has no parameter with the
                prefix.
        """
        from mmengine.model.weight_init import update_init_info

        load_weights(
            module,
            _open(self.checkpoint),
            new_classes=self.new_classes,
            new_channels=True,
            prefix=self.prefix,
            model_name=f'the {type(module).__name__} of the config',
            new_classes_option='new_classes=True to its init_cfg, beside checkpoint',
            show=lambda text: print_log(text, logger='current'),
        )
        if hasattr(module, '_params_init_info'):
            update_init_info(module, f'Pretrained: load from {self.checkpoint}')


def _open(checkpoint: str) -> Weights:
    """Open weights; addresses such as ``open-mmlab://`` are mmengine's to find."""
    if '://' not in checkpoint or checkpoint.startswith((*URL_PREFIXES, HUGGING_FACE_PREFIX)):
        return open_weights(checkpoint)
    from mmengine.runner.checkpoint import CheckpointLoader

    content = CheckpointLoader.load_checkpoint(checkpoint, 'cpu')
    tensors = dict(state_dict_of(content, checkpoint))
    return convert(RawCheckpoint(Path(checkpoint), content, tensors, {}))
