"""A server on loopback that gives files, breaks off, dawdles or lies, as a test says."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer(ThreadingHTTPServer):
    """Serves ``files``; keeps every request as its path and its ``Range``.

    Attributes:
        files: content by path.
        headers: what a path's answers state besides.
        cuts: how many bytes each next answer of a path sends before it breaks off.
        pauses_s: seconds between blocks of 100 bytes of a path.
        stalled: paths that send nothing after their headers until ``released`` is set.
        redirects: path to path.
        without_range: paths that always send everything.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(('127.0.0.1', 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.cuts: dict[str, list[int]] = {}
        self.pauses_s: dict[str, float] = {}
        self.stalled: set[str] = set()
        self.redirects: dict[str, str] = {}
        self.without_range: set[str] = set()
        self.released = threading.Event()
        self.requests: list[tuple[str, str | None]] = []
        self.url = f'http://127.0.0.1:{self.server_port}'

    def ranges(self, path: str) -> list[str | None]:
        """The ``Range`` of each request for a path."""
        return [value for asked, value in self.requests if asked == path]


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.path = self.path.partition('?')[0]
        server, path = self.server, self.path
        server.requests.append((path, self.headers.get('Range')))
        if path in server.redirects:
            self._answer(302, {'Location': server.redirects[path], **server.headers.get(path, {})})
            return
        if path not in server.files:
            self.send_error(404)
            return
        content, first = server.files[path], self._first_byte()
        if first >= len(content):
            self.send_error(416)
            return
        body, headers = content[first:], {'Content-Length': str(len(content) - first)}
        if first:
            headers['Content-Range'] = f'bytes {first}-{len(content) - 1}/{len(content)}'
        self._answer(206 if first else 200, headers | server.headers.get(path, {}))
        if path in server.stalled:
            server.released.wait(30)
            return
        cuts = server.cuts.get(path)
        self._send(body[: cuts.pop(0)] if cuts else body, server.pauses_s.get(path, 0))

    def _first_byte(self) -> int:
        wanted = self.headers.get('Range')
        etag = self.server.headers.get(self.path, {}).get('ETag')
        other = 'If-Range' in self.headers and self.headers['If-Range'] != etag
        if wanted is None or other or self.path in self.server.without_range:
            return 0
        return int(wanted.removeprefix('bytes=').rstrip('-'))

    def _answer(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, body: bytes, pause_s: float) -> None:
        step = 100 if pause_s else max(len(body), 1)
        try:
            for start in range(0, len(body), step):
                self.wfile.write(body[start : start + step])
                if self.server.released.wait(pause_s):
                    return
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, *args):
        """Say nothing on the console."""


@contextmanager
def running_server() -> Iterator[FileServer]:
    """Run a server until the block ends."""
    with FileServer() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
