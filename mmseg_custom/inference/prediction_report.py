"""What the prediction tool says while it works and at the end."""

import os
import sys
import time
from collections.abc import Iterable

from mmseg_custom.inference.inferencer import Inferencer
from mmseg_custom.inference.prediction_files import Result


def report_results(
    results: Iterable[Result], total: int, inferencer: Inferencer, out_dir: str | os.PathLike
) -> int:
    """Show a bar on a terminal, a line for each picture elsewhere, and a summary with speeds.

    Args:
        results: as they come.
        total: how many there will be.
        inferencer: that makes them.
        out_dir: where the files lie.

    Returns:
        How many failed.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Doing(ProgressColumn):
        def render(self, task) -> Text:
            return Text(inferencer.doing)

    start, done, failed = time.perf_counter(), 0, []
    console = Console(file=sys.stdout)
    columns = (
        MofNCompleteColumn(),
        BarColumn(20),
        TimeRemainingColumn(elapsed_when_finished=True),
        Doing(),
    )
    disable = not console.is_terminal
    with Progress(*columns, console=console, disable=disable, transient=True) as progress:
        task = progress.add_task('pictures', total=total)
        for result in results:
            progress.advance(task)
            if result.error:
                failed.append(result)
            if result.shares is None:
                continue
            done += result.num_pictures
            if not console.is_terminal:
                print(describe(result, inferencer.classes), flush=True)
    seconds = time.perf_counter() - start
    if done:
        print(summary(done, seconds, inferencer))
        print(f'written to {out_dir}')
    if failed:
        print(f'{len(failed)} of {total} files failed:', file=sys.stderr)
        for result in failed:
            name = str(result.image)
            where = '' if name in result.error else f'{name}: '
            print(f'  {where}{result.error}', file=sys.stderr)
    return len(failed)


def describe(result: Result, classes: tuple[str, ...], count: int = 3) -> str:
    """One line: picture, size, the most frequent classes, where a file lies."""
    frequent = sorted(zip(result.shares, classes), key=lambda pair: -pair[0])[:count]
    shares = ', '.join(f'{name} {100 * share:.1f} %' for share, name in frequent if share > 0)
    shown = result.files.get('overlay') or next(iter(result.files.values()))
    return f'{result.image}  {result.size}  {shares}  -> {shown}'


def summary(num_pictures: int, seconds: float, inferencer: Inferencer) -> str:
    """One line: pictures, milliseconds of each stage, pictures per second of model and whole."""
    speed = f'{num_pictures} pictures: {num_pictures / seconds:.2f} images/s end to end'
    if not inferencer.seconds['predict']:  # others predicted
        return speed
    stages = ', '.join(
        f'{stage} {1000 * spent / num_pictures:.1f}' for stage, spent in inferencer.seconds.items()
    )
    model = num_pictures / inferencer.seconds['predict']
    return f'{speed}, {model:.2f} model only; ms per picture (stages overlap): {stages}'
