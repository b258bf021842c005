"""What every decode head of ours shares: the loss and prediction steps around ``forward``.

Faster and smaller than mmseg's base class in one place: a head with one cross entropy computes it
from its own low-resolution logits, strip by strip, together with the logged accuracy
(:mod:`mmseg_custom.models.losses.low_memory_cross_entropy`). Numbers are mmseg's.
"""

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.utils import SampleList
from torch import Tensor, nn

from mmseg_custom.models.losses.cross_entropy_loss import IGNORE_NOTHING, CrossEntropyLoss
from mmseg_custom.models.losses.low_memory_cross_entropy import check_labels
from mmseg_custom.registry import SCOPE


class DecodeHead(BaseDecodeHead):
    """mmseg's ``BaseDecodeHead`` with the same arguments and state-dict keys.

    ``forward`` of a subclass returns logits (N, out_channels, h, w) at its own resolution;
    ``predict_by_feat`` resizes them, ``loss_by_feat`` does not have to. Losses are looked up in our
    registry, so ``CrossEntropyLoss`` is ours and ``mmseg.CrossEntropyLoss`` the stock one.

    Raises:
        ValueError: ``out_channels`` does not fit ``num_classes`` or the loss, ``class_weight`` has
            another length than ``num_classes``, or ``in_channels`` and ``in_index`` do not fit.
    """

    def __init__(self, *args, num_classes: int, out_channels: int | None = None, **kwargs):
        _check_channels(num_classes, out_channels)
        if kwargs.get('loss_decode') is None:
            kwargs['loss_decode'] = dict(type='CrossEntropyLoss')
        kwargs['loss_decode'] = _in_our_scope(kwargs['loss_decode'])
        super().__init__(*args, num_classes=num_classes, out_channels=out_channels, **kwargs)
        for loss in self._losses():
            _check_loss(loss, self.num_classes, self.out_channels)

    def _losses(self) -> list[nn.Module]:
        several = isinstance(self.loss_decode, nn.ModuleList)
        return list(self.loss_decode) if several else [self.loss_decode]

    def loss_by_feat(self, seg_logits: Tensor, batch_data_samples: SampleList) -> dict:
        """Compute the losses and the accuracy of a batch.

        Args:
            seg_logits: (N, out_channels, h, w) logits of ``forward``.
            batch_data_samples: N samples with ``gt_sem_seg`` (1, H, W), integers 0..num_classes-1
                or ``ignore_index`` (where that is None, every pixel counts).

        Returns:
            Each loss under its name, shape (), and ``acc_seg``, percent, shape (1,).

        Raises:
            ValueError: a label is neither a class nor ``ignore_index`` (on a CPU; on a GPU, where
                the check would wait for the device, the cross entropy becomes NaN).
        """
        losses = self._losses()
        only_loss = losses[0] if len(losses) == 1 else None
        labels = self._stack_batch_gt(batch_data_samples).squeeze(1)
        ignore_index = IGNORE_NOTHING if self.ignore_index is None else self.ignore_index
        if self.sampler is None and isinstance(only_loss, CrossEntropyLoss) and only_loss.resizes:
            loss, accuracy = only_loss.at_label_size(
                seg_logits, labels, ignore_index, self.align_corners
            )
            return {only_loss.loss_name: loss, 'acc_seg': accuracy}
        # One sigmoid channel tells two labels apart, whatever num_classes says.
        check_labels(labels, max(self.num_classes, 2), ignore_index)
        return super().loss_by_feat(seg_logits, batch_data_samples)

    def _init_inputs(self, in_channels, in_index, input_transform) -> None:
        """Set which maps of the backbone the head reads; arguments as in mmseg."""
        several = input_transform is not None
        if several and input_transform not in ('resize_concat', 'multiple_select'):
            raise ValueError(
                "input_transform must be 'resize_concat', 'multiple_select' or None, got "
                f'{input_transform!r}'
            )
        given = [isinstance(value, (list, tuple)) for value in (in_channels, in_index)]
        if given != [several, several] or (several and len(in_channels) != len(in_index)):
            wanted = 'lists of one length' if several else 'one integer each'
            raise ValueError(
                f'with input_transform={input_transform!r} in_channels and in_index must be '
                f'{wanted}, got in_channels={in_channels} and in_index={in_index}'
            )
        super()._init_inputs(in_channels, in_index, input_transform)

    def _transform_inputs(self, inputs):
        """Select the maps that the head reads; (N, C, h, w) each, as in mmseg.

        Raises:
            ValueError: the backbone gives fewer maps than ``in_index`` names, or other channels.
        """
        indices = [self.in_index] if isinstance(self.in_index, int) else self.in_index
        if not all(-len(inputs) <= index < len(inputs) for index in indices):
            raise ValueError(
                f'decode_head.in_index={self.in_index} but the backbone gives {len(inputs)} maps; '
                'set decode_head.in_index or backbone.out_indices'
            )
        maps = super()._transform_inputs(inputs)
        single = not isinstance(maps, (list, tuple))
        channels = maps.shape[1] if single else [single_map.shape[1] for single_map in maps]
        wanted = self.in_channels if single else list(self.in_channels)
        if channels != wanted:
            raise ValueError(
                f'expected a map with in_channels={self.in_channels}, got {channels}; set '
                f'decode_head.in_channels={channels}'
            )
        return maps


def _in_our_scope(config):
    """Copy of a loss config, or of several, that is looked up in our registry first."""
    if isinstance(config, (list, tuple)):
        return [_in_our_scope(entry) for entry in config]
    if isinstance(config, dict):
        return {'_scope_': SCOPE, **config}
    return config


def _check_channels(num_classes: int, out_channels: int | None) -> None:
    if out_channels in (None, num_classes) or (out_channels == 1 and num_classes <= 2):
        return
    raise ValueError(
        f'out_channels={out_channels} but num_classes={num_classes}; leave '
        'decode_head.out_channels out, or set it to 1 for num_classes=2'
    )


def _check_loss(loss, num_classes: int, out_channels: int) -> None:
    if not isinstance(loss, CrossEntropyLoss):
        return
    if out_channels == 1 and not (loss.use_sigmoid or loss.use_mask):
        raise ValueError(
            'out_channels=1 with the softmax CrossEntropyLoss is always 0 and trains nothing; set '
            "decode_head.loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True)"
        )
    weights = loss.class_weight
    if weights is not None and len(weights) != out_channels:
        raise ValueError(
            f'class_weight has {len(weights)} entries but num_classes={num_classes}; give '
            'loss_decode.class_weight one entry per class'
        )
