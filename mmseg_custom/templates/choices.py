"""What params choose by name: classes of the data set, and weights to start from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmseg_custom.checkpoints.published import PUBLISHED, trained_with
from mmseg_custom.engine.config import CONFIG_FOLDERS, find_config
from mmseg_custom.messages import did_you_mean
from mmseg_custom.templates.models import (
    ADE20K,
    NO_WEIGHTS,
    GeneralFields,
    SegFormerFields,
    TemplateFields,
)

BACKGROUND = 'background'
# What the configs call the decoders.
HEADS = {'mask': 'mask', 'linear': 'fcn'}


@dataclass(frozen=True)
class Selection:
    """The classes that a training learns.

    Attributes:
        classes: names in index order.
        palette: ``[R, G, B]`` of each.
        is_whole: whether they are those of the data set.
    """

    classes: tuple[str, ...]
    palette: list[list[int]]
    is_whole: bool

    @property
    def became_binary(self) -> bool:
        """Whether the choice left one concept and background."""
        return not self.is_whole and len(self.classes) == 2 and self.classes[0] == BACKGROUND


def select_concepts(
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    concepts: Sequence[str] | None,
    other: str,
) -> Selection:
    """Choose among the classes of a data set, in its order.

    Args:
        classes: of the data set.
        palette: ``[R, G, B]`` of each.
        concepts: names; None for all.
        other: what the others become, ``'background'``, which comes first, or ``'ignore'``.

    Raises:
        ValueError: a concept is no class, occurs twice, or is the only one that is left.
    """
    concepts = list(classes) if concepts is None else concepts
    for name in concepts:
        if name not in classes:
            hint = did_you_mean(name, classes) or 'choose among these'
            raise ValueError(
                f"concepts: '{name}' is no class of the data set, which has {', '.join(classes)}; "
                f'{hint}'
            )
        if concepts.count(name) > 1:
            raise ValueError(f"concepts: '{name}' occurs twice; remove one")
    colours = dict(zip(classes, palette))
    chosen = [name for name in classes if name in concepts]
    if other == BACKGROUND and len(chosen) < len(classes):
        chosen = [BACKGROUND, *(name for name in chosen if name != BACKGROUND)]
    if len(chosen) < 2:
        raise ValueError(
            f"concepts: with other_concepts: {other} only '{chosen[0]}' is left; choose two or "
            'more, or one beside the background with other_concepts: background'
        )
    colours = [list(colours.get(name, (0, 0, 0))) for name in chosen]
    return Selection(tuple(chosen), colours, tuple(chosen) == tuple(classes))


def weights_of(fields: TemplateFields) -> str | None:
    """The weights to start from, as ``load_from`` of a config takes them.

    Returns:
        A published name, an address or a path; None for random weights.

    Raises:
        ValueError: ``ade20k`` is not published for this network.
        FileNotFoundError: there is no such config.
    """
    given = fields.pretrained_weights
    if given is None or given in PUBLISHED or '://' in given:
        return given
    if given != ADE20K:
        return _existing(given)
    if isinstance(fields, GeneralFields):
        entry = trained_with(_below_configs(find_config(fields.config)))
        network, name = fields.config, entry.name if entry else ''
    elif isinstance(fields, SegFormerFields):
        network = f'segformer_{fields.backbone}'
        name = f'{network}_{ADE20K}'
    else:
        network = f'segmenter_{fields.backbone}_{HEADS[fields.decoder]}'
        name = f'{network}_{ADE20K}'
    if name in PUBLISHED and ADE20K in name:
        return name
    family = Path(network).name.partition('_')[0]
    known = [key for key in PUBLISHED if key.startswith(f'{family}_') and ADE20K in key]
    raise ValueError(
        f'pretrained_weights: {ADE20K} is not published for {network}, only '
        f'{", ".join(known) or "for the networks of docs/model_zoo.md"}; choose one of these, or '
        'set pretrained_weights: None'
    )


def _existing(given: str) -> str:
    path = Path(given).expanduser().resolve()
    if path.exists():
        return str(path)
    names = {name.lower(): name for name in (ADE20K, *PUBLISHED)}
    hint = did_you_mean(given.lower(), names, 3)
    raise FileNotFoundError(
        f'pretrained_weights: {given} is no name of published weights, and there is no file {path}'
        f'; {hint or f"put it there, or set pretrained_weights: {NO_WEIGHTS}"}'
    )


def _below_configs(path: Path) -> str:
    path = path.resolve()
    folder = next((one for one in CONFIG_FOLDERS if one in path.parents), path.parent)
    return path.relative_to(folder).as_posix()
