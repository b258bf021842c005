"""What every decode head of ours shares: the loss and prediction steps around ``forward``.

Faster and smaller than mmseg's base class in one place: a head with one cross entropy computes it
from its own low-resolution logits, strip by strip, together with the logged accuracy
(:mod:`mmseg_custom.models.losses.low_memory_cross_entropy`). Numbers are mmseg's.
"""

import math

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.utils import resize
from mmseg.utils import SampleList
from torch import Tensor, nn

from mmseg_custom.models.losses.cross_entropy_loss import (
    EPSILON,
    IGNORE_NOTHING,
    CrossEntropyLoss,
)
from mmseg_custom.models.losses.low_memory_cross_entropy import check_labels
from mmseg_custom.registry import SCOPE


class DecodeHead(BaseDecodeHead):
    """mmseg's ``BaseDecodeHead`` with the same arguments and state-dict keys.

    ``forward`` of a subclass returns logits (N, out_channels, h, w) at its own resolution;
    ``predict_by_feat`` resizes them, ``loss_by_feat`` does not have to. Losses are looked up in our
    registry, so ``CrossEntropyLoss`` is ours and ``mmseg.CrossEntropyLoss`` the stock one.

    Args:
        *args: as in mmseg.
        num_classes: K; labels are 0..K-1.
        out_channels: K, or 1 for two classes: the logit of class 1.
        foreground_prior: share of class 1 in the pixels, 0..1, that a head with one output channel
            predicts before it is trained (https://arxiv.org/abs/1708.02002, section 3.3); one half
            without it.
        **kwargs: as in mmseg.

    Raises:
        ValueError: ``out_channels`` does not fit ``num_classes`` or the loss, ``class_weight`` has
            another length than ``num_classes``, ``threshold`` or ``foreground_prior`` is no number
            between 0 and 1 or has no use, or ``in_channels`` and ``in_index`` do not fit.
    """

    def __init__(
        self,
        *args,
        num_classes: int,
        out_channels: int | None = None,
        foreground_prior: float | None = None,
        **kwargs,
    ):
        _check_channels(num_classes, out_channels)
        check_share('threshold', kwargs.get('threshold'))
        check_share('foreground_prior', foreground_prior)
        if foreground_prior is not None and out_channels != 1:
            raise ValueError(
                f'foreground_prior={foreground_prior} needs out_channels=1, got {out_channels}; '
                'leave decode_head.foreground_prior out'
            )
        prior = 0.5 if foreground_prior is None else foreground_prior
        self.prior_logit = math.log(prior / (1 - prior))
        if kwargs.get('loss_decode') is None:
            kwargs['loss_decode'] = dict(type='CrossEntropyLoss')
        kwargs['loss_decode'] = _in_our_scope(kwargs['loss_decode'])
        super().__init__(*args, num_classes=num_classes, out_channels=out_channels, **kwargs)
        for loss in self._losses():
            _check_loss(loss, self.num_classes, self.out_channels)

    def init_weights(self) -> None:
        """Initialise as mmseg does; one output channel begins at ``foreground_prior``."""
        first = not self.is_init
        super().init_weights()
        if first and self.prior_logit and 'Pretrained' not in str(self.init_cfg):
            nn.init.constant_(self.conv_seg.bias, self.prior_logit)

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
            Each loss under its name, shape (), and ``acc_seg``, percent, shape (1,); of one output
            channel at ``threshold`` (in mmseg it is the share of class 0, whatever is predicted).

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
        if self.out_channels == 1 and self.sampler is None:
            return self._losses_of_one_channel(seg_logits, labels, ignore_index)
        return super().loss_by_feat(seg_logits, batch_data_samples)

    def _losses_of_one_channel(self, logits: Tensor, labels: Tensor, ignore_index: int) -> dict:
        # One channel at full size is a fraction of what the low-memory path of many is for.
        logits = resize(logits, labels.shape[1:], mode='bilinear', align_corners=self.align_corners)
        result = {}
        for loss in self._losses():
            value = loss(logits, labels, ignore_index=self.ignore_index)
            result[loss.loss_name] = result.get(loss.loss_name, 0) + value
        valid = labels != ignore_index
        predicted = logits.detach().squeeze(1).sigmoid() > self.threshold
        correct = ((predicted == labels) & valid).sum()
        accuracy = (correct + EPSILON) * (100.0 / (valid.sum() + EPSILON))
        return {**result, 'acc_seg': accuracy.reshape(1)}

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


def check_share(name: str, value: float | None) -> None:
    """Raise ``ValueError`` unless ``value`` is None or a number between 0 and 1, without them."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (is_number and 0 < value < 1):
        raise ValueError(
            f'{name} takes a number between 0 and 1, got {value!r}; set decode_head.{name}=0.5 or '
            'leave it out'
        )


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
