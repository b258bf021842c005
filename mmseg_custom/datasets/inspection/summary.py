"""The inspection in words: what there is, the classes, the findings, the verdict."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from prettytable import PrettyTable

from mmseg_custom.datasets.inspection.findings import ERROR, Finding
from mmseg_custom.datasets.inspection.totals import Split, Totals

KINDS_SHOWN = 3


def lines(splits: Sequence[Split], findings: Sequence[Finding]) -> Iterator[str]:
    """The report for a terminal, line by line."""
    for split in splits:
        yield describe(split)
    training = whole_training(splits, findings)
    for group in class_groups(splits):
        balanced = training if training and training.classes == group[0].classes else None
        yield str(class_table(group, balanced))
        if balanced:
            yield balance_line(balanced)
    for finding in findings:
        yield f'{finding.level}: {finding.split}: {finding.text}'
        if finding.fix:
            yield f'  fix: {finding.fix}'
    yield verdict(findings)


def whole_training(splits: Sequence[Split], findings: Sequence[Finding]) -> Split | None:
    """The training split, its members together, where its classes can be counted on.

    None where something is wrong, where members differ in classes, or where nothing is labelled.
    """
    members = [one for one in splits if one.name.startswith('train') and one.dataset is not None]
    if any(finding.level == ERROR for finding in findings):
        return None
    if len({one.classes for one in members}) != 1:
        return None
    whole = replace(members[0], samples=[facts for one in members for facts in one.samples])
    return whole if Totals.of(whole.samples, len(whole.classes)).pixels.any() else None


def describe(split: Split) -> str:
    """One line on the files of a split."""
    if split.error:
        return f'{split.title}: cannot be opened'
    totals = Totals.of(split.samples, len(split.classes))
    sizes = Counter({f'{width}x{height}': n for (width, height), n in totals.sizes.items()})
    masks = f'masks {_most(totals.mask_kinds)}' if totals.mask_kinds else 'no masks'
    return (
        f'{split.title}: {len(split.samples)} images, {_most(sizes)}, {_most(totals.image_kinds)}; '
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


def class_table(splits: Sequence[Split], training: Split | None) -> PrettyTable:
    """Images and share of the labelled pixels of each class and split, and class weights.

    Args:
        splits: with the same classes.
        training: of :func:`whole_training`, with these classes; None leaves the weights out.
    """
    table = PrettyTable(['', 'class'], align='r')
    table.align['class'] = 'l'
    classes = splits[0].classes
    for index, name in enumerate(classes):
        table.add_row([index, name])
    last = next((one for one in reversed(splits) if one.name.startswith('train')), None)
    for split in splits:
        totals = Totals.of(split.samples, len(classes))
        share = totals.pixels / max(1, totals.pixels.sum())
        table.add_column(f'{split.title} images', totals.masks.tolist(), 'r')
        table.add_column(f'{split.title} pixels', totals.pixels.tolist(), 'r')
        table.add_column(f'{split.title} %', [f'{100 * value:.2f}' for value in share], 'r')
        if split is last and training is not None and not training.is_binary:
            weights = Totals.of(training.samples, len(classes)).weights()
            table.add_column('weight', weights, 'r')
    return table


def balance_line(training: Split) -> str:
    """What tells a training how rare the classes are: weights, or the share of a foreground."""
    totals = Totals.of(training.samples, len(training.classes))
    if training.is_binary:
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
