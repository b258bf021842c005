"""Predictions beside the ground truth of a data set, as one picture."""

import os
from collections.abc import Iterable
from pathlib import Path

import torch
from mmengine.dataset import BaseDataset

from mmseg_custom.inference.predictor import predict_image, read_image
from mmseg_custom.visualization.panels import side_by_side
from mmseg_custom.visualization.rendering import write_image


def save_comparison(
    model: torch.nn.Module,
    dataset: BaseDataset,
    indices: Iterable[int],
    out_png: str | os.PathLike,
    tile_width: int = 480,
) -> Path:
    """Write rows of image, ground truth and prediction with one legend.

    Args:
        model: from :func:`~mmseg_custom.inference.predictor.load_model`.
        dataset: a data set with its test pipeline, which loads the labels at the picture's size.
        indices: which samples, a row each.
        out_png: where to write.
        tile_width: width of each picture in pixels.

    Returns:
        The path written.

    Raises:
        ValueError: a label map has another size than its picture, or labels outside the classes.
    """
    rows = []
    for index in indices:
        sample = dataset[index]['data_samples']
        image = read_image(model, sample.img_path)
        ground_truth = sample.gt_sem_seg.data[0].numpy()
        rows.append((image, ground_truth, predict_image(model, image)))
    picture = side_by_side(
        rows,
        model.dataset_meta['classes'],
        model.dataset_meta['palette'],
        tile_width=tile_width,
        ignore_index=getattr(dataset, 'ignore_index', 255),
    )
    return write_image(out_png, picture)
