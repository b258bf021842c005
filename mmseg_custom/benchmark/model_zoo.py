"""``docs/model_zoo.md``, written from the configs."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.config import Config

from mmseg_custom.benchmark.counting import count_cost
from mmseg_custom.benchmark.named_models import build
from mmseg_custom.checkpoints.published import PUBLISHED, Published, find, trained_with
from mmseg_custom.engine.class_count import heads
from mmseg_custom.engine.config import CONFIG_FOLDERS, drop_pretrained, load_config

ASSUMED_CLASSES = 10
ASSUMED_BANDS = 3
HEAD = f"""# Model zoo

Written by `python tools/analysis_tools/model_zoo.py` from the configs; a test checks that it is up
to date. Do not edit it by hand.

- **Parameters** of the whole model; with {ASSUMED_CLASSES} classes and {ASSUMED_BANDS} bands where
  the data decide.
- **GFLOPs** of one forward pass of one picture of the crop size, up to the head's logits, as this
  project computes it. A multiply-add counts as two; convolutions, matrix products and attention are
  counted. Papers often count multiply-adds, and implementations that fuse SegFormer's levels after
  resizing them need more.
- **Published** is what the source that the config names says: mIoU at one scale / with several
  scales and flips, or the share of pictures whose class was named first; `-` where nothing is
  published for this very setting.
- **Pretrained backbone** and **trained weights** are names: [weights by name](#weights-by-name).
- Segmenter ViT-L with the mask decoder trains at 640x640 on ADE20K; its name says
  512x512, as in mmseg.
"""
WEIGHTS = """## Weights by name

What stands in a config (`checkpoint='mit_b2'`) or on a command line (`load_from=mit_b2`,
`tools/test.py CONFIG segformer_mit-b0_ade20k`) is downloaded on first use to the folder that
`MMSEG_CUSTOM_WEIGHTS` names, else to PyTorch's cache, resumed where it broke off, and checked by
its hash. Where no address of a name answers, the same weights are taken in the other format that
the table names. For another repository at Hugging Face write `hf://owner/name`.
"""
NOTES = """## Licences

These are the licences of weights, not of the code of this project.

- **MiT and SegFormer**: those of NVIDIA at Hugging Face and those that OpenMMLab converted or
  trained from them go back to [NVlabs/SegFormer](https://github.com/NVlabs/SegFormer), whose README
  allows non-commercial use, for research or evaluation, only (NVIDIA Source Code License).
  OpenMMLab's
  [LICENSES.md](https://github.com/open-mmlab/mmsegmentation/blob/main/LICENSES.md) names SegFormer
  as the part that is not under Apache-2.0. Treat these weights, and models trained from them, as
  non-commercial, or train with `--from-scratch`.
- **ViT and Segmenter**: the AugReg weights, and what OpenMMLab converted or trained from them, of
  [google-research/vision_transformer](https://github.com/google-research/vision_transformer),
  which are under Apache-2.0, as the cards of the same weights in timm say, too.
- The licences of the data sets (ImageNet, ADE20K and others) are a matter of their own.
"""
COLUMNS = (
    'config',
    'crop',
    'classes',
    'parameters',
    'GFLOPs',
    'published',
    'pretrained backbone',
    'trained weights',
)
WEIGHTS_COLUMNS = ('name', 'what', 'trained on', 'file', 'MB', 'same in', 'licence')


@dataclass(frozen=True)
class Entry:
    """One leaf config.

    Attributes:
        path: of the config, below the ``configs`` folder.
        title: first line of its header.
        crop_size: height and width.
        num_classes: of the head; ``None`` where the data decides.
        parameters: number of them.
        flops: of one forward pass.
        published: accuracy, as text; ``-`` where there is none.
        backbone: pretrained weights that it starts from, or ``None``.
        trained: weights that were published with it, or ``None``.
    """

    path: Path
    title: str
    crop_size: tuple[int, int]
    num_classes: int | None
    parameters: int
    flops: int
    published: str
    backbone: Published | None
    trained: Published | None


def configs_folder() -> Path:
    """The checkout's ``configs`` folder, or the installed one."""
    return next(folder for folder in reversed(CONFIG_FOLDERS) if folder.is_dir())


def find_leaves(folder: Path) -> list[Path]:
    """All configs below a folder that are not fragments in ``_base_``."""
    return sorted(p for p in folder.rglob('*.py') if '_base_' not in p.relative_to(folder).parts)


def read_entry(path: Path, folder: Path) -> Entry:
    """Read one config, build its model and count.

    Raises:
        ValueError: the config has no header, or its header no ``Published:`` line.
    """
    header = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8')))
    if not header:
        raise ValueError(f'{path} has no header; start it with a docstring as other configs do')
    config = load_config(str(path))
    backbone = pretrained_backbone(config)
    crop_size = tuple(config.crop_size)
    num_classes = next(head for _, head in heads(config.model)).get('num_classes')
    drop_pretrained(config)
    for _, head in heads(config.model):
        head['num_classes'] = head.get('num_classes') or ASSUMED_CLASSES
    channels = config.model.backbone.get('in_channels', 3) or ASSUMED_BANDS
    config.model.backbone['in_channels'] = channels
    # On the meta device shapes are computed and numbers are not.
    with torch.device('meta'):
        model = build(config.model).eval()
    image = torch.empty(1, channels, *crop_size, device='meta')

    def forward() -> None:
        with torch.no_grad():
            model(image, mode='tensor')

    return Entry(
        path=path.relative_to(folder),
        title=header.splitlines()[0].rstrip('.'),
        crop_size=crop_size,
        num_classes=num_classes,
        parameters=sum(p.numel() for p in model.parameters()),
        flops=count_cost(forward).flops,
        published=published_accuracy(header, path),
        backbone=backbone,
        trained=trained_with(path.relative_to(folder).as_posix()),
    )


def published_accuracy(header: str, path: Path) -> str:
    """Read what was published from a header's ``Published:`` entry.

    Returns:
        ``mIoU 37.41 / 38.34`` (one scale / several), ``top-1 70.5``, or ``-``.

    Raises:
        ValueError: there is no such entry, or it is neither ``none`` nor one of these.
    """
    match = re.search(r'^Published:((?:.*\n?)(?:^[ ]+.*\n?)*)', header, re.MULTILINE)
    text = ' '.join(match[1].split()) if match else ''
    if text.startswith('none'):
        return '-'
    single = re.search(r'(mIoU|top-1) (\d+(?:\.\d+)?)', text)
    several = re.search(r'multi-scale \+ flip (\d+(?:\.\d+)?)', text)
    if not single:
        raise ValueError(
            f'{path}: expected "Published: none", "Published: top-1 70.5 (source)" or "Published: '
            f'mIoU 37.41, multi-scale + flip 38.34 (source)" in the header, got "Published: {text}"'
        )
    return f'{single[0]} / {several[1]}' if several else single[0]


def pretrained_backbone(config: Config) -> Published | None:
    """The published weights that the backbone of a config starts from.

    Raises:
        ValueError: they are not in the table of published weights, so their licence is not known.
    """
    backbone = config.model.backbone
    init = backbone.get('init_cfg') or {}
    found = init.get('checkpoint') if init.get('type') == 'Pretrained' else None
    name = found or backbone.get('pretrained') or config.model.get('pretrained')
    if name is None:
        return None
    entry = find(name)
    if entry is None:
        raise ValueError(
            f'nothing is known about the weights {name}; add them to checkpoints/published.py'
        )
    return entry


def render(entries: list[Entry], link_prefix: str = '../configs') -> str:
    """Return the page: one table for each folder of configs."""
    parts = [HEAD]
    folders = sorted({entry.path.parts[0] for entry in entries})
    for folder in folders:
        rows = [_row(entry, link_prefix) for entry in entries if entry.path.parts[0] == folder]
        parts.append('\n'.join([f'## {folder}', '', _table(COLUMNS, rows)]))
    weights = _table(WEIGHTS_COLUMNS, [_weights_row(entry) for entry in PUBLISHED.values()])
    return '\n'.join([*parts, WEIGHTS, weights, NOTES])


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ['| ' + ' | '.join(cells) + ' |' for cells in (columns, *rows)]
    lines.insert(1, '|' + ' --- |' * len(columns))
    return '\n'.join([*lines, ''])


def _weights_row(entry: Published) -> tuple[str, ...]:
    address = entry.urls[0] if entry.urls else f'https://huggingface.co/{entry.hugging_face}'
    return (
        f'`{entry.name}`',
        entry.what,
        entry.trained_on,
        f'[{entry.file_name}]({address})',
        str(entry.megabytes),
        f'`{entry.same_as}`' if entry.same_as else '-',
        f'[{entry.licence.name}](#licences)',
    )


def _row(entry: Entry, link_prefix: str) -> tuple[str, ...]:
    height, width = entry.crop_size
    return (
        f'[{entry.title}]({link_prefix}/{entry.path.as_posix()})',
        f'{height}x{width}',
        str(entry.num_classes or 'data'),
        f'{entry.parameters / 1e6:.2f} M',
        f'{entry.flops / 1e9:.2f}',
        entry.published,
        f'`{entry.backbone.name}`' if entry.backbone else '-',
        f'`{entry.trained.name}`' if entry.trained else '-',
    )


def make_page(folder: Path | None = None) -> str:
    """Read all configs below ``folder``, by default the project's, and return the page."""
    folder = folder or configs_folder()
    return render([read_entry(path, folder) for path in find_leaves(folder)])


def is_current(page: str, file: Path) -> bool:
    """Whether ``file`` holds ``page``."""
    return file.is_file() and file.read_text(encoding='utf-8') == page
