"""``class_weight='auto'``: the weights of a loss from the labels of the training."""

from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import broadcast_object_list, is_main_process

from mmseg_custom.engine.class_count import dataset_metainfo, heads
from mmseg_custom.engine.config_difference import flat_config
from mmseg_custom.registry import DATASETS


def automatic_losses(model: dict) -> Iterator[tuple[str, dict]]:
    """Yield the dotted name and the config of each loss whose ``class_weight`` names a method.

    Text with an ending is the path of a file, which the loss reads itself.
    """
    for name, head in heads(model):
        losses = head.get('loss_decode') or []
        single = isinstance(losses, dict)
        for index, loss in enumerate([losses] if single else losses):
            weights = loss.get('class_weight')
            if isinstance(weights, str) and not Path(weights).suffix:
                yield f'model.{name}.loss_decode' + ('' if single else f'.{index}'), loss


def drop_automatic_weights(model: dict) -> None:
    """Forget the weights that a method names: only a training needs them; in place."""
    for _, loss in automatic_losses(model):
        loss['class_weight'] = None


def fill_automatic_weights(config: Config, models: list[dict], resumed: bool) -> str:
    """Replace a method's name by its weights.

    Every process gets the same. A run that is resumed takes those of its saved config, so that it
    goes on with the same loss though the labels may have changed.

    Args:
        config: of the training.
        models: model configs that are the same; changed in place.
        resumed: whether the run continues another one.

    Returns:
        What was filled in, for the log; an empty string where no loss asks for it.

    Raises:
        ValueError: the method is unknown, or the labels cannot be counted.
    """
    asked = {name: loss['class_weight'] for name, loss in automatic_losses(models[0])}
    if not asked:
        return ''
    # The first process has written the saved config; the others may not see its disk.
    saved = [_saved_weights(config, asked) if resumed and is_main_process() else None]
    broadcast_object_list(saved)
    weights = saved[0] or _counted_weights(config, asked)
    for model in models:
        for name, loss in [*automatic_losses(model)]:
            loss['class_weight'] = list(weights[name])
    source = 'that the run began with' if saved[0] else 'from the training labels'
    return f'class weights {source}\n{_table(config, asked, weights)}'


def _counted_weights(config: Config, asked: dict[str, str]) -> dict[str, list[float]]:
    pixels = DATASETS.build(dict(type='ClassPixels', dataset=config.train_dataloader.dataset))
    return {name: pixels.weights(method) for name, method in asked.items()}


def _saved_weights(config: Config, asked: dict[str, str]) -> dict[str, list[float]] | None:
    """Those in the config that the resumed run has written; None where they are not all there."""
    start = config.get('load_from')
    folder = Path(start).parent if start else Path(config.work_dir)
    path = folder / Path(config.filename or 'config.py').name
    if not path.is_file():
        return None
    values = flat_config(path.read_text(encoding='utf-8'))
    weights = {name: values.get(f'{name}.class_weight') for name in asked}
    return weights if all(isinstance(value, list) for value in weights.values()) else None


def _table(config: Config, asked: dict[str, str], weights: dict[str, list[float]]) -> str:
    from prettytable import PrettyTable

    classes = dataset_metainfo(config.train_dataloader.dataset)['classes']
    table = PrettyTable(['class', *(f'{name} ({method})' for name, method in asked.items())])
    table.align = 'r'
    for name, *values in zip(classes, *(weights[name] for name in asked), strict=True):
        table.add_row([name, *(f'{value:g}' for value in values)])
    return table.get_string()
