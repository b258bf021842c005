"""What every command line of the project shares: common options and one-line errors."""

import argparse
import os
import re
import sys
import traceback
from collections.abc import Callable

from mmseg_custom.compat import ignore_upstream_warnings
from mmseg_custom.messages import did_you_mean

USER_ERRORS = (ValueError, TypeError, OSError, MemoryError, ModuleNotFoundError)
EXIT_FAILED_FILES = 1
EXIT_USER_ERROR = 2


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options`` and ``--traceback``."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        metavar='KEY=VALUE',
        help='override config keys, e.g. train_dataloader.batch_size=4 data_root=my/folder; '
        'lists as key="[a,b]"; +key=value adds a key that the config does not have',
    )
    add_traceback_argument(parser)


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``model``, ``weights`` and ``--device``, as ``Inferencer`` takes them."""
    add = parser.add_argument
    add('model', help='a config, a checkpoint that carries its config, or a published name')
    add('weights', nargs='?', help='checkpoint for a config')
    add('--device', help='cpu, cuda, cuda:1 ...; default: a GPU if there is one')


def parse_conversion(
    argv: list[str] | None, description: str, default_folder: str, **positionals: str
) -> argparse.Namespace:
    """Parse the command line of a converter that writes beside what it reads.

    Args:
        argv: the command line.
        description: of the tool.
        default_folder: of the results, where ``--out-dir`` does not name another one.
        positionals: what is read: names and their help.
    """
    parser = argparse.ArgumentParser(description=description)
    for name, text in positionals.items():
        parser.add_argument(name, help=text)
    parser.add_argument('-o', '--out-dir', help=f'of the results, in place of {default_folder}')
    add_conversion_arguments(parser)
    return parser.parse_args(argv)


def add_launcher_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--launcher`` and the ``--local-rank`` that some launchers append."""
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)


def convert(
    argv: list[str] | None, source: str, source_help: str, keep_classifier: bool = False
) -> None:
    """Convert the checkpoint of one source as a command line ``SRC DST`` says.

    Args:
        argv: the command line.
        source: whose checkpoints the tool takes.
        source_help: what ``SRC`` is.
        keep_classifier: as in :func:`mmseg_custom.checkpoints.publish.convert_file`.
    """
    parser = argparse.ArgumentParser(description=f'Convert weights of {source} to our names.')
    parser.add_argument('src', help=source_help)
    parser.add_argument('dst', help='file to write: .pth or .safetensors')
    add_traceback_argument(parser)
    args = parser.parse_args(argv)
    from mmseg_custom.checkpoints.publish import convert_file, describe_conversion

    weights = convert_file(args.src, args.dst, source, keep_classifier)
    print(describe_conversion(weights, args.dst))


def add_export_arguments(parser: argparse.ArgumentParser, out: str) -> None:
    """Add model, checkpoint and ``out``, and how predictions are compared."""
    add = parser.add_argument
    add('model', help='a config, a checkpoint that carries its config, or a published name')
    add('weights', nargs='?', metavar='CHECKPOINT', help='for a config')
    add('out', metavar=out)
    add('--data', help="pictures to compare on; default: the config's validation data")
    add('--num-pictures', type=int, default=20, help='of these; 0: all; default %(default)s')
    add('--max-difference', type=float, default=1e-3, help='of probabilities; default %(default)s')
    add('--agreement', type=float, default=0.999, help='of labels, 0..1; default %(default)s')
    add('--overwrite', action='store_true', help='replace a file that exists')
    add_common_arguments(parser)


def add_conversion_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--workers``, ``--overwrite`` and ``--traceback``."""
    parser.add_argument('--workers', '--nproc', type=int, help='processes; by default one per core')
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='convert all again, and replace files that something else wrote',
    )
    add_traceback_argument(parser)


def report_conversion(conversion) -> None:
    """Print what was converted, and exit with status 1 when files failed.

    Args:
        conversion: a :class:`mmseg_custom.datasets.converting.Conversion`.
    """
    for line in conversion.lines():
        print(line, file=sys.stderr if line.startswith('failed') else sys.stdout)
    if conversion.failures:
        sys.exit(EXIT_FAILED_FILES)


def add_traceback_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--traceback``."""
    parser.add_argument(
        '--traceback', action='store_true', help='show the whole stack when something goes wrong'
    )


def run(main: Callable[[list[str] | None], None], argv: list[str] | None = None) -> None:
    """Call ``main`` and turn a user's mistake into one line on stderr and exit status 2.

    A mistake is a ``ValueError``, ``TypeError``, ``OSError``, ``MemoryError``, missing module, or
    an unknown registry name; anything else is a defect of ours and keeps its traceback.
    """
    arguments = sys.argv[1:] if argv is None else argv
    ignore_upstream_warnings()
    try:
        main(argv)
    except SystemExit:
        _leave_process_group()
        raise
    except (*USER_ERRORS, KeyError, SyntaxError) as error:
        message = _user_message(error)
        if message is None or '--traceback' in arguments:
            raise
        rank = os.environ.get('RANK', '0')
        where = '' if rank == '0' else f' [rank {rank}]'
        print(f'error{where}: {message}', file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    _leave_process_group()


def _leave_process_group() -> None:
    """End the threads of ``torch.distributed``: a process that exits with them can be aborted."""
    distributed = sys.modules.get('torch.distributed')
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _user_message(error: Exception) -> str | None:
    """One line for a user's mistake; None when the error is a defect of ours."""
    if isinstance(error, KeyError):
        return _unknown_name_message(str(error))
    if isinstance(error, SyntaxError):
        return f'{error.filename}, line {error.lineno}: {error.msg}'
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f'{error.filename}: {error.strerror}'
    text = ' '.join(_without_worker_stack(str(error)).split())
    if isinstance(error, TypeError):
        text = f'{text}{_build_site(error)}'
    return text or type(error).__name__


def _without_worker_stack(text: str) -> str:
    """Cut the stack that torch writes before the message of an error in a loader's worker."""
    if ' in DataLoader worker process ' not in text.partition('\n')[0]:
        return text
    return re.split(r'^[\w.]*(?:Error|Exception): ', text, flags=re.MULTILINE)[-1]


def _unknown_name_message(text: str) -> str | None:
    """Say which names are near when a registry did not find one."""
    match = re.search(r"'?\"?([\w.]+) is not in the ([\w.]+)::([\w ]+) registry", text)
    if match is None:
        return None
    from mmseg_custom.registry import registered_names

    name, scope, registry = match.groups()
    near = did_you_mean(name.rsplit('.', 1)[-1], registered_names(registry), 2)
    fix = near or 'import the module that registers it (custom_imports of the config)'
    return f"unknown {registry} type='{name}' (looked in {scope} and its parents); {fix}"


def _build_site(error: TypeError) -> str:
    """Name the class whose arguments did not fit, from the frames of ``build_from_cfg``."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name == 'build_from_cfg' and 'obj_type' in frame.f_locals:
            name = frame.f_locals['obj_type']
    return f" (while building type='{name}' from the config)" if 'name' in locals() else ''
