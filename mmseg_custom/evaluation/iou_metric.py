"""mmseg's ``IoUMetric`` on one exact confusion matrix.

mmseg keeps four float32 histograms per picture and sums them, which is inexact past 2^24 pixels,
drops labels outside the classes in silence, and gathers all of them through pickles. Here every
process adds int64 counts into one matrix on the prediction's device, and the matrices are summed
once.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import all_reduce, broadcast_object_list, get_dist_info, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import MessageHub, MMLogger, print_log
from torch import Tensor

from mmseg_custom.evaluation.confusion import SCORES, class_scores, count_confusion
from mmseg_custom.evaluation.report import (
    Evaluation,
    draw_confusion_matrix,
    format_table,
    write_json,
)
from mmseg_custom.labels import IGNORE_INDEX
from mmseg_custom.registry import METRICS
from mmseg_custom.visualization.curves import CLASS_IOU
from mmseg_custom.visualization.file_names import FileNames
from mmseg_custom.visualization.rendering import write_image


@METRICS.register_module()
class IoUMetric(BaseMetric):
    """Intersection over union, accuracy, Dice and F-score with mmseg's arguments and keys.

    Exact for any number of pixels and processes. A distributed sampler repeats pictures so that
    every process gets as many; the repetitions are left out: picture i of process r has position
    ``r + i * processes``, and what lies past the data set's size is a repetition (mmengine trims
    its list of results by the same rule).

    Args:
        ignore_index: label of pixels that are not counted.
        iou_metrics: any of 'mIoU' (gives IoU, Acc), 'mDice' (Dice, Acc) and 'mFscore' (Fscore,
            Precision, Recall), one or a list.
        nan_to_num: score of a class that has none (absent from labels and predictions); by default
            such classes are named and left out of the mean.
        beta: weight of recall in the F-score.
        collect_device: as in mmseg; matrices are summed on the backend's own device.
        output_dir: folder for predictions as PNG of class indices (plus one where the data set has
            ``reduce_zero_label``), named after the picture.
        image_dir: folder of the pictures; predictions lie in the same sub-folders. By default, and
            for pictures elsewhere, their own name is all that is kept.
        format_only: write predictions, evaluate nothing; needs no labels.
        foreground: index of the class whose IoU, Dice coefficient, precision and recall are added
            as ``fgIoU`` and so on, for two classes of which one is the background.
        prefix: put before the names of the metrics.
        report_dir: folder for ``metrics.json`` and ``confusion_matrix.png``, written at each
            evaluation.

    Raises:
        ValueError: ``iou_metrics`` has an unknown name, or ``format_only`` has no ``output_dir``.
    """

    def __init__(
        self,
        ignore_index: int = IGNORE_INDEX,
        iou_metrics: Sequence[str] | str = ('mIoU',),
        nan_to_num: float | None = None,
        beta: float = 1,
        collect_device: str = 'cpu',
        output_dir: str | None = None,
        format_only: bool = False,
        prefix: str | None = None,
        report_dir: str | None = None,
        image_dir: str | None = None,
        foreground: int | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.metrics = [iou_metrics] if isinstance(iou_metrics, str) else list(iou_metrics)
        unknown = [name for name in self.metrics if name not in SCORES]
        if unknown or not self.metrics:
            raise ValueError(
                f'iou_metrics={self.metrics} must name some of {", ".join(SCORES)}; remove '
                f'{", ".join(unknown) or "the empty list"}'
            )
        if format_only and not output_dir:
            raise ValueError('format_only=True writes predictions; set output_dir to a folder')
        self.ignore_index = ignore_index
        self.nan_to_num = nan_to_num
        self.beta = beta
        self.output_dir = output_dir
        self.format_only = format_only
        self.report_dir = report_dir
        self.image_dir = image_dir
        self.foreground = foreground
        self._reset()

    def _reset(self) -> None:
        self.results.clear()
        self._total: Tensor | None = None
        # The last picture's share of the total, in case it turns out to be a repetition.
        self._last: Tensor | None = None
        self._num_pictures = 0
        self._names = FileNames()

    @property
    def _num_classes(self) -> int:
        classes = (self.dataset_meta or {}).get('classes')
        if not classes:
            raise ValueError(
                'the data set has no class names; give its METAINFO (or metainfo=) classes'
            )
        return len(classes)

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        """Count a batch.

        Args:
            data_batch: unused.
            data_samples: one dictionary per picture: ``pred_sem_seg.data`` and, unless
                ``format_only``, ``gt_sem_seg.data``, (1, H, W) or (H, W); ``img_path``.

        Raises:
            ValueError: a label is missing, has another size than the prediction, or holds a value
                that is neither a class nor ``ignore_index``; the message names the file.
        """
        for sample in data_samples:
            prediction = _as_map(sample['pred_sem_seg']['data'])
            self._num_pictures += 1
            if not self.format_only:
                self._count(sample, prediction)
            if self.output_dir:
                self._write(sample, prediction)

    def _count(self, sample: dict, prediction: Tensor) -> None:
        file = sample.get('seg_map_path') or sample.get('img_path') or '(no path)'
        if 'gt_sem_seg' not in sample:
            raise ValueError(
                f'{file} has no label (gt_sem_seg); load annotations in the test pipeline, or set '
                'format_only=True and output_dir'
            )
        label = _as_map(sample['gt_sem_seg']['data']).to(prediction.device)
        try:
            matrix = count_confusion(prediction, label, self._num_classes, self.ignore_index)
        except ValueError as error:
            raise ValueError(
                f'{file}: {error} (ignore_index={self.ignore_index}); check the label file and the '
                "data set's classes"
            ) from error
        self._last = matrix
        self._total = matrix.clone() if self._total is None else self._total.add_(matrix)

    def _write(self, sample: dict, prediction: Tensor) -> None:
        from PIL import Image

        name = self._names.name_of(sample['img_path'], self.image_dir, self.output_dir)
        indices = prediction.cpu().numpy()
        # With reduce_zero_label class 0 is label 1 of the files, as test servers expect it.
        if sample.get('reduce_zero_label', False):
            indices = indices + 1
        dtype = np.uint8 if indices.max(initial=0) <= 255 else np.uint16
        write_image(Path(self.output_dir, f'{name}.png'), Image.fromarray(indices.astype(dtype)))

    def evaluate(self, size: int) -> dict[str, float]:
        """Sum the matrices of all processes and score them.

        Args:
            size: pictures in the data set.

        Returns:
            aAcc, the means and the foreground's scores in percent, rounded to two digits, on every
            process.

        Raises:
            ValueError: nothing was processed, or the sampler repeats more than one picture a
                process.
        """
        try:
            matrix, num_pictures = self._gather(size)
            result = [None]
            if is_main_process():
                metrics = self.compute_metrics([(matrix, num_pictures)])
                prefix = f'{self.prefix}/' if self.prefix else ''
                result = [{f'{prefix}{name}': value for name, value in metrics.items()}]
            broadcast_object_list(result)
            return result[0]
        finally:
            self._reset()

    def _gather(self, size: int) -> tuple[Tensor, int]:
        """Sum of all processes' matrices without repetitions, and the pictures in it."""
        rank, world_size = get_dist_info()
        own = max(0, math.ceil((size - rank) / world_size))
        surplus = max(0, self._num_pictures - own)
        num_classes = 0 if self.format_only else self._num_classes
        total = self._total
        if total is None:
            total = torch.zeros(num_classes, num_classes, dtype=torch.int64)
        elif surplus:
            total = total - self._last
        # One reduction for everything, errors too: a process that raised alone would leave the
        # others waiting.
        extra = total.new_tensor([self._num_pictures - surplus, int(surplus > 1)])
        summed = torch.cat((total.flatten(), extra))
        all_reduce(summed, op='sum')
        summed = summed.cpu()
        num_pictures, surpluses = summed[-2:].tolist()
        if surpluses:
            raise ValueError(
                f'more than one picture too many in {surpluses} of {world_size} processes for a '
                f"data set of {size}; evaluate with mmengine's DefaultSampler(shuffle=False)"
            )
        if num_pictures == 0:
            raise ValueError('no picture was evaluated; the data set or the loader is empty')
        return summed[:-2].view(num_classes, num_classes), num_pictures

    def compute_metrics(self, results: list[tuple[Tensor, int]]) -> dict[str, float]:
        """Score matrices, log the table and write the report.

        Args:
            results: (K, K) int64 matrices, rows are labels, each with its number of pictures.
        """
        logger = MMLogger.get_current_instance()
        if self.format_only:
            print_log(f'predictions are in {Path(self.output_dir).absolute()}', logger)
            return {}
        matrix = torch.stack([matrix.cpu() for matrix, _ in results]).sum(0)
        accuracy, scores = class_scores(matrix, self.metrics, self.beta)
        if self.nan_to_num is not None:
            scores = {name: value.nan_to_num(self.nan_to_num) for name, value in scores.items()}
        summary = {'aAcc': 100 * accuracy}
        summary.update((f'm{name}', 100 * value.nanmean().item()) for name, value in scores.items())
        if self.foreground is not None:
            summary.update(self._foreground_scores(matrix))
        evaluation = Evaluation(
            list(self.dataset_meta['classes']),
            matrix,
            scores,
            summary,
            sum(number for _, number in results),
        )
        if 'IoU' in scores:
            self._remember_classes(scores['IoU'])
        print_log(f'per class results:\n{format_table(evaluation)}', logger)
        if self.report_dir:
            folder = Path(self.report_dir)
            folder.mkdir(parents=True, exist_ok=True)
            picture = draw_confusion_matrix(evaluation, folder / 'confusion_matrix.png')
            numbers = write_json(evaluation, folder / 'metrics.json')
            print_log(f'confusion matrix: {picture}; all numbers: {numbers}', logger)
        return {name: round(value, 2) for name, value in summary.items()}

    def _foreground_scores(self, matrix: Tensor) -> dict[str, float]:
        if not 0 <= self.foreground < len(matrix):
            raise ValueError(
                f'foreground={self.foreground} is no class of 0..{len(matrix) - 1}; set it to 1'
            )
        scores = class_scores(matrix, list(SCORES))[1]
        names = ('IoU', 'Dice', 'Precision', 'Recall')
        return {f'fg{name}': 100 * scores[name][self.foreground].item() for name in names}

    def _remember_classes(self, iou: Tensor) -> None:
        """Let the run's log tell how each class does; percent, ``None`` where there is no score."""
        values = [None if math.isnan(v) else round(100 * v, 2) for v in iou.tolist()]
        classes = dict(zip(self.dataset_meta['classes'], values))
        MessageHub.get_current_instance().update_info(CLASS_IOU, classes)


def _as_map(data: Tensor | np.ndarray) -> Tensor:
    """(H, W) tensor of a map with or without a leading axis of one."""
    data = torch.as_tensor(data)
    return data.squeeze(0) if data.ndim == 3 else data
