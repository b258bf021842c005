"""Clients that are slow, endless, many, or gone: through raw sockets."""

import json
import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest
from real_server import SMALL, Blocked, png, running

pytest.importorskip('fastapi')
from fastapi import Depends, FastAPI, Response

from mmseg_custom.serving.app import create_app
from mmseg_custom.serving.bodies import WholeAnswers

HEAD = b'POST /v1/segment HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n'


@contextmanager
def connected(client, sent: bytes):
    with socket.create_connection(('127.0.0.1', client.port), timeout=30) as connection:
        connection.sendall(sent)
        yield connection


def wait_until(happens: Callable[[], bool], seconds: float = 60) -> None:
    """Wait, at most so long, until it is so."""
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def in_work(app) -> float:
    return app.state.service.metrics.in_work._value.get()


def read_all(connection) -> bytes:
    """What comes until the server ends the connection."""
    received = b''
    while piece := connection.recv(2**16):
        received += piece
    return received


def status_of(received: bytes) -> int:
    return int(received.split(b' ', 2)[1])


def test_a_training_in_the_same_process_goes_on_with_its_log(tmp_path):
    handler = logging.FileHandler(tmp_path / 'train.log', mode='w')
    try:
        with running(FastAPI(), SMALL):
            pass
        handler.handle(logging.makeLogRecord(dict(msg='loss 0.5')))
    finally:
        handler.close()
    assert (tmp_path / 'train.log').read_text() == 'loss 0.5\n'


@pytest.mark.parametrize(
    'length', [b'Content-Length: 2000000000\r\n\r\n', b'Transfer-Encoding: chunked\r\n\r\n']
)
def test_an_endless_body_is_cut_off(client, length):
    piece = bytes(2**16) if b'Content' in length else b'10000\r\n' + bytes(2**16) + b'\r\n'
    sent = 0
    with connected(client, HEAD + length) as connection:
        connection.settimeout(20)
        received = b''
        try:
            while sent < 2_000_000_000 and not received:
                sent += connection.send(piece)
                if sent > 2 * SMALL.max_bytes:
                    received = connection.recv(2**16)
        except TimeoutError:
            pytest.fail(f'no answer after {sent} bytes')
    assert status_of(received) == 413 and b'connection: close' in received
    assert sent < 40 * SMALL.max_bytes


def test_a_body_that_drips_is_given_up(client, picture):
    with connected(client, HEAD + b'Content-Length: 500\r\n\r\n') as connection:
        for _ in range(8):
            connection.send(b'a')
            time.sleep(0.25)
        received = read_all(connection)
    assert status_of(received) == 408
    reason = json.loads(received.partition(b'\r\n\r\n')[2])['reason']
    assert reason.startswith('the body did not arrive within 1.5 s')
    assert client.segment(png(picture)).status == 200


@pytest.mark.parametrize('sent', [b'', b'POST /v1/seg'])
def test_a_head_that_does_not_come_ends_the_connection(client, sent):
    with connected(client, sent) as connection:
        assert read_all(connection) == b''


def test_a_head_that_does_not_come_after_an_answer(client):
    with connected(client, b'GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n') as connection:
        received = b''
        while b'{"status":"ok"}' not in received:
            received += connection.recv(2**16)
        connection.send(b'GET /hea')
        assert read_all(connection) == b''


def test_what_is_not_http_is_refused(client):
    with connected(client, b'\x16\x03\x01 not http\r\n\r\n') as connection:
        assert status_of(read_all(connection)) == 400


def test_too_many_requests_are_told_to_come_back(inferencer, picture):
    head = HEAD + b'Content-Length: 500\r\n\r\n'
    limits = replace(SMALL, read_seconds=60)
    app = create_app({'tiny': inferencer}, limits, page=False)
    with running(app, limits) as client:
        with ExitStack() as held:
            for _ in range(limits.max_requests):
                held.enter_context(connected(client, head))
            wait_until(lambda: in_work(app) == limits.max_requests)
            answer = client.segment(png(picture))
            assert answer.status == 429 and int(answer.headers['retry-after']) >= 1
            assert answer.reason.startswith('8 requests are in work; try again in')
            assert client.request('GET', '/healthz').status == 200
        wait_until(lambda: in_work(app) == 0)
        assert client.segment(png(picture)).status == 200


def test_what_takes_too_long_is_dropped(inferencer, picture, monkeypatch):
    limits = replace(SMALL, max_seconds=0.3, batch_size=1)
    blocked = Blocked(inferencer, monkeypatch)
    with running(create_app({'tiny': inferencer}, limits, page=False), limits) as client:
        answers = [client.segment(png(picture))]
        # A busy machine may drop pictures before the model has one.
        while blocked.calls == 0:
            answers.append(client.segment(png(picture)))
        answers += [client.segment(png(picture)) for _ in range(2)]
        assert {answer.status for answer in answers} == {504}
        assert answers[0].reason.startswith('no answer within 0.3 s; the picture was dropped')
        assert client.request('GET', '/healthz').status == 200
        assert blocked.calls == 1
        blocked.let_go.set()
        later = 1
        while client.segment(png(picture)).status != 200:
            later += 1
    # Those behind the first one were dropped in the queue.
    assert blocked.calls <= 1 + later


def test_the_picture_of_a_client_that_left_is_dropped(inferencer, picture, monkeypatch):
    limits = replace(SMALL, batch_size=1)
    blocked = Blocked(inferencer, monkeypatch)
    content = png(picture)
    sent = HEAD + b'Content-Length: %d\r\n\r\n' % len(content) + content
    app = create_app({'tiny': inferencer}, limits, page=False)
    with running(app, limits) as client:
        for _ in range(3):
            with connected(client, sent):
                wait_until(lambda: blocked.calls == 1)
                time.sleep(0.1)
        wait_until(lambda: app.state.service.metrics.requests.labels(400)._value.get() == 3)
        blocked.let_go.set()
        assert client.segment(content).status == 200
    assert blocked.calls == 2


def test_an_answer_that_nobody_reads_is_given_up():
    """And until then, the request counts as one in work."""
    size, ended, app = 2**26, threading.Event(), FastAPI()

    async def admit():
        yield
        ended.set()

    @app.get('/', dependencies=[Depends(admit, scope='request')])
    async def large() -> Response:
        return Response(bytes(size))

    limits = replace(SMALL, max_seconds=1.0)
    app.add_middleware(WholeAnswers)
    get = b'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
    with running(app, limits) as client, connected(client, get) as connection:
        assert not ended.wait(0.3)
        assert ended.wait(20)
        assert 0 < len(read_all(connection)) < size
