"""An encoder and a class head: what encoders of segmentors are pre-trained with.

Official counterpart: ``SegformerForImageClassification`` of transformers, whose logits these are;
NVlabs/SegFormer published the weights but no code for it. State-dict keys are ``backbone.*`` (those
of the encoder in a segmentor) and ``head.fc.*``.
"""

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor

from mmseg_custom.models.classifiers.batch_mixing import BatchMixing
from mmseg_custom.registry import MODELS, SCOPE


@MODELS.register_module()
class ImageClassifier(BaseModel):
    """Names the class of a whole picture.

    Args:
        backbone: config of the encoder; the last of its maps is used.
        head: config of the class head, ``LinearClsHead``.
        data_preprocessor: config of what turns a loader's batch into the network's input.
        batch_mixing: arguments of :class:`~mmseg_custom.models.classifiers.BatchMixing`; ``None``
            mixes nothing.
        init_cfg: initialisation.
    """

    # Whether predictions of labelled samples get `loss_terms`; ValidationLossHook sets it.
    measures_loss = False

    def __init__(
        self,
        backbone: dict,
        head: dict,
        data_preprocessor: dict | None = None,
        batch_mixing: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = MODELS.build({'_scope_': SCOPE, **backbone})
        self.head = MODELS.build({'_scope_': SCOPE, **head})
        self.batch_mixing = None if batch_mixing is None else BatchMixing(**batch_mixing)

    def forward(
        self,
        inputs: Tensor,
        data_samples: list[BaseDataElement] | None = None,
        mode: str = 'tensor',
    ) -> Tensor | dict[str, Tensor] | list[BaseDataElement]:
        """Run the network.

        Args:
            inputs: float images (N, 3, H, W), normalised.
            data_samples: one for each picture, with ``gt_label``, an int64 tensor without
                dimensions; not needed for ``'tensor'``.
            mode: ``'tensor'``, ``'loss'`` or ``'predict'``.

        Returns:
            ``'tensor'``: logits (N, K). ``'loss'``: ``loss``. ``'predict'``: the samples with
            ``pred_score`` (K,), probabilities, and ``pred_label``.

        Raises:
            ValueError: another mode.
        """
        if mode == 'tensor':
            return self.head(self.backbone(inputs))
        if mode == 'loss':
            return self._loss(inputs, data_samples)
        if mode == 'predict':
            return self._predict(inputs, data_samples)
        raise ValueError(f"mode='{mode}'; expected 'tensor', 'loss' or 'predict'")

    def _loss(self, inputs: Tensor, data_samples: list[BaseDataElement]) -> dict[str, Tensor]:
        targets = torch.stack([s.gt_label for s in data_samples]).to(inputs.device)
        if self.batch_mixing is not None:
            inputs, targets = self.batch_mixing(inputs, targets, self.head.num_classes)
        return self.head.loss(self.backbone(inputs), targets)

    def _predict(
        self, inputs: Tensor, data_samples: list[BaseDataElement] | None
    ) -> list[BaseDataElement]:
        scores = self.head(self.backbone(inputs)).float().softmax(1)
        samples = data_samples or [BaseDataElement() for _ in scores]
        for sample, score in zip(samples, scores):
            sample.set_data({'pred_score': score, 'pred_label': score.argmax()})
            if self.measures_loss and 'gt_label' in sample:
                loss = -score[sample.gt_label].log()
                sample.set_data({'loss_terms': torch.stack((loss, torch.ones_like(loss)))})
        return samples
