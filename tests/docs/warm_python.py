"""A ``python`` that has imported the heavy packages already, for many short commands.

Most of the time of a short ``python tools/train.py`` is imports. The server imports once and forks
a child for each request, which does what ``python ARGUMENTS`` does in a memory, folder,
environment and exit status of its own, with the caller's output streams. The stand-in for
``python`` asks the server: ``python warm_python.py SOCKET ARGUMENTS``.
"""

import json
import os
import runpy
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

STREAMS = (0, 1, 2)


def ask(path: str, arguments: list[str]) -> int:
    """Let the server run ``python arguments`` here; return the exit status."""
    request = {'arguments': arguments, 'folder': os.getcwd(), 'environment': dict(os.environ)}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        socket.send_fds(connection, [b'.'], STREAMS)
        connection.sendall(json.dumps(request).encode())
        connection.shutdown(socket.SHUT_WR)
        return int(connection.makefile('rb').read())


def serve(path: str, rewrite: Callable[[list[str]], list[str]]) -> None:
    """Answer requests until the process is ended.

    Args:
        path: of the socket to make.
        rewrite: changes the arguments of each request before they are used.
    """
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        # Nobody waits for the children that answer.
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while True:
            connection, _ = listener.accept()
            # Each request in a process of its own: a launcher asks again while it is served.
            if os.fork() == 0:
                listener.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _answer(connection, rewrite)
            connection.close()


def _answer(connection: socket.socket, rewrite: Callable) -> None:
    """Run one request in a child and send its exit status; does not return."""
    _, streams, _, _ = socket.recv_fds(connection, 1, len(STREAMS))
    request = json.loads(connection.makefile('rb').read())
    child = os.fork()
    if child == 0:
        _run(request, streams, rewrite)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    connection.sendall(str(status).encode())
    os._exit(0)


def _run(request: dict, streams: list[int], rewrite: Callable) -> None:
    """Be ``python arguments`` in a forked child; does not return."""
    for stream, target in zip(streams, STREAMS):
        os.dup2(stream, target)
    status = 0
    try:
        os.chdir(request['folder'])
        os.environ.clear()
        os.environ.update(request['environment'])
        own = [folder for folder in os.environ.get('PYTHONPATH', '').split(os.pathsep) if folder]
        _be_python(rewrite(request['arguments']), [os.path.abspath(folder) for folder in own])
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        if isinstance(leaving.code, str):
            print(leaving.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _be_python(arguments: list[str], python_path: list[str]) -> None:
    if arguments[0] == '-u':
        arguments = arguments[1:]
    first = arguments[0]
    sys.argv = arguments[1:] if first in ('-m', '-c') else arguments
    here = str(Path(first).resolve().parent) if sys.argv is arguments else os.getcwd()
    sys.path[:0] = [here, *python_path]
    if first == '-m':
        runpy.run_module(arguments[1], run_name='__main__', alter_sys=True)
    elif first == '-c':
        exec(compile(arguments[1], '<string>', 'exec'), {'__name__': '__main__'})
    else:
        runpy.run_path(first, run_name='__main__')


if __name__ == '__main__':
    sys.exit(ask(sys.argv[1], sys.argv[2:]))
