"""The live bar, on a terminal of the kernel's and where there is none."""

import contextlib
import io
import os
import pty
import re
import sys
import threading

from rich.file_proxy import FileProxy
from training_runs import configured, killed, run

from mmseg_custom.engine.hooks import progress_hook

ESCAPE = '\x1b['
SHOW_CURSOR = f'{ESCAPE}?25h'


@contextlib.contextmanager
def terminal(monkeypatch):
    """Let stdout be a terminal; when it is closed, the list holds what it was sent."""
    monkeypatch.setenv('TERM', 'xterm')
    monkeypatch.setenv('COLUMNS', '120')
    monkeypatch.setattr(progress_hook, 'SECONDS', 0.0)
    reader, writer = pty.openpty()
    parts: list[bytes] = []
    sent: list[str] = []

    def read():
        with contextlib.suppress(OSError):  # the other side is closed
            while True:
                parts.append(os.read(reader, 4096))

    thread = threading.Thread(target=read)
    thread.start()
    with os.fdopen(writer, 'w', encoding='utf-8') as file, monkeypatch.context() as patch:
        patch.setattr(sys, 'stdout', file)
        yield sent
    thread.join(10)
    os.close(reader)
    sent.append(b''.join(parts).decode())


def test_a_bar_on_a_terminal(tmp_path, training_pictures, monkeypatch):
    options = ('max_iters=3', 'default_hooks.checkpoint.interval=3', 'train_cfg.val_interval=3')
    with terminal(monkeypatch) as sent:
        run(configured(training_pictures, *options), tmp_path)
    (text,) = sent
    frame = r'train 2/3 +loss [\d.]+ +acc [\d.]+ +lr \S+ +[\d.]+ img/s +data \d+% +\d+ MiB +eta \d'
    assert len(re.findall(frame, text)) == 1, 'the line of the log is not printed beside the bar'
    assert '━' in text and ESCAPE in text
    assert 'validating after iteration 3' in text
    assert text.index('Saving checkpoint at 3') < text.index('mIoU') < text.index('test it with')
    log = next(tmp_path.glob('*/*.log')).read_text()
    assert len(re.findall(frame, log)) == 1 and ESCAPE not in log
    # The cursor is shown again, and what follows is no longer written above a bar.
    assert text.rindex(SHOW_CURSOR) < text.index('test it with')


def test_the_terminal_is_given_back_when_a_run_dies(tmp_path, training_pictures, monkeypatch):
    with terminal(monkeypatch) as sent:
        run(configured(training_pictures, hooks=killed(2)), tmp_path)
        assert not isinstance(sys.stdout, FileProxy)
    assert f'{ESCAPE}?25l' in sent[0].split(SHOW_CURSOR)[0]
    assert sent[0].count(SHOW_CURSOR) == 1


def test_lines_elsewhere(tmp_path, training_pictures, monkeypatch):
    monkeypatch.setenv('FORCE_COLOR', '1')
    output = io.StringIO()
    monkeypatch.setattr(sys, 'stdout', output)
    run(configured(training_pictures, 'max_iters=2', 'train_cfg.val_interval=2'), tmp_path)
    text = output.getvalue()
    assert ESCAPE not in text and '━' not in text
    assert len(re.findall(r'train [12]/2  loss', text)) == 2
