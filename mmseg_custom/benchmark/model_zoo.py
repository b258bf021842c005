"""``docs/model_zoo.md``, written from the configs."""

import ast
import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

import torch
from mmengine.config import Config

from mmseg_custom.benchmark.counting import count_cost
from mmseg_custom.benchmark.named_models import build
from mmseg_custom.engine.class_count import heads
from mmseg_custom.engine.config import CONFIG_FOLDERS, drop_pretrained, load_config

ASSUMED_CLASSES = 10
# What a pretrained backbone is, by the start of its file name: what it was trained on, and the
# terms of those who trained it. See the notes below the tables.
LICENCES = {
    'mit_b': ('ImageNet-1k', '[NVIDIA, non-commercial](#licences)'),
    'vit_': ('ImageNet-21k, then 1k at 384', '[Apache-2.0](#licences)'),
}
HEAD = f"""# Model zoo

Written by `python tools/analysis_tools/model_zoo.py` from the configs; a test checks that it is up
to date. Do not edit it by hand.

- **Parameters** of the whole segmentor; with {ASSUMED_CLASSES} classes where the data decide.
- **GFLOPs** of one forward pass of one picture of the crop size, up to the head's logits, as this
  project computes it. A multiply-add counts as two; convolutions, matrix products and attention are
  counted. Papers often count multiply-adds, and implementations that fuse SegFormer's levels after
  resizing them need more.
- **mIoU** as published by the source that the config names, at one scale / with several scales and
  flips; `-` where nothing is published for this very setting.
"""
NOTES = """## Licences

The licence column is about the pretrained backbone that a config downloads, not about the code of
this project.

- **MiT** (`mit_b*.pth`): OpenMMLab offers them for SegFormer, with a script that converts the
  weights of [NVlabs/SegFormer](https://github.com/NVlabs/SegFormer), whose README allows
  non-commercial use, for research or evaluation, only (NVIDIA Source Code License). OpenMMLab's own
  [LICENSES.md](https://github.com/open-mmlab/mmsegmentation/blob/main/LICENSES.md) names SegFormer
  as the part that is not under Apache-2.0. Treat these weights, and models trained from them, as
  non-commercial, or train with `--from-scratch`.
- **ViT** (`vit_*.pth`): OpenMMLab's conversions of the AugReg weights of
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
    'mIoU ss / ms+flip',
    'pretrained backbone',
    'trained on',
    'licence',
)


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
        published: mIoU at one scale and with several, as text.
        weights: URL of the pretrained backbone, or ``None``.
    """

    path: Path
    title: str
    crop_size: tuple[int, int]
    num_classes: int | None
    parameters: int
    flops: int
    published: tuple[str, str]
    weights: str | None


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
    weights = pretrained_weights(config)
    crop_size = tuple(config.crop_size)
    num_classes = config.model.decode_head.get('num_classes')
    drop_pretrained(config)
    for _, head in heads(config.model):
        head['num_classes'] = head.get('num_classes') or ASSUMED_CLASSES
    # On the meta device shapes are computed and numbers are not.
    with torch.device('meta'):
        model = build(config.model).eval()
    channels = config.model.backbone.get('in_channels', 3)
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
        published=published_miou(header, path),
        weights=weights,
    )


def published_miou(header: str, path: Path) -> tuple[str, str]:
    """Read mIoU at one scale and with several from a header's ``Published:`` entry.

    Returns:
        Numbers as written there; ``-`` for one that is not given.

    Raises:
        ValueError: there is no such entry, or it is neither ``none`` nor ``mIoU <number>``.
    """
    match = re.search(r'^Published:((?:.*\n?)(?:^[ ]+.*\n?)*)', header, re.MULTILINE)
    text = ' '.join(match[1].split()) if match else ''
    if text.startswith('none'):
        return '-', '-'
    single = re.search(r'mIoU (\d+(?:\.\d+)?)', text)
    several = re.search(r'multi-scale \+ flip (\d+(?:\.\d+)?)', text)
    if not single:
        raise ValueError(
            f'{path}: expected "Published: none" or "Published: mIoU 37.41, multi-scale + flip '
            f'38.34 (source)" in the header, got "Published: {text}"'
        )
    return single[1], several[1] if several else '-'


def pretrained_weights(config: Config) -> str | None:
    """URL or path of the backbone's pretrained weights."""
    backbone = config.model.backbone
    init = backbone.get('init_cfg') or {}
    found = init.get('checkpoint') if init.get('type') == 'Pretrained' else None
    return found or backbone.get('pretrained') or config.model.get('pretrained')


def licence_of(weights: str) -> tuple[str, str]:
    """Return what weights were trained on and their licence.

    Raises:
        ValueError: nothing is known about a file of this name.
    """
    name = Path(urlparse(weights).path).name
    for start, known in LICENCES.items():
        if name.startswith(start):
            return known
    raise ValueError(
        f'the licence of {name} is not known; add its name to LICENCES in {Path(__file__).name}'
    )


def render(entries: list[Entry], link_prefix: str = '../configs') -> str:
    """Return the page: one table for each folder of configs."""
    parts = [HEAD]
    folders = sorted({entry.path.parts[0] for entry in entries})
    for folder in folders:
        rows = [_row(entry, link_prefix) for entry in entries if entry.path.parts[0] == folder]
        lines = ['| ' + ' | '.join(cells) + ' |' for cells in (COLUMNS, *rows)]
        lines.insert(1, '|' + ' --- |' * len(COLUMNS))
        parts.append('\n'.join([f'## {folder}', '', *lines, '']))
    return '\n'.join([*parts, NOTES])


def _row(entry: Entry, link_prefix: str) -> tuple[str, ...]:
    weights, trained_on, licence = '-', '-', '-'
    if entry.weights:
        trained_on, licence = licence_of(entry.weights)
        weights = f'[{Path(urlparse(entry.weights).path).name}]({entry.weights})'
    height, width = entry.crop_size
    return (
        f'[{entry.title}]({link_prefix}/{entry.path.as_posix()})',
        f'{height}x{width}',
        str(entry.num_classes or 'data'),
        f'{entry.parameters / 1e6:.2f} M',
        f'{entry.flops / 1e9:.2f}',
        ' / '.join(entry.published) if entry.published != ('-', '-') else '-',
        weights,
        trained_on,
        licence,
    )


def make_page(folder: Path | None = None) -> str:
    """Read all configs below ``folder``, by default the project's, and return the page."""
    folder = folder or configs_folder()
    return render([read_entry(path, folder) for path in find_leaves(folder)])


def is_current(page: str, file: Path) -> bool:
    """Whether ``file`` holds ``page``."""
    return file.is_file() and file.read_text(encoding='utf-8') == page


def write_page(page: str, file: Path) -> None:
    """Write the page, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix('.tmp')
    draft.write_text(page, encoding='utf-8')
    os.replace(draft, file)
