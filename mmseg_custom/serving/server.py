"""The process: a socket, connections that may not idle, and an end that lets requests finish."""

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from mmseg_custom.serving.limits import Limits
from mmseg_custom.web.listening import bind


def make_server(app: FastAPI, limits: Limits) -> uvicorn.Server:
    """Build the server of an application; ``run(sockets=[bind(...)])`` starts it.

    On SIGTERM or SIGINT it accepts no more connections, and requests in work get their answers.
    """
    slowest = limits.read_seconds + limits.max_seconds
    config = uvicorn.Config(
        app,
        http=timed_protocol(limits),
        lifespan='on',
        log_level='warning',
        # uvicorn's own would close the log files of all else in this process.
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=round(slowest) + 1,
    )
    return uvicorn.Server(config)


def run(server: uvicorn.Server, bound: socket.socket) -> None:
    """Serve until a signal, and return then, so that the exit status is 0."""
    # uvicorn repeats the signal when it is done.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    server.run(sockets=[bound])


@contextmanager
def running(app: FastAPI, limits: Limits) -> Iterator[int]:
    """Serve in a thread while the block runs, on a free port of this machine, which it gives."""
    bound, server = bind('127.0.0.1', 0), make_server(app, limits)
    thread = threading.Thread(target=server.run, kwargs={'sockets': [bound]})
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                raise OSError('the server did not start; its log says why')
            time.sleep(0.01)
        yield bound.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def timed_protocol(limits: Limits) -> type[H11Protocol]:
    """uvicorn's HTTP protocol, which closes connections whose client does not go on.

    Within ``read_seconds`` the head of a request must have arrived, and within ``max_seconds`` the
    client must have read its answer; uvicorn waits for both without end.
    """

    class TimedProtocol(H11Protocol):
        timer = None

        def connection_made(self, transport) -> None:
            super().connection_made(transport)
            self.end_after(limits.read_seconds, self.close_without_head)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.waits_for_head:
                if self.timer is None:
                    self.end_after(limits.read_seconds, self.close_without_head)
            else:
                self.stop_timer()

        def pause_writing(self) -> None:
            super().pause_writing()
            self.stop_timer()
            self.end_after(limits.max_seconds, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            self.stop_timer()

        def connection_lost(self, exc: Exception | None) -> None:
            self.stop_timer()
            super().connection_lost(exc)

        @property
        def waits_for_head(self) -> bool:
            return self.conn.their_state is h11.IDLE

        def close_without_head(self) -> None:
            self.timer = None
            if self.waits_for_head:
                self.transport.close()

        def end_after(self, seconds: float, end: Callable[[], None]) -> None:
            self.timer = self.loop.call_later(seconds, end)

        def stop_timer(self) -> None:
            if self.timer is not None:
                self.timer.cancel()
                self.timer = None

    return TimedProtocol
