"""The inspection as one HTML file: findings, classes, a few samples with their labels."""

from collections.abc import Iterator, Sequence
from html import escape

import cv2
import numpy as np

from mmseg_custom.bands import select_bands
from mmseg_custom.datasets.inspection.findings import Finding, is_invalid
from mmseg_custom.datasets.inspection.masks import has_mask, read_class_map
from mmseg_custom.datasets.inspection.summary import (
    balance_line,
    class_groups,
    describe,
    verdict,
    whole_training,
)
from mmseg_custom.datasets.inspection.totals import Split, Totals
from mmseg_custom.datasets.transforms.load_bands import LoadBandsFromFile
from mmseg_custom.visualization.panels import draw_overlay
from mmseg_custom.visualization.rendering import data_address

SAMPLES_SHOWN = 6
LONGEST_SIDE = 480
STYLE = """
body { font: 15px/1.5 sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em }
table { border-collapse: collapse } td, th { padding: .2em .8em; text-align: left }
td.number { text-align: right; font-variant-numeric: tabular-nums }
.error { border-left: 6px solid #c0392b } .warning { border-left: 6px solid #d68910 }
.finding { padding: .2em 1em; margin: .8em 0; overflow-wrap: anywhere }
code { background: #f2f2f2; padding: .1em .3em }
.bar { height: .9em; min-width: 1px; outline: 1px solid #888 } td.bars { width: 40% }
figure { display: inline-block; margin: .5em; vertical-align: top } figure img { max-width: 520px }
figcaption { font-size: 12px; max-width: 520px; overflow-wrap: anywhere }
"""


def render(title: str, splits: Sequence[Split], findings: Sequence[Finding]) -> str:
    """The report.

    Args:
        title: what was inspected.
        splits: inspected.
        findings: about them.
    """
    training = whole_training(splits, findings)
    return '\n'.join(
        [
            '<!DOCTYPE html>',
            f'<html lang="en"><head><meta charset="utf-8"><title>{_text(title)}</title>',
            f'<style>{STYLE}</style></head><body>',
            f'<h1>{_text(title)}</h1>',
            f'<p><strong>{_text(verdict(findings))}</strong></p>',
            *(_finding(finding) for finding in findings),
            *(f'<p>{_text(describe(split))}</p>' for split in splits),
            *(line for group in class_groups(splits) for line in _histogram(group)),
            *([_balance(training)] if training else []),
            *(line for split in splits if split.dataset for line in _samples(split)),
            '</body></html>',
            '',
        ]
    )


def _text(text: object) -> str:
    # Names of files may hold bytes that are no UTF-8.
    return escape(str(text).encode('utf-8', 'replace').decode())


def _finding(finding: Finding) -> str:
    fix = f'<br>fix: <code>{_text(finding.fix)}</code>' if finding.fix else ''
    return (
        f'<div class="finding {finding.level}">{finding.level}: {_text(finding.split)}: '
        f'{_text(finding.text)}{fix}</div>'
    )


def _histogram(splits: Sequence[Split]) -> Iterator[str]:
    """One table per split: pixels of each class, with a bar as long as its share."""
    palette = splits[0].dataset.metainfo['palette']
    for split in splits:
        totals = Totals.of(split.samples, len(split.classes))
        yield f'<h2>Classes in {_text(split.title)}</h2><table>'
        yield '<tr><th></th><th>class</th><th>images</th><th>pixels</th><th>share</th></tr>'
        shares = totals.pixels / max(1, totals.pixels.sum())
        for index, name in enumerate(split.classes):
            colour = '#{:02x}{:02x}{:02x}'.format(*palette[index])
            width = 100 * shares[index] / max(shares.max(), 1e-12)
            yield (
                f'<tr><td class="number">{index}</td><td>{_text(name)}</td>'
                f'<td class="number">{totals.masks[index]}</td>'
                f'<td class="number">{totals.pixels[index]}</td>'
                f'<td class="bars"><div class="bar" style="width:{width:.1f}%;'
                f'background:{colour}" title="{100 * shares[index]:.2f} %"></div></td></tr>'
            )
        yield '</table>'


def _balance(training: Split) -> str:
    what, option = balance_line(training).split(': ', 1)
    return f'<p>{what}: <code>{_text(option)}</code></p>'


def _samples(split: Split) -> Iterator[str]:
    """Pictures with their labels, spread over the split; bad ones are left out."""
    good = [
        index
        for index, facts in enumerate(split.samples)
        if not is_invalid(facts) and facts.image is not None
    ]
    if not good:
        return
    yield f'<h2>Samples of {_text(split.title)}</h2>'
    count = min(SAMPLES_SHOWN, len(good))
    for number in range(count):
        sample = split.dataset.get_data_info(good[number * len(good) // count])
        picture = _overlay(split, sample)
        if picture is not None:
            yield (
                f'<figure><img alt="" src="{data_address(picture)}">'
                f'<figcaption>{_text(sample["img_path"])}</figcaption></figure>'
            )


def _overlay(split: Split, sample: dict) -> np.ndarray | None:
    """The image with its labels and their legend, RGB uint8 (H, W, 3); None if not readable."""
    image = _read_image(split, sample['img_path'])
    if image is None:
        return None
    height, width = image.shape[:2]
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    if not has_mask(sample):
        return small
    labels = read_class_map(sample, split.rules.num_classes, (width, height))
    labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
    return draw_overlay(small, labels, split.classes, split.dataset.metainfo['palette'])


def _read_image(split: Split, path: str) -> np.ndarray | None:
    """RGB uint8 (H, W, 3), of bands those that are shown as colours; None if not readable."""
    if not split.rules.eight_bit:
        facts = select_bands(split.dataset.metainfo)
        loader = LoadBandsFromFile(rgb_bands=facts.rgb_bands, nodata=facts.nodata)
        try:
            return loader.to_rgb(loader({'img_path': path})['img'])
        except ValueError:
            return None
    flag = cv2.IMREAD_COLOR
    if split.rules.ignore_orientation:
        flag |= cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.fromfile(path, np.uint8), flag)
    return None if image is None else np.ascontiguousarray(image[..., ::-1])
