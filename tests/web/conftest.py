"""A real browser, and real servers of the pages in processes of their own."""

import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import torch
from processes import free_port
from screens import LAPTOP

from mmseg_custom.engine.config import load_config
from mmseg_custom.registry import MODELS, register_all

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ('background', 'street', 'tree')
PALETTE = [[30, 34, 42], [231, 111, 81], [42, 157, 143]]
BROWSER = 'chromium'
ARGUMENTS = [
    '--headless=new',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
]
START_SECONDS = 120


@pytest.fixture(scope='session')
def browser():
    """Debian's Chromium; a test without it fails."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        pytest.fail('playwright is not installed; run: pip install -e ".[test]"')
    path = shutil.which(BROWSER)
    if path is None:
        pytest.fail('no browser to look at the page with; run: make browser')
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def visit(browser):
    """Open an address: ``visit(url, size)``; nothing but its server may have been asked in the end.

    The page's own errors end the test, too.
    """
    contexts, asked, errors = [], [], []

    def open_page(url: str, size: tuple[int, int] = LAPTOP):
        width, height = size
        context = browser.new_context(viewport=dict(width=width, height=height))
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on('request', lambda request: asked.append((url, request.url)))
        page.on('pageerror', lambda error: errors.append(str(error)))
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    elsewhere = [to for url, to in asked if not to.startswith((url, 'data:', 'blob:'))]
    assert not elsewhere and asked
    assert not errors


@pytest.fixture(scope='session')
def serve(tmp_path_factory):
    """Start a tool that serves a page: ``serve('serve.py', ...)`` returns its address.

    ``--port`` is added; the process ends with the tests.
    """
    running = []

    def start(*words) -> str:
        port = free_port()
        log = tmp_path_factory.mktemp('server') / 'log.txt'
        command = [sys.executable, str(ROOT / 'tools' / words[0]), *map(str, words[1:])]
        with log.open('w') as out:
            process = subprocess.Popen(
                [*command, '--port', str(port)],
                cwd=ROOT,
                env={**os.environ, 'OMP_NUM_THREADS': '1'},
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        running.append(process)
        url = f'http://127.0.0.1:{port}/'
        wait_for(url, process, log)
        return url

    yield start
    for process in running:
        process.terminate()
    for process in running:
        process.wait(30)


def wait_for(url: str, process: subprocess.Popen, log: Path) -> None:
    """Wait until an address answers."""
    for _ in range(4 * START_SECONDS):
        assert process.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.25)
    raise AssertionError(f'{url} does not answer:\n{log.read_text()}')


@pytest.fixture(scope='session')
def checkpoints(tmp_path_factory) -> list[Path]:
    """Two tiny segmentors of other random weights, as a training saves them."""
    folder = tmp_path_factory.mktemp('checkpoints')
    return [write_checkpoint(folder / f'{name}.pth', seed) for seed, name in enumerate(('a', 'b'))]


def write_checkpoint(path: Path, seed: int) -> Path:
    """Write a SegFormer that needs a few megabytes, with its config."""
    register_all()
    config = load_config(
        str(ROOT / 'configs/quickstart/segformer_mit-b0_quickstart.py'),
        [
            'model.backbone.embed_dims=8',
            'model.decode_head.in_channels=[8,16,40,64]',
            'model.decode_head.channels=16',
            f'model.decode_head.num_classes={len(CLASSES)}',
        ],
    )
    torch.manual_seed(seed)
    model = MODELS.build(config.model)
    # Large weights without bias: every class wins somewhere.
    torch.nn.init.normal_(model.decode_head.conv_seg.weight)
    torch.nn.init.zeros_(model.decode_head.conv_seg.bias)
    dataset_meta = dict(classes=CLASSES, palette=PALETTE)
    meta = dict(cfg=config.pretty_text, dataset_meta=dataset_meta)
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return path
