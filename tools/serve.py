"""Serve models over HTTP, with a page: ``python tools/serve.py CHECKPOINT``.

See docs/deployment.md. Exit status: 0 after SIGTERM or Ctrl-C; 2 for a mistake in the call.
"""

import argparse
import os
import sys

from mmseg_custom import cli

TOKEN_VARIABLE = 'MMSEG_CUSTOM_TOKEN'


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description='Serve models over HTTP, with a page.')
    add = parser.add_argument
    add('models', nargs='+', metavar='[NAME=]CHECKPOINT', help='the first one is the default')
    add('--host', default='127.0.0.1', help='address to listen on; default %(default)s')
    add('--port', type=int, default=8000, help='0 takes a free one; default %(default)s')
    add('--allowed-host', action='append', metavar='NAME', help='by which browsers may ask, too')
    add('--token', help=f'that requests must bring; default: the variable {TOKEN_VARIABLE}')
    add('--no-page', action='store_true', help='the JSON API alone')
    add('--device', help='cpu, cuda, cuda:1 ...; default: a GPU if there is one')
    add('--amp', action='store_true', help='half precision')
    limit = parser.add_argument_group('limits (default in docs/deployment.md)').add_argument
    limit('--max-bytes', type=int, help='of a request')
    limit('--max-pixels', type=int, help='of a picture')
    limit('--max-regions', type=int, help='of an answer')
    limit('--max-requests', type=int, help='in work at once; more get status 429')
    limit('--read-seconds', type=float, help='until a request must have arrived')
    limit('--max-seconds', type=float, help='from then to the answer')
    limit('--batch-size', type=int, help='pictures that go through the network at once')
    limit('--batch-wait-ms', type=float, help='how long a batch waits for more pictures')
    cli.add_traceback_argument(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Serve until a signal."""
    args = vars(parse_arguments(argv))
    from mmseg_custom.messages import import_extra

    for module in ('fastapi', 'uvicorn', 'python_multipart', 'prometheus_client'):
        import_extra(module, 'web', 'tools/serve.py')
    from dataclasses import fields

    from mmseg_custom.host_memory import keep_freed_memory
    from mmseg_custom.serving import server
    from mmseg_custom.serving.app import create_app
    from mmseg_custom.serving.limits import Limits
    from mmseg_custom.serving.loading import load_models
    from mmseg_custom.web.listening import bind
    from mmseg_custom.web.own_site import is_loopback, names_of

    given = {field.name: args[field.name] for field in fields(Limits)}
    limits = Limits(**{name: value for name, value in given.items() if value is not None})
    token = os.environ.get(TOKEN_VARIABLE) if args['token'] is None else args['token']
    bound = bind(args['host'], args['port'])
    models = load_models(
        args['models'], args['device'], batch_size=limits.batch_size, half=args['amp']
    )
    keep_freed_memory()
    names = names_of(args['host'], args['allowed_host'])
    app = create_app(models, limits, token, not args['no_page'], names)
    if token is None and not is_loopback(args['host']):
        print(
            f'warning: everyone who reaches {args["host"]} can use this service; set '
            f'{TOKEN_VARIABLE}',
            file=sys.stderr,
        )
    host, port = bound.getsockname()[:2]
    print(f'serving {", ".join(models)} on http://{host}:{port}', flush=True)
    server.run(server.make_server(app, limits), bound)


if __name__ == '__main__':
    cli.run(main)
