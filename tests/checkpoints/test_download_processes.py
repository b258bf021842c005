"""Checkpoints from a real server, in one process and in two."""

import hashlib
import io
import os
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import mmengine.dist
import pytest
import torch
from processes import run_in_two

from mmseg_custom.checkpoints.reading import load_from_http
from mmseg_custom.registry import register_all

register_all()
WRONG_NAME = 'model_20220624-00000000.pth'


class Server(ThreadingHTTPServer):
    """Answers every ``.pth`` with the same checkpoint and counts what it was asked for."""

    daemon_threads = True

    def __init__(self):
        super().__init__(('127.0.0.1', 0), Handler)
        content = io.BytesIO()
        torch.save({'weight': torch.arange(3.0)}, content)
        self.content, self.requests = content.getvalue(), Counter()
        self.name = f'model_20220624-{hashlib.sha256(self.content).hexdigest()[:8]}.pth'
        self.url = f'http://127.0.0.1:{self.server_port}'


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests[self.path] += 1
        self.send_response(200 if self.path.endswith('.pth') else 404)
        self.send_header('Content-Length', str(len(self.server.content)))
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, *args):
        """Say nothing on the console."""


@pytest.fixture
def server():
    with Server() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def test_a_download_must_have_the_hash_of_its_name(tmp_path, monkeypatch, server):
    monkeypatch.setenv('MMSEG_CUSTOM_WEIGHTS', str(tmp_path))
    for name in (server.name, 'no_hash.pth'):
        assert load_from_http(f'{server.url}/{name}')['weight'].tolist() == [0, 1, 2]
        (file,) = tmp_path.rglob(name)  # without a hash in a folder of its address
        assert file.read_bytes() == server.content
    message = r'cannot download .*expected "00000000", got .*put the file at .*00000000.pth'
    with pytest.raises(FileNotFoundError, match=message):
        load_from_http(f'{server.url}/{WRONG_NAME}')
    assert not (tmp_path / WRONG_NAME).exists()
    (tmp_path / WRONG_NAME).write_bytes(server.content)
    assert 'weight' in load_from_http(f'{server.url}/{WRONG_NAME}'), 'a file put there is taken'


def load_in_one_of_two(rank, folder, url, name):
    mmengine.dist.init_dist('pytorch')

    def load(local_rank, machine, file):
        os.environ['LOCAL_RANK'] = str(local_rank)
        os.environ['MMSEG_CUSTOM_WEIGHTS'] = str(folder / machine)
        return load_from_http(f'{url}/{machine}/{file}')

    assert load(0, f'machine_{rank}', name)['weight'].tolist() == [0, 1, 2]
    assert load(rank, 'one_machine', name)['weight'].tolist() == [0, 1, 2]
    reason = 'expected "00000000"' if rank == 0 else 'see the message of the first process'
    with pytest.raises(FileNotFoundError, match=reason):
        load(rank, 'one_machine', WRONG_NAME)


@pytest.mark.slow
def test_each_machine_downloads_once(tmp_path, server):
    """Also where the machines share no disk; a failure reaches every process."""
    run_in_two(load_in_one_of_two, tmp_path, server.url, server.name)
    machines = ('machine_0', 'machine_1', 'one_machine')
    assert server.requests == {
        **{f'/{machine}/{server.name}': 1 for machine in machines},
        f'/one_machine/{WRONG_NAME}': 1,
    }
