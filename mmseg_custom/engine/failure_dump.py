"""What it takes to see an iteration fail again: the batch, the weights before it, the settings."""

import copy
import json
from pathlib import Path

import torch
from torch import Tensor, nn

from mmseg_custom.engine.unwrapping import unwrap

FOLDER = 'non_finite'


def dump_iteration(runner, batch: dict, found: dict, with_weights: bool) -> Path:
    """Write ``non_finite/iter_N.json`` and ``iter_N.pth`` into the work folder.

    The ``.pth`` holds ``inputs`` and ``labels``, as the loader gave them, and, from the first
    process, ``state_dict``; ``torch.load(path, weights_only=True)`` opens it. Each process writes
    its own batch, all but the first under ``iter_N_rank_R``.

    Args:
        runner: in the iteration.
        batch: of the loader, with ``inputs`` and ``data_samples``.
        found: what else to write into the ``.json``: losses, gradients.
        with_weights: whether the model still has the weights from before the iteration.

    Returns:
        Path of the ``.json``.
    """
    iteration = runner.iter + 1
    rank = f'_rank_{runner.rank}' if runner.rank else ''
    path = Path(runner.work_dir, FOLDER, f'iter_{iteration}{rank}.json')
    path.parent.mkdir(parents=True, exist_ok=True)
    samples, labels = batch.get('data_samples') or [], _labels(batch)
    with_weights = with_weights and not runner.rank and not _is_sharded(runner.model)
    groups = getattr(runner.optim_wrapper, 'param_groups', [])
    wrapper = runner.cfg.get('optim_wrapper') or {}
    report = dict(
        iteration=iteration,
        epoch=runner.epoch,
        rank=runner.rank,
        world_size=runner.world_size,
        seed=runner.seed,
        torch=torch.__version__,
        optim_wrapper=wrapper.get('type', 'OptimWrapper'),
        dtype=str(wrapper.get('dtype', 'default')),
        lr=sorted({group['lr'] for group in groups}),
        **found,
        images=[getattr(sample, 'img_path', None) for sample in samples],
        pixels_by_class=_histogram(labels, _classes(runner)),
        weights='before the step' if with_weights else 'not saved',
        last_checkpoint=runner.message_hub.runtime_info.get('last_ckpt'),
        data=path.with_suffix('.pth').name,
    )
    path.write_text(f'{json.dumps(report, indent=2, default=str)}\n', encoding='utf-8')
    content = dict(inputs=batch.get('inputs'), labels=labels)
    if with_weights:
        model = unwrap(runner.model)
        content['state_dict'] = {key: value.cpu() for key, value in model.state_dict().items()}
    torch.save(content, path.with_suffix('.pth'))
    return path


def pictures_not_finite(model: nn.Module, batch: dict) -> list[str]:
    """Name the pictures that hold NaN or infinity when they enter the network.

    Args:
        model: with a ``data_preprocessor``, possibly inside data parallel training.
        batch: of the loader.
    """
    preprocessor = unwrap(model).data_preprocessor
    # It pads the labels in place.
    inputs = preprocessor(copy.deepcopy(batch), True)['inputs']
    names = picture_names(batch)
    return [name for name, picture in zip(names, inputs) if not picture.isfinite().all()]


def picture_names(batch: dict) -> list[str]:
    """Path of each picture of a batch, or its number where it has none."""
    return [
        str(getattr(sample, 'img_path', None) or f'number {number} of the batch')
        for number, sample in enumerate(batch.get('data_samples') or [])
    ]


def _labels(batch: dict) -> list[Tensor]:
    """Class map (height, width) of each picture, or its one class."""
    found = []
    for sample in batch.get('data_samples') or []:
        if 'gt_sem_seg' in sample:
            found.append(sample.gt_sem_seg.data.squeeze(0).cpu())
        elif 'gt_label' in sample:
            found.append(sample.gt_label.cpu())
    return found


def _classes(runner) -> list[str]:
    dataset = runner.train_dataloader.dataset
    return list((getattr(dataset, 'metainfo', None) or {}).get('classes') or [])


def _histogram(labels: list[Tensor], classes: list[str]) -> dict[str, int]:
    """Pixels by name of the class; other labels, as the ignored one, by number."""
    if not labels:
        return {}
    values, counts = torch.cat([label.flatten() for label in labels]).unique(return_counts=True)
    return {
        classes[value] if 0 <= value < len(classes) else f'label {value}': count
        for value, count in zip(values.tolist(), counts.tolist())
    }


def _is_sharded(model: nn.Module) -> bool:
    """Whether collecting the weights would need all processes."""
    # Only sharded parameters have it; importing their class takes long.
    return any(hasattr(parameter, 'full_tensor') for parameter in model.parameters())
