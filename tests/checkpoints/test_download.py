"""Downloads from a real server that breaks off, dawdles, lies or is not there."""

import base64
import hashlib
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from file_server import running_server
from processes import free_port

from mmseg_custom.checkpoints.download import DownloadError, Patience, download

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HASTY = Patience(stall_s=0.5, window_s=0.2, min_bytes_per_s=1e6, pause_s=0)
ONE_TRY = Patience(attempts=1, pause_s=0)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def server():
    with running_server() as running:
        running.files = {'/a.pth': CONTENT, '/b/a.pth': CONTENT}
        yield running


def left_in(folder: Path) -> dict[str, int]:
    """Names and sizes of what lies in a folder, without locks."""
    return {p.name: p.stat().st_size for p in folder.iterdir() if p.suffix != '.lock'}


def test_an_interrupted_transfer_goes_on_where_it_stopped(tmp_path, server):
    server.cuts['/a.pth'] = [1000, 500]
    download([f'{server.url}/a.pth'], tmp_path / 'new/a.pth', SHA256[:8], HASTY)
    assert server.ranges('/a.pth') == [None, 'bytes=1000-', 'bytes=1500-']
    assert (tmp_path / 'new/a.pth').read_bytes() == CONTENT
    assert left_in(tmp_path / 'new') == {'a.pth': len(CONTENT)}
    download([f'{server.url}/a.pth'], tmp_path / 'new/a.pth', SHA256[:8])
    assert len(server.requests) == 3, 'a file that is there is not asked for'


MD5 = base64.b64encode(hashlib.md5(CONTENT).digest()).decode()


@pytest.mark.parametrize(
    ('sha256', 'stated', 'last_range'),
    [
        (SHA256, {}, 'bytes=1000-'),
        ('', {'X-Linked-Etag': f'"{SHA256}"'}, 'bytes=1000-'),
        ('', {'x-goog-hash': f'crc32c=AAAAAA==, md5={MD5}'}, 'bytes=1000-'),
        # Nothing says whether what lies there is the beginning of this file.
        ('', {'ETag': '"1"'}, None),
    ],
    ids=['given', 'hugging face', 'google', 'unknown'],
)
def test_a_later_call_resumes_where_the_hash_is_known(tmp_path, server, sha256, stated, last_range):
    url, path = f'{server.url}/a.pth', tmp_path / 'a.pth'
    server.headers['/a.pth'], server.cuts['/a.pth'] = stated, [1000]
    with pytest.raises(DownloadError, match=f'ended after 1000 of {len(CONTENT)} bytes'):
        download([url], path, sha256, ONE_TRY)
    assert left_in(tmp_path) == {'.a.pth.part': 1000}
    download([url], path, sha256, HASTY)
    assert server.ranges('/a.pth')[-1] == last_range
    assert path.read_bytes() == CONTENT and left_in(tmp_path) == {'a.pth': len(CONTENT)}


def test_an_unknown_hash_resumes_by_the_servers_tag(tmp_path, server):
    server.headers['/a.pth'], server.cuts['/a.pth'] = {'ETag': '"1"'}, [1000]
    download([f'{server.url}/a.pth'], tmp_path / 'a.pth', '', HASTY)
    assert server.ranges('/a.pth') == [None, 'bytes=1000-']
    assert (tmp_path / 'a.pth').read_bytes() == CONTENT


@pytest.mark.parametrize('leftover', [b'of another file', CONTENT + b'more'])
@pytest.mark.parametrize('without_range', [False, True])
def test_a_leftover_of_another_file_is_dropped(tmp_path, server, leftover, without_range):
    (tmp_path / '.a.pth.part').write_bytes(leftover)
    server.without_range = {'/a.pth'} if without_range else set()
    download([f'{server.url}/a.pth'], tmp_path / 'a.pth', SHA256, HASTY)
    assert (tmp_path / 'a.pth').read_bytes() == CONTENT


def test_a_wrong_hash_leaves_nothing_behind(tmp_path, server):
    message = rf'a.pth: another sha256 .*expected "00000000", got "{SHA256[:8]}"'
    with pytest.raises(DownloadError, match=message) as caught:
        download([f'{server.url}/a.pth'], tmp_path / 'a.pth', '0' * 8, HASTY)
    assert left_in(tmp_path) == {} and not caught.value.not_found
    server.headers['/a.pth'] = {'X-Linked-Etag': f'"{"0" * 64}"'}
    with pytest.raises(DownloadError, match='another sha256'):
        download([f'{server.url}/a.pth'], tmp_path / 'a.pth', '', HASTY)
    assert left_in(tmp_path) == {}


def test_the_next_mirror_is_asked(tmp_path, server):
    closed = f'http://127.0.0.1:{free_port()}/a.pth'
    missing, damaged = f'{server.url}/missing/a.pth', f'{server.url}/damaged/a.pth'
    server.files['/damaged/a.pth'] = b'x' + CONTENT
    mirrors = [missing, closed, damaged]
    download([*mirrors, f'{server.url}/a.pth'], tmp_path / 'a.pth', SHA256, HASTY)
    assert (tmp_path / 'a.pth').read_bytes() == CONTENT
    with pytest.raises(DownloadError) as caught:
        download(mirrors, tmp_path / 'b.pth', SHA256, HASTY)
    for text in (f'{missing}: 404', f'{closed}: [Errno', f'{damaged}: another sha256'):
        assert text in str(caught.value)
    assert '\n' not in str(caught.value) and not caught.value.not_found
    with pytest.raises(DownloadError) as caught:
        download([missing, missing], tmp_path / 'b.pth')
    assert caught.value.not_found


def test_a_slow_mirror_is_left_if_there_is_another(tmp_path, server):
    server.pauses_s['/a.pth'] = 0.05
    urls = [f'{server.url}/a.pth', f'{server.url}/b/a.pth']
    download(urls, tmp_path / 'a.pth', SHA256, HASTY)
    assert server.ranges('/b/a.pth')[0].startswith('bytes='), 'what has arrived is kept'
    assert (tmp_path / 'a.pth').read_bytes() == CONTENT
    server.pauses_s['/a.pth'] = 0.004
    download(urls[:1], tmp_path / 'only.pth', SHA256, HASTY)
    assert (tmp_path / 'only.pth').read_bytes() == CONTENT


def test_a_silent_mirror_is_left(tmp_path, server):
    server.stalled = {'/a.pth'}
    urls = [f'{server.url}/a.pth', f'{server.url}/b/a.pth']
    download(urls, tmp_path / 'a.pth', SHA256, HASTY)
    assert (tmp_path / 'a.pth').read_bytes() == CONTENT
    with pytest.raises(DownloadError, match=r'a.pth: no answer in time$'):
        download(urls[:1], tmp_path / 'b.pth', SHA256, HASTY)


def test_a_redirection_is_followed_and_its_hash_believed(tmp_path, server):
    server.redirects['/model.bin'] = '/a.pth'
    server.headers['/model.bin'] = {'X-Linked-Etag': f'"{SHA256}"'}
    server.cuts['/a.pth'] = [700]
    download([f'{server.url}/model.bin'], tmp_path / 'model.bin', '', HASTY)
    assert server.ranges('/a.pth') == [None, 'bytes=700-']
    server.headers['/model.bin'] = {'X-Linked-Etag': f'"{"1" * 64}"'}
    with pytest.raises(DownloadError, match='another sha256'):
        download([f'{server.url}/model.bin'], tmp_path / 'other.bin', '', HASTY)


CHILD = """
import sys
from pathlib import Path
from mmseg_custom.checkpoints.download import DownloadError, download
{setup}
print('ready', flush=True)
sys.stdin.readline()
try:
    download([sys.argv[1]], Path(sys.argv[2]), sys.argv[3])
except DownloadError as error:
    sys.exit(str(error))
"""


def start(setup: str, *arguments: object, **streams) -> subprocess.Popen:
    """Start a process that downloads when it is given a line."""
    streams = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, **streams}
    command = [sys.executable, '-c', CHILD.format(setup=setup), *map(str, arguments)]
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    process = subprocess.Popen(command, text=True, env=environment, **streams)
    assert process.stdout.readline() == 'ready\n'
    return process


def test_two_processes_at_once_transfer_once(tmp_path, server):
    server.pauses_s['/a.pth'] = 0.002
    arguments = (f'{server.url}/a.pth', tmp_path / 'a.pth', SHA256)
    processes = [start('', *arguments) for _ in range(2)]
    for process in processes:
        process.stdin.write('\n')
        process.stdin.flush()
    assert [process.wait(60) for process in processes] == [0, 0]
    assert len(server.requests) == 1
    assert (tmp_path / 'a.pth').read_bytes() == CONTENT


def test_a_full_disk_is_said_and_cleaned(tmp_path, server):
    limit = 'import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))'
    arguments = (f'{server.url}/a.pth', tmp_path / 'a.pth', SHA256)
    process = start(limit, *arguments, stderr=subprocess.PIPE)
    _, errors = process.communicate('\n', timeout=60)
    assert process.returncode == 1
    assert errors.startswith(f'no space left in {tmp_path} (File too large)'), errors
    assert 'MMSEG_CUSTOM_WEIGHTS' in errors and errors.count('\n') == 1
    assert left_in(tmp_path) == {}


def test_a_file_larger_than_the_disk_is_not_begun(tmp_path, server):
    server.headers['/a.pth'] = {'Content-Length': str(10**18)}
    del server.files['/b/a.pth']
    urls = [f'{server.url}/a.pth', f'{server.url}/b/a.pth']
    with pytest.raises(DownloadError, match=f'no space left in {tmp_path}') as caught:
        download(urls, tmp_path / 'a.pth', SHA256, HASTY)
    assert caught.value.is_local and server.ranges('/b/a.pth') == []
    assert left_in(tmp_path) == {}


def test_a_folder_that_cannot_be_made(tmp_path, server):
    (tmp_path / 'file').write_text('')
    with pytest.raises(DownloadError, match=r'cannot write to .*file/sub \(.*MMSEG_CUSTOM_WEI'):
        download([f'{server.url}/a.pth'], tmp_path / 'file/sub/a.pth')


def test_a_terminal_gets_a_bar(tmp_path, server):
    ours, theirs = pty.openpty()
    process = start('', f'{server.url}/a.pth', tmp_path / 'a.pth', SHA256, stderr=theirs)
    process.communicate('\n', timeout=60)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert process.returncode == 0
    assert 'a.pth' in shown and '10.2/10.2 kB' in shown, shown
