"""Measure speed and memory against other implementations with the same weights.

``python tools/analysis_tools/benchmark.py --task infer --models segformer_b0 --against mmseg,hf``.
See docs/benchmarks.md for what each task measures.
"""

import argparse
from pathlib import Path

from mmseg_custom import cli


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--task',
        default='infer',
        help='infer, predict, slide, train, loss, eval, hooks, data, video, serve, deploy',
    )
    parser.add_argument('--models', type=_names, help='with commas; for data ade20k,cityscapes,...')
    parser.add_argument('--against', type=_names, help='mmseg,hf,smp; for deploy formats')
    parser.add_argument('--device', default='cpu', help='cpu or cuda')
    parser.add_argument('--dtype', default='fp32', help='fp32, bf16 or fp16, by autocast')
    parser.add_argument(
        '--compile', nargs='?', const='ours', default='none', choices=('none', 'ours', 'both')
    )
    parser.add_argument('--size', type=_size, help='512, or height x width as 1024x2048')
    parser.add_argument('--batch', type=int, help='images at once; default by task')
    parser.add_argument('--rounds', type=int, default=10, help='measurements of each contender')
    parser.add_argument('--threads', type=int, help='of PyTorch on a CPU')
    parser.add_argument('--pictures', type=int, default=24, help='of eval and serve; frames')
    parser.add_argument(
        '--keep-memory', default='ours', choices=('none', 'ours', 'both'), help='see docs/speed.md'
    )
    parser.add_argument('--data-root', help='real pictures for the task data')
    parser.add_argument('--profile', action='store_true', help='print shares of operators')
    parser.add_argument('--json', type=Path, metavar='FILE', help='also write the numbers there')
    parser.add_argument('--traceback', action='store_true', help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(',') if name.strip())


def _size(text: str) -> tuple[int, int]:
    try:
        sides = [int(side) for side in text.lower().split('x')]
    except ValueError:
        sides = []
    if len(sides) not in (1, 2) or min(sides) < 1:
        raise argparse.ArgumentTypeError(f'{text!r}: expected 512 or 1024x2048 (height x width)')
    return sides[0], sides[-1]


def main(argv: list[str] | None = None) -> None:
    """Measure as the command line says."""
    arguments = vars(parse_arguments(argv))
    json_file = arguments.pop('json')
    arguments.pop('traceback')
    from mmseg_custom.benchmark.report import as_json, print_report
    from mmseg_custom.benchmark.run import DEFAULT_FORMATS, Options, run

    if arguments['models'] is None:
        arguments['models'] = () if arguments['task'] == 'data' else ('segformer_b0',)
    if arguments['against'] is None:
        arguments['against'] = DEFAULT_FORMATS if arguments['task'] == 'deploy' else ('mmseg',)
    options = Options(**arguments)
    ceilings, results = run(options, report=lambda text: print(text, flush=True))
    print_report(options, ceilings, results)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(as_json(options, ceilings, results), encoding='utf-8')


if __name__ == '__main__':
    cli.run(main)
