"""The real server on loopback, in a thread, and a client without any cleverness."""

import http.client
import io
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image

from mmseg_custom.serving.limits import Limits

SMALL = Limits(
    max_bytes=10**6, max_pixels=20_000, max_requests=8, read_seconds=1.5, max_seconds=20.0
)


@dataclass(frozen=True)
class Answer:
    """Status, headers with small letters, and body of an HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict:
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        """That of a refusal, which has one line."""
        reason = self.json['reason']
        assert reason and '\n' not in reason and self.json.keys() == {'reason'}
        return reason


@dataclass(frozen=True)
class Client:
    """Sends requests to a server of this machine, one connection for each."""

    port: int

    def request(self, method: str, path: str, body=None, timeout: float = 60, **headers) -> Answer:
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=timeout)
        names = {name.replace('_', '-'): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, names)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    def segment(self, picture: bytes, options: str = '', **headers) -> Answer:
        headers = {'Content_Type': 'image/png', **headers}
        return self.request('POST', f'/v1/segment{options}', picture, **headers)


class Blocked:
    """Stands before a model until it is let go."""

    def __init__(self, inferencer, monkeypatch):
        self.let_go, self.calls = threading.Event(), 0
        forward = inferencer.forward_packed

        def blocked(batch):
            self.calls += 1
            self.let_go.wait(60)
            return forward(batch)

        monkeypatch.setattr(inferencer, 'forward_packed', blocked)


def png(image: np.ndarray, kind: str = 'PNG', **options) -> bytes:
    """The file of a picture."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


@contextmanager
def running(app, limits):
    """Run the real server in a thread; gives a client."""
    from mmseg_custom.serving import server

    with server.running(app, limits) as port:
        yield Client(port)
