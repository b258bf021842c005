"""The tool as a process: many clients, large bodies, its memory, and its end."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hostile_pictures import HTML, SVG, bomb, jpeg, scan_bomb, tile_bomb
from real_server import Client, png
from tool_modules import load_tool

from mmseg_custom.web.listening import bind

pytest.importorskip('fastapi')
ROOT = Path(__file__).resolve().parents[2]
MIB = 2**20


@contextmanager
def served(*arguments, **env):
    """Start the tool on a free port; gives client and process, which must end with status 0."""
    command = [sys.executable, str(ROOT / 'tools/serve.py'), *map(str, arguments), '--port', '0']
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, 'OMP_NUM_THREADS': '1', **env},
    )
    try:
        line = process.stdout.readline()
        client = Client(int(re.search(r'http://127\.0\.0\.1:(\d+)$', line)[1]))
        while True:
            try:
                assert client.request('GET', '/healthz').status == 200
                break
            except ConnectionRefusedError:
                time.sleep(0.1)
        yield client, process
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def resident(process) -> int:
    """Bytes of memory that the process has."""
    text = Path(f'/proc/{process.pid}/status').read_text()
    return int(re.search(r'VmRSS:\s+(\d+) kB', text)[1]) * 1024


def stream_until_cut(port: int, size: int) -> int:
    """Send a body of ``size`` bytes; returns how many were taken."""
    head = f'POST /v1/segment HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n'
    piece, sent = bytes(MIB), 0
    with socket.create_connection(('127.0.0.1', port), timeout=10) as connection:
        connection.sendall(head.encode())
        try:
            while sent < size:
                sent += connection.send(piece)
        except (ConnectionError, TimeoutError):
            return sent
    return sent


@pytest.mark.slow
def test_hostile_clients_neither_end_it_nor_fill_its_memory(checkpoint, picture):
    large = png(np.tile(picture, (12, 12, 1)))
    limits = ('--max-requests', 16, '--max-seconds', 120)
    with served(checkpoint, '--no-page', '--device', 'cpu', *limits) as (client, process):
        assert client.segment(large, '?masks=false').status == 200
        before = resident(process)

        def still_serves():
            assert client.segment(png(picture)).status == 200
            # 16 bodies of at most 16 MiB, and 12 pictures in memory.
            assert resident(process) - before < 500 * MIB

        for content, status in (
            (bomb(), 413),
            (tile_bomb(), 413),
            (scan_bomb(), 422),
            (SVG, 415),
            (HTML, 415),
            (jpeg()[:700], 422),
            (b'', 400),
        ):
            assert client.segment(content).status == status
            still_serves()
        assert stream_until_cut(client.port, 2 * 10**9) < 200 * MIB
        still_serves()

        with ThreadPoolExecutor(200) as clients:
            answers = [
                clients.submit(client.segment, large, '?masks=false', timeout=120)
                for _ in range(200)
            ]
            counted = Counter(one.result().status for one in answers)
        assert counted.keys() == {200, 429} and counted[200] >= 16, counted
        still_serves()


@pytest.mark.slow
def test_two_models_a_token_and_the_page(checkpoint, picture):
    pytest.importorskip('gradio')
    secret = dict(Authorization='Bearer secret')
    with served(f'a={checkpoint}', f'b={checkpoint}', MMSEG_CUSTOM_TOKEN='secret') as (client, _):
        assert client.segment(png(picture)).status == 401
        models = client.request('GET', '/v1/models', **secret).json['models']
        assert [model['name'] for model in models] == ['a', 'b']
        assert client.segment(png(picture), '?model=b', **secret).json['model'] == 'b'
        page = client.request('GET', '/')
        assert page.status == 200 and b'<html' in page.body
        assert client.request('GET', '/config').status == 401


@pytest.mark.slow
def test_requests_in_work_are_answered_before_it_ends(checkpoint, picture):
    large, found = png(np.tile(picture, (16, 16, 1))), []
    with served(checkpoint, '--no-page') as (client, process):
        sender = threading.Thread(
            target=lambda: found.append(client.segment(large, '?masks=false'))
        )
        sender.start()
        in_work = 'mmseg_requests_in_work 1.0'
        while in_work not in client.request('GET', '/metrics').body.decode():
            assert sender.is_alive()
        process.send_signal(signal.SIGTERM)
        sender.join()
        assert found[0].status == 200
        process.wait(60)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['missing.pth'], 'missing.pth'),
        (['a.pth', '--max-bytes', '0'], 'max_bytes is 0; expected a number above 0'),
        (['=a.pth'], "'=a.pth' is no model; expected a checkpoint or NAME=CHECKPOINT"),
        (['a.pth', '--host', '192.0.2.1'], 'cannot listen on 192.0.2.1, port 0'),
    ],
)
def test_mistakes_in_the_call(arguments, message):
    with pytest.raises((ValueError, OSError), match=re.escape(message)):
        load_tool('serve.py').main([*arguments, '--port', '0'])


def test_a_port_that_is_none_or_taken_is_named():
    with bind('127.0.0.1', 0) as bound:
        for port in (70000, bound.getsockname()[1]):
            with pytest.raises(OSError, match=f'cannot listen on 127.0.0.1, port {port} '):
                bind('127.0.0.1', port)


def test_models_have_names_of_their_own(checkpoint):
    from mmseg_custom.serving.loading import load_models

    assert list(load_models([f'a={checkpoint}', str(checkpoint)], 'cpu')) == ['a', 'tiny']
    with pytest.raises(ValueError, match="two models have the name 'tiny'; give them others as"):
        load_models([str(checkpoint)] * 2, 'cpu')
