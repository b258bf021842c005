"""The machinery of all converters: what is done once, again, not at all, and after a kill."""

import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from mmseg_custom.datasets.converting import LEDGER_NAME, Job, convert_files

# A conversion that is killed in its middle: slow files, one worker or two.
KILLED = """
import sys, time
from pathlib import Path
from mmseg_custom.datasets import converting
def slow(job):
    time.sleep(0.2)
    return [job.sources[0].read_bytes()]
source, target = map(Path, sys.argv[1:3])
jobs = [converting.Job((target / p.name,), (p,)) for p in sorted(source.iterdir())]
print(converting.convert_files(jobs, slow, target, workers=int(sys.argv[3])).written)
"""


def upper(job, suffix=''):
    """Convert text to capitals; text with a digit is bad."""
    text = job.sources[0].read_text()
    if any(letter.isdigit() for letter in text):
        raise ValueError(f'{job.sources[0]} has a digit; remove it')
    return [f'{text.upper()}{suffix}'.encode(), text.encode()][: len(job.targets)]


@pytest.fixture
def folders(tmp_path):
    source, target = tmp_path / 'source', tmp_path / 'target'
    source.mkdir()
    for name in 'abc':
        (source / name).write_text(name)
    return source, target


def jobs(source, target):
    return [Job((target / path.name,), (path,)) for path in sorted(source.iterdir())]


def convert(source, target, function=upper, workers=1, **options):
    return convert_files(jobs(source, target), function, target, workers, **options)


@pytest.mark.parametrize('workers', [1, 3])
def test_second_run_does_nothing(folders, workers):
    _, target = folders
    assert convert(*folders, workers=workers).written == 3
    assert [(target / name).read_text() for name in 'abc'] == ['A', 'B', 'C']
    before = {path: path.stat().st_mtime_ns for path in target.iterdir()}
    second = convert(*folders, workers=workers)
    assert (second.written, second.unchanged) == (0, 3)
    assert list(second.lines()) == ['nothing to do: all 3 files are up to date']
    assert {path: path.stat().st_mtime_ns for path in target.iterdir()} == before


def test_what_changed_is_made_again(folders):
    source, target = folders
    convert(*folders)
    (source / 'b').write_text('bb')
    (target / 'c').unlink()
    third = convert(*folders)
    assert (third.written, third.unchanged) == (2, 1)
    assert (target / 'b').read_text() == 'BB'
    # An older file of the same length is another one, too.
    (source / 'a').write_text('x')
    os.utime(source / 'a', (1, 1))
    assert convert(*folders).written == 1
    assert convert(*folders, function=partial(upper, suffix='!')).written == 3
    assert (target / 'a').read_text() == 'X!'


def test_files_of_others_are_kept(folders):
    _, target = folders
    target.mkdir()
    (target / 'b').write_text('mine')
    first = convert(*folders)
    assert (first.written, first.kept) == (2, [target / 'b'])
    assert '--overwrite replaces them' in ' '.join(first.lines())
    assert convert(*folders).kept == [target / 'b']
    assert convert(*folders, overwrite=True).written == 3
    assert (target / 'b').read_text() == 'B'
    assert convert(*folders).unchanged == 3


@pytest.mark.parametrize('workers', [1, 2])
def test_bad_files_are_listed_and_the_rest_goes_on(folders, workers):
    source, target = folders
    (source / 'b').write_text('b2')
    result = convert(*folders, workers=workers)
    assert result.failures == [f'{source / "b"} has a digit; remove it']
    assert next(result.lines()) == '3 files: 2 written, 1 failed'
    assert sorted(path.name for path in target.iterdir()) == [LEDGER_NAME, 'a', 'c']
    (source / 'b').write_text('b')
    fixed = convert(*folders, workers=workers)
    assert (fixed.written, fixed.unchanged, fixed.failures) == (1, 2, [])


def test_a_source_that_is_gone(folders):
    source, target = folders
    listed = jobs(source, target)
    (source / 'a').unlink()
    result = convert_files(listed, upper, target, 1)
    assert result.failures == [f'{source / "a"}: No such file or directory']
    assert result.written == 2


def test_several_targets_of_a_job(folders):
    source, target = folders
    job = Job((target / 'a.up', target / 'sub/a.low'), (source / 'a',))
    assert convert_files([job], upper, target, 1).written == 1
    assert (target / 'sub/a.low').read_text() == 'a'
    (target / 'sub/a.low').unlink()
    assert convert_files([job], upper, target, 1).written == 1


def test_jobs_that_cannot_be(folders):
    source, target = folders
    with pytest.raises(ValueError, match='0 files to convert into .*target; check the folders'):
        convert_files([], upper, target)
    doubled = [Job((target / 'x',), (source / name,)) for name in 'ab']
    with pytest.raises(ValueError, match=r'x would be written from .*a and .*b; rename one'):
        convert_files(doubled, upper, target)


def test_a_line_torn_by_a_kill_is_no_line(folders):
    convert(*folders)
    ledger = folders[1] / LEDGER_NAME
    ledger.write_bytes(ledger.read_bytes()[:-20])
    result = convert(*folders)
    assert (result.written, result.unchanged) == (1, 2)


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(folders, tmp_path):
    source, target = folders
    for index in range(20):
        (source / f'file{index}').write_text('x' * 10)
    script = tmp_path / 'killed.py'
    script.write_text(KILLED)
    command = [sys.executable, str(script), str(source), str(target), '2']
    process = subprocess.Popen(command, start_new_session=True)
    deadline = time.monotonic() + 120
    while sum(1 for _ in target.glob('file*')) < 4:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = {path.name: path.stat().st_ino for path in target.glob('[a-z]*')}
    assert 4 <= len(done) < 23
    assert all(path.read_bytes() == (source / path.name).read_bytes() for path in target.glob('f*'))
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    # At most the files that were just being written are made twice.
    assert 23 - len(done) <= int(output) <= 25 - len(done)
    kept = [name for name, inode in done.items() if (target / name).stat().st_ino == inode]
    assert len(kept) == 23 - int(output)
    assert len(list(target.glob('[a-z]*'))) == 23
