"""Backbone and head as one segmentor: mmseg's ``EncoderDecoder``, faster and in less memory.

Differences from the stock class, all in prediction and none in its numbers:

- the class map is computed block by block from the head's low-resolution logits
  (:mod:`mmseg_custom.models.segmentors.block_prediction`); ``seg_logits`` are computed when read;
- sliding windows go through the network in batches
  (:mod:`mmseg_custom.models.segmentors.sliding_window`);
- pictures of different sizes may share a batch; each size goes through the network by itself, so
  the result is that of one picture at a time.

Keys of ``test_cfg`` beyond mmseg's ``mode``, ``crop_size`` and ``stride``:

- ``window_batch_size`` (4): windows that go through the network at once;
- ``keep_logits`` (False): store ``seg_logits`` as a plain tensor of shape (K, H, W) in each sample
  instead of computing them when read. Needed only by what reads them after the sample was turned
  into a dict, as metrics do. Test-time augmentation does not need it;
- ``check_finite`` (True): refuse logits that are not finite, naming the picture;
- ``dtype`` (None): ``'bfloat16'``, ``'float16'`` or ``'auto'`` runs the network under autocast.
"""

from contextlib import nullcontext

import torch
from mmengine.structures import PixelData
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.segmentors import EncoderDecoder as UpstreamEncoderDecoder
from mmseg.structures import SegDataSample
from torch import Tensor

from mmseg_custom.models.segmentors.block_prediction import LogitMap
from mmseg_custom.models.segmentors.children import scoped
from mmseg_custom.models.segmentors.confidence import Confidence
from mmseg_custom.models.segmentors.lazy_logits import LazyLogits
from mmseg_custom.models.segmentors.prediction_loss import (
    PredictionLoss,
    binary_loss_terms,
    measured_loss,
)
from mmseg_custom.models.segmentors.sliding_window import WindowGrid
from mmseg_custom.precision import half_dtype
from mmseg_custom.registry import MODELS

DEFAULT_WINDOW_BATCH_SIZE = 4


@MODELS.register_module()
class EncoderDecoder(UpstreamEncoderDecoder):
    """mmseg's ``EncoderDecoder`` with the same arguments, children and state-dict keys.

    Children are looked up in our registry first, whatever the default scope is.

    Args:
        backbone: config of the encoder.
        decode_head: config of the decoder.
        neck: config of what lies between them.
        auxiliary_head: config, or several, of decoders for deep supervision.
        train_cfg: as in mmseg, not used.
        test_cfg: see the module's docstring.
        data_preprocessor: config of what turns a loader's batch into the network's input.
        pretrained: path of the backbone's weights.
        init_cfg: initialisation.
    """

    # What `--cfg-options` knows below `model.test_cfg`.
    TEST_CFG_KEYS = frozenset(
        {'mode', 'crop_size', 'stride', 'window_batch_size', 'keep_logits', 'check_finite', 'dtype'}
    )
    # Whether predictions of labelled samples get `loss_terms`; ValidationLossHook sets it.
    measures_loss = False
    # Whether predictions get `confidence`; Inferencer sets it.
    measures_confidence = False

    def __init__(
        self,
        backbone: dict,
        decode_head: dict,
        neck: dict | None = None,
        auxiliary_head: dict | list[dict] | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        pretrained: str | None = None,
        init_cfg: dict | list[dict] | None = None,
    ):
        super().__init__(
            backbone=scoped(backbone),
            decode_head=scoped(decode_head),
            neck=scoped(neck),
            auxiliary_head=scoped(auxiliary_head),
            train_cfg=train_cfg,
            test_cfg=test_cfg,
            data_preprocessor=scoped(data_preprocessor),
            pretrained=pretrained,
            init_cfg=init_cfg,
        )

    def predict(
        self,
        inputs: Tensor | list[Tensor],
        data_samples: list[SegDataSample] | None = None,
    ) -> list[SegDataSample]:
        """Predict the class maps of a batch.

        Args:
            inputs: float images of shape (N, C, H, W), or N of shape (1, C, H, W) of any sizes.
            data_samples: N samples that hold the pictures' meta information. ``None`` predicts at
                the size of the images.

        Returns:
            The samples, each with ``pred_sem_seg``, int64 of shape (1, height, width) of the
            original picture (float 0 or 1 for a head with one output channel), and ``seg_logits``,
            float of shape (K, height, width) (probabilities for one output channel). Where
            ``measures_loss`` is set, labelled samples also get ``loss_terms``, float of shape
            (2,): the sum of the decode head's cross entropy over their pixels, and what a mean
            divides by. Where ``measures_confidence`` is set, samples also get ``confidence``, float
            of shape (height, width): the probability of each pixel's class.

        Raises:
            ValueError: logits are not finite, or ``test_cfg`` is wrong.
        """
        if data_samples is None:
            samples, metas = [SegDataSample() for _ in inputs], [None] * len(inputs)
        else:
            samples, metas = data_samples, [sample.metainfo for sample in data_samples]
        for numbers, images in _same_sizes(inputs):
            group = [metas[number] for number in numbers]
            for number, picture in zip(numbers, self.logit_maps(images, group)):
                self._store(samples[number], self._to_original(picture, metas[number]))
        return samples

    def inference(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Compute all logits at the size of the network's input.

        Args:
            inputs: float images of shape (N, C, H, W).
            batch_img_metas: meta information of the N pictures.

        Returns:
            Logits of shape (N, K, H, W).

        Raises:
            ValueError: as :meth:`logit_maps`.
        """
        maps = self.logit_maps(inputs, batch_img_metas)
        return torch.stack([picture.logits() for picture in maps])

    def logit_maps(self, inputs: Tensor, metas: list[dict | None]) -> list[LogitMap]:
        """Compute the logits of images of one size, not resized yet.

        Args:
            inputs: float images of shape (N, C, H, W).
            metas: the pictures' meta information, or ``None`` for each.

        Returns:
            N maps at the size of the network's input.

        Raises:
            ValueError: logits are not finite, or ``test_cfg.mode`` is unknown.
        """
        mode = (self.test_cfg or {}).get('mode', 'whole')
        if mode not in ('slide', 'whole'):
            raise ValueError(
                f"model.test_cfg.mode must be 'whole' or 'slide', got {mode!r}; set "
                'model.test_cfg.mode=whole'
            )
        return (self._slide if mode == 'slide' else self._whole)(inputs, metas)

    def _whole(self, inputs: Tensor, metas: list[dict | None]) -> list[LogitMap]:
        default = {'img_shape': inputs.shape[2:]}
        logits, size = self._head_logits(inputs, [meta or default for meta in metas])
        self._check_logits(logits, metas)
        return [LogitMap.from_logits(picture, size, self.align_corners) for picture in logits]

    def _slide(self, inputs: Tensor, metas: list[dict | None]) -> list[LogitMap]:
        missing = ' and '.join({'crop_size', 'stride'} - set(self.test_cfg))
        if missing:
            raise ValueError(
                f"model.test_cfg.mode='slide' needs crop_size and stride, got no {missing}; set "
                'for example "model.test_cfg.crop_size=(512,512)" "model.test_cfg.stride=(480,480)"'
            )
        size = tuple(inputs.shape[2:])
        grid = WindowGrid.cover(size, self.test_cfg['crop_size'], self.test_cfg['stride'])
        number = len(grid.corners())
        window = {'img_shape': torch.Size(grid.window_size)}
        window_metas = [{**(meta or {}), **window} for meta in metas for _ in range(number)]
        windows = []
        for crops in grid.crops(
            inputs, self.test_cfg.get('window_batch_size', DEFAULT_WINDOW_BATCH_SIZE)
        ):
            crop_metas = window_metas[len(windows) : len(windows) + len(crops)]
            windows.extend(self._head_logits(crops, crop_metas)[0])
        pictures = [windows[first : first + number] for first in range(0, len(windows), number)]
        self._check_logits(pictures, metas)
        return [grid.merge(picture, self.align_corners) for picture in pictures]

    def _head_logits(self, images: Tensor, metas: list[dict]) -> tuple[Tensor, tuple[int, int]]:
        """Return the head's logits (N, K, h, w) and the size that they are to be resized to.

        A head with prediction steps of its own resizes as it likes.
        """
        head = self.decode_head
        steps = type(head).predict, type(head).predict_by_feat
        with self._autocast(images.device.type):
            features = self.extract_feat(images)
            if steps != (BaseDecodeHead.predict, BaseDecodeHead.predict_by_feat):
                logits = head.predict(features, metas, self.test_cfg)
                return logits, tuple(logits.shape[2:])
            logits = head(features)
        return logits, self._size_of_input(metas)

    @staticmethod
    def _size_of_input(metas: list[dict]) -> tuple[int, int]:
        """Height and width of what the network saw, from the pictures' meta information."""
        size = metas[0]['img_shape']
        # A torch.Size is a window's, which is never padded; as in the stock predict_by_feat.
        if not isinstance(size, torch.Size):
            size = metas[0].get('pad_shape', size)
        return tuple(size[:2])

    def _autocast(self, device_type: str):
        name = (self.test_cfg or {}).get('dtype')
        if name is None:
            return nullcontext()
        return torch.autocast(device_type, half_dtype(name, device_type, 'model.test_cfg.dtype'))

    def _to_original(self, picture: LogitMap, meta: dict | None) -> LogitMap:
        """Undo padding, flip and resizing of the test pipeline."""
        if meta is None:
            return picture
        padding = meta.get('img_padding_size', meta.get('padding_size', (0, 0, 0, 0)))
        picture = picture.crop(*padding)
        if meta.get('flip'):
            picture = picture.flip(meta.get('flip_direction'))
        return picture.resize(tuple(meta['ori_shape'][:2]), self.align_corners)

    def _store(self, sample: SegDataSample, picture: LogitMap) -> None:
        measures = self._measures_loss_of(sample, picture)
        if picture.shape[0] == 1:
            logits = picture.logits()
            if measures:
                terms = binary_loss_terms(self.decode_head, sample, logits)
                sample.set_data({'loss_terms': terms})
            probabilities = logits.sigmoid()
            labels = (probabilities > self.decode_head.threshold).to(probabilities)
            logits = PixelData(data=probabilities)
            if self.measures_confidence:
                confidence = torch.where(labels > 0, probabilities, 1 - probabilities)[0]
                sample.set_data({'confidence': confidence})
        else:
            loss = confidence = None
            if measures:
                loss = PredictionLoss(self.decode_head, sample, picture.parts[0].logits)
            if self.measures_confidence:
                confidence = Confidence(picture.shape[1:], picture.parts[0].logits)
            labels = picture.labels([see for see in (loss, confidence) if see is not None])[None]
            if loss is not None:
                sample.set_data({'loss_terms': loss.terms})
            if confidence is not None:
                sample.set_data({'confidence': confidence.map})
            keep = (self.test_cfg or {}).get('keep_logits', False)
            logits = PixelData(data=picture.logits()) if keep else LazyLogits(picture)
        sample.set_data({'seg_logits': logits, 'pred_sem_seg': PixelData(data=labels)})

    def _measures_loss_of(self, sample: SegDataSample, picture: LogitMap) -> bool:
        """Whether the loss is wanted, and the sample and the head have one."""
        if not self.measures_loss or 'gt_sem_seg' not in sample:
            return False
        # Labels of another size are for a metric to refuse, which knows their file.
        fits = sample.gt_sem_seg.data.shape[-2:] == picture.shape[1:]
        return fits and measured_loss(self.decode_head) is not None

    def _check_logits(self, pictures, metas: list[dict | None]) -> None:
        if (self.test_cfg or {}).get('check_finite', True):
            _refuse_not_finite(pictures, metas)


def _same_sizes(inputs: Tensor | list[Tensor]):
    """Yield the positions of pictures of one size, and those pictures as one batch."""
    if isinstance(inputs, Tensor):
        yield range(len(inputs)), inputs
        return
    groups = {}
    for number, image in enumerate(inputs):
        groups.setdefault(tuple(image.shape), []).append(number)
    for numbers in groups.values():
        yield numbers, torch.cat([inputs[number] for number in numbers])


def _refuse_not_finite(pictures, metas: list[dict | None]) -> None:
    """Raise ``ValueError`` naming the pictures whose logits hold NaN or infinity.

    Args:
        pictures: for each picture one tensor, or a list of those of its windows.
        metas: the pictures' meta information.
    """
    finite = torch.stack([_is_finite(picture) for picture in pictures])
    if not finite.all():
        names = [
            (meta or {}).get('img_path') or f'number {number} of the batch'
            for number, (meta, good) in enumerate(zip(metas, finite.tolist()))
            if not good
        ]
        raise ValueError(
            f'the prediction of {", ".join(map(str, names))} is not finite (NaN or infinity); '
            'check the picture, the mean and std, and the weights (a run that diverged, fp16 '
            'overflow)'
        )


def _is_finite(tensors: Tensor | list[Tensor]) -> Tensor:
    if isinstance(tensors, Tensor):
        tensors = [tensors]
    return torch.stack([torch.stack(torch.aminmax(x)).isfinite().all() for x in tensors]).all()
