"""The command line of ``tools/segmenter.py``."""

import argparse
from collections.abc import Sequence

from mmseg_custom.templates.registry import DEFAULT_ROOT

FLAG = 'store_true'
RUN = ('run', dict(metavar='RUN', help='such as run-1'))
DATASET = ('dataset', dict(metavar='DATASET', help='name of a data set, or a folder'))
NAME = ('name', dict(metavar='NAME', help='of the data set'))
OUT_DIR = ('--out-dir', dict(help="folder for the files; default: in the run's folder"))
# Command: what it does, and its arguments.
COMMANDS: dict[str, tuple] = {
    'templates': ('list the templates',),
    'params': (
        "print a template's parameters as YAML, with their ranges",
        ('template', dict(metavar='TEMPLATE')),
        ('--dataset', dict(default='', help='name of a data set, or a folder')),
    ),
    'concepts': ('list the classes of a data set', DATASET),
    'dataset create': (
        'name a folder of pictures and masks',
        NAME,
        ('folder', dict(metavar='FOLDER')),
    ),
    'dataset version': ('copy a data set as it is, so that runs can name what they saw', NAME),
    'dataset list': ('list the data sets and their versions',),
    'train': (
        'check everything and queue a training in a process of its own',
        ('params', dict(metavar='PARAMS.yaml')),
        ('--follow', dict(action=FLAG, help='print the log until it ends')),
        ('--dump-config', dict(action=FLAG, help='print the config that would run, and end')),
        ('--app', dict(default='default', help='application; default: %(default)s')),
        ('--name', dict(default='segmenter', help='of the model; default: %(default)s')),
    ),
    'status': (
        'say how far a run is',
        RUN,
        ('--json', dict(action=FLAG, help='print JSON')),
        ('--wait', dict(action=FLAG, help='return when it is trained or failed')),
    ),
    'logs': (
        'print the log of a run',
        RUN,
        ('--follow', dict(action=FLAG, help='go on until it ends')),
    ),
    'stop': ('stop a run after a checkpoint', RUN),
    'resume': ('continue a stopped or failed run', RUN),
    'runs': ('list the runs',),
    'predict': (
        'predict pictures: regions with concept and value, overlays',
        RUN,
        ('images', dict(metavar='IMAGE', nargs='+', help='pictures or folders')),
        OUT_DIR,
        ('--device', dict(help='cpu, cuda ...; default: a GPU if there is one')),
        ('--json', dict(action=FLAG, help='print the regions as JSON')),
    ),
    'evaluate': (
        'measure a run on its data set',
        RUN,
        ('--split', dict(default='val', help='of the data set; default: %(default)s')),
    ),
    'export': (
        "write a run's best checkpoint as a file to hand on",
        RUN,
        ('--format', dict(default='pth', help='pth (default), safetensors, onnx, pt2 or litert')),
        OUT_DIR,
    ),
    'page': (
        'the same in the browser',
        ('--host', dict(default='127.0.0.1', help='address to listen on; default: %(default)s')),
        ('--port', dict(default=7860, type=int, help='default: %(default)s')),
        (
            '--allowed-host',
            dict(action='append', metavar='NAME', help='by which browsers may ask for it, too'),
        ),
    ),
}


def build_parser(common: Sequence[argparse.ArgumentParser] = ()) -> argparse.ArgumentParser:
    """Build the parser of all commands.

    Args:
        common: parsers whose arguments every command takes, without ``--help``.

    Returns:
        What gives ``command``, ``root`` and the command's own arguments.
    """
    root = argparse.ArgumentParser(add_help=False)
    root.add_argument('--root', default=str(DEFAULT_ROOT), help='default: %(default)s')
    parser = argparse.ArgumentParser(
        description='Train a segmenter from a few numbers: choose a template, point at data, '
        'train, look, predict.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.suggest_on_error = True
    groups = {'': parser.add_subparsers(metavar='COMMAND', required=True)}
    usages = []
    for name, (help_text, *arguments) in COMMANDS.items():
        group, _, word = name.rpartition(' ')
        if group not in groups:
            parent = groups[''].add_parser(group, help='name, copy and list data sets')
            groups[group] = parent.add_subparsers(metavar='COMMAND', required=True)
        one = groups[group].add_parser(
            word, help=help_text, description=f'{help_text.capitalize()}.', parents=[root, *common]
        )
        one.set_defaults(command=name)
        for flag, options in arguments:
            one.add_argument(flag, **options)
        words = (_usage(flag, options) for flag, options in arguments)
        usages.append(f'  {" ".join((name, *words))}')
    parser.epilog = '\n'.join(
        ['arguments of the commands, besides --root and --traceback:', *usages]
    )
    return parser


def _usage(flag: str, options: dict) -> str:
    if not flag.startswith('-'):
        return options['metavar'] + (' ...' if options.get('nargs') == '+' else '')
    value = '' if options.get('action') == FLAG else f' {flag.strip("-").upper()}'
    return f'[{flag}{value}]'
