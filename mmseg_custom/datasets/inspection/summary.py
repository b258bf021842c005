"""The inspection in words: what there is, the classes, the findings, the verdict."""

from collections import Counter
from collections.abc import Iterator, Sequence

from prettytable import PrettyTable

from mmseg_custom.datasets.inspection.findings import ERROR, Finding
from mmseg_custom.datasets.inspection.totals import Split, Totals

KINDS_SHOWN = 3


def lines(splits: Sequence[Split], findings: Sequence[Finding]) -> Iterator[str]:
    """The report for a terminal, line by line."""
    for split in splits:
        yield describe(split)
    for group in class_groups(splits):
        yield str(class_table(group))
        training = next((split for split in group if split.name.startswith('train')), None)
        if training is not None:
            totals = Totals.of(training.samples, len(training.classes))
            if totals.pixels.any():
                yield balance_line(training, totals)
    for finding in findings:
        yield f'{finding.level}: {finding.split}: {finding.text}'
        if finding.fix:
            yield f'  fix: {finding.fix}'
    yield verdict(findings)


def describe(split: Split) -> str:
    """One line on the files of a split."""
    if split.error:
        return f'{split.name}: cannot be opened'
    totals = Totals.of(split.samples, len(split.classes))
    sizes = Counter({f'{width}x{height}': n for (width, height), n in totals.sizes.items()})
    masks = f'masks {_most(totals.mask_kinds)}' if totals.mask_kinds else 'no masks'
    return (
        f'{split.name}: {len(split.samples)} images, {_most(sizes)}, {_most(totals.image_kinds)}; '
        f'{masks}, {totals.ignored_share:.1%} of the pixels ignored'
    )


def _most(counts: Counter) -> str:
    shown = [
        f'{name}' if len(counts) == 1 else f'{name} ({count})'
        for name, count in counts.most_common(KINDS_SHOWN)
    ]
    return ' '.join(shown) + (f' and {len(counts) - KINDS_SHOWN} more' * (len(counts) > 3))


def class_groups(splits: Sequence[Split]) -> list[list[Split]]:
    """The splits that could be opened, those with the same classes together."""
    groups: dict[tuple[str, ...], list[Split]] = {}
    for split in splits:
        if split.dataset is not None:
            groups.setdefault(split.classes, []).append(split)
    return [*groups.values()]


def class_table(splits: Sequence[Split]) -> PrettyTable:
    """Images and share of the labelled pixels of each class and split, and class weights.

    Args:
        splits: with the same classes.
    """
    table = PrettyTable(['', 'class'], align='r')
    table.align['class'] = 'l'
    classes = splits[0].classes
    for index, name in enumerate(classes):
        table.add_row([index, name])
    for number, split in enumerate(splits):
        totals = Totals.of(split.samples, len(classes))
        label = split.name if split.name not in table.field_names else f'{split.name} {number}'
        share = totals.pixels / max(1, totals.pixels.sum())
        table.add_column(f'{label} images', totals.masks.tolist(), 'r')
        table.add_column(f'{label} pixels', totals.pixels.tolist(), 'r')
        table.add_column(f'{label} %', [f'{100 * value:.2f}' for value in share], 'r')
        if split.name.startswith('train') and number == 0 and not split.is_binary:
            table.add_column('weight', totals.weights(), 'r')
    return table


def balance_line(split: Split, totals: Totals) -> str:
    """What tells a training how rare the classes are: weights, or the share of a foreground."""
    if split.is_binary:
        share = round(float(totals.pixels[1] / totals.pixels.sum()), 4)
        return f'foreground prior: --cfg-options model.decode_head.foreground_prior={share}'
    text = ','.join(map(str, totals.weights()))
    return f'class weights: --cfg-options "model.decode_head.loss_decode.class_weight=[{text}]"'


def verdict(findings: Sequence[Finding]) -> str:
    """One line: ok, warnings, or errors."""
    errors = sum(finding.level == ERROR for finding in findings)
    warnings = len(findings) - errors
    counts = [
        f'{count} {word}{"s" * (count > 1)}'
        for count, word in ((errors, 'error'), (warnings, 'warning'))
        if count
    ]
    return f'verdict: {" and ".join(counts) or "ok"}'
