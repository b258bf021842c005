"""Predictions of a data set beside its ground truth."""

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mmseg_custom.engine.class_count import fit_class_count
from mmseg_custom.evaluation.confusion import count_confusion
from mmseg_custom.inference.inferencer import Inferencer
from mmseg_custom.inference.predictor import in_scope, picture_of, read_image
from mmseg_custom.labels import IGNORE_INDEX
from mmseg_custom.registry import DATASETS
from mmseg_custom.visualization.panels import side_by_side
from mmseg_custom.visualization.rendering import data_address
from mmseg_custom.writing import whole_file


@dataclass(frozen=True)
class Labelled:
    """A picture of a data set.

    Attributes:
        path: of the picture.
        truth: class of each pixel, 255 for none, integers (H, W).
        labels: predicted, integers (H, W).
        probs: predicted probabilities, float32 (K, H, W), of one output channel of both classes;
            None unless the inferencer gives them.
    """

    path: str
    truth: np.ndarray
    labels: np.ndarray
    probs: np.ndarray | None


def predict_labelled(inferencer: Inferencer, split: str = 'test') -> Iterator[Labelled]:
    """Predict the pictures of the config's data set, one by one.

    Args:
        inferencer: predicts; with ``probs`` where they are wanted.
        split: ``'test'`` or ``'val'``: whose data loader's data set it is.

    Raises:
        ValueError: the config has none, or a picture has no ground truth.
    """
    config = inferencer.model.cfg
    loader = config.get(f'{split}_dataloader')
    if not loader:
        raise ValueError(f'the config has no {split}_dataloader; choose the other split')
    fit_class_count(config, f'{split}_dataloader')
    with in_scope(config):
        dataset = DATASETS.build(loader['dataset'])
    for index in range(len(dataset)):
        sample = dataset[index]
        path = sample['data_samples'].img_path
        if 'gt_sem_seg' not in sample['data_samples']:
            raise ValueError(
                f'{path} has no ground truth; add LoadAnnotations to the test pipeline'
            )
        truth = sample['data_samples'].gt_sem_seg.data[0].numpy()
        labels, _, probs = inferencer.forward_packed([sample])[0]
        probs = None if probs is None else probs.cpu().numpy()
        yield Labelled(path, truth, labels.cpu().numpy(), probs)


@dataclass(frozen=True)
class Scored:
    """How well a picture is predicted.

    Attributes:
        path: of the picture.
        miou: mean IoU over the classes that its ground truth or prediction holds, 0..100.
        worst: name and IoU of its worst classes, the worst first.
    """

    path: str
    miou: float
    worst: tuple[tuple[str, float], ...]


def score(one: Labelled, classes: Sequence[str]) -> Scored:
    """Score a picture by itself."""
    confusion = count_confusion(
        torch.from_numpy(one.labels), torch.from_numpy(one.truth), len(classes), IGNORE_INDEX
    )
    union = confusion.sum(0) + confusion.sum(1) - confusion.diag()
    present = union.nonzero().flatten().tolist()
    iou = {classes[k]: 100 * (confusion[k, k] / union[k]).item() for k in present}
    ranked = tuple(sorted(iou.items(), key=lambda item: item[1]))
    return Scored(one.path, float(np.mean([*iou.values()])) if iou else 100.0, ranked[:3])


def write_gallery(inferencer: Inferencer, split: str, count: int, out_html: Path) -> list[Scored]:
    """Write a page of the pictures that are predicted worst, from the worst on.

    Args:
        inferencer: predicts; without ``probs``, which as many pictures would hold in memory.
        split: as in :func:`predict_labelled`.
        count: how many pictures, at least 1.
        out_html: one file, with the pictures inside.

    Returns:
        All pictures, the worst first.

    Raises:
        ValueError: ``count`` is less than 1; or as :func:`predict_labelled`.
    """
    if count < 1:
        raise ValueError(f'--num {count}: expected at least 1 picture')
    meta = inferencer.model.dataset_meta
    kept: list[tuple[Scored, Labelled]] = []
    scored = []
    for one in predict_labelled(inferencer, split):
        scored.append(score(one, meta['classes']))
        kept = sorted([*kept, (scored[-1], one)], key=lambda pair: pair[0].miou)[:count]
    items = []
    for rank, (found, one) in enumerate(kept, start=1):
        image = picture_of(inferencer.model, read_image(inferencer.model, one.path))
        row = (image, one.truth, one.labels)
        drawn = side_by_side([row], meta['classes'], meta['palette'])
        worst = ', '.join(f'{name} {iou:.1f}' for name, iou in found.worst)
        items.append(
            f'<figure><figcaption>{rank}. <b>{html.escape(found.path)}</b> mIoU {found.miou:.1f} '
            f'(worst: {html.escape(worst)})</figcaption><img src="{data_address(drawn)}"></figure>'
        )
    title = f'The {len(kept)} worst of {len(scored)} pictures'
    with whole_file(out_html) as partial:
        partial.write_text(PAGE.format(title=title, items='\n'.join(items)), encoding='utf-8')
    return sorted(scored, key=lambda found: found.miou)


PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font-family: system-ui, sans-serif; margin: 2rem auto; max-width: 1500px; color: #222 }}
figure {{ margin: 0 0 2rem }}
figcaption {{ margin-bottom: .4rem }}
img {{ max-width: 100% }}
</style></head>
<body><h1>{title}</h1>
{items}
</body></html>
"""
