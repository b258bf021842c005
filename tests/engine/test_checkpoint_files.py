"""Checkpoint files are whole or not there, and the newest whole one is found."""

import os
import resource
import subprocess
from pathlib import Path

import pytest
import torch

from mmseg_custom.engine import checkpoint_files
from mmseg_custom.engine.checkpoint_files import (
    CheckpointWriter,
    newest_whole_checkpoint,
    problem_of,
    remove_leftovers,
    saved_checkpoints,
    write_checkpoint,
)


def saved(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        torch.save({'weight': torch.arange(1000.0), 'name': path.name}, path)
        write_checkpoint(path, path.read_bytes())
    return paths


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b'')


def test_sha256sum_reads_the_checksum(tmp_path):
    saved(tmp_path, 'iter_1.pth')
    command = ['sha256sum', '-c', 'iter_1.pth.sha256']
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, 'iter_1.pth: OK\n')


@pytest.mark.parametrize('damage', [truncate, flip_a_bit, empty])
def test_a_damaged_checkpoint_is_skipped_and_named(tmp_path, damage):
    _, older, newest = saved(tmp_path, 'iter_8.pth', 'iter_9.pth', 'iter_10.pth')
    damage(newest)
    told = []
    assert newest_whole_checkpoint(tmp_path, told.append) == older
    assert len(told) == 1 and 'iter_10.pth: ' in told[0]
    expected = (
        'file is empty' if damage is empty else 'SHA-256 is not the one in iter_10.pth.sha256'
    )
    assert expected in told[0]


def test_without_a_checksum_the_file_is_read(tmp_path):
    older, newest = saved(tmp_path, 'iter_2.pth', 'iter_4.pth')
    for path in (older, newest):
        path.with_name(f'{path.name}.sha256').unlink()
    assert problem_of(newest) is None
    truncate(newest)
    assert newest_whole_checkpoint(tmp_path, print) == older


def test_nothing_whole_is_an_error(tmp_path):
    assert newest_whole_checkpoint(tmp_path, print) is None
    for path in saved(tmp_path, 'iter_2.pth', 'iter_4.pth'):
        truncate(path)
    with pytest.raises(ValueError, match=r'none of the 2 .*newest: iter_4.pth.*--overwrite'):
        newest_whole_checkpoint(tmp_path, print)


def test_the_newest_has_the_highest_number(tmp_path):
    """Whatever the files' times say; the best one and foreign files are no candidates."""
    names = ['epoch_1.pth', 'epoch_1_iter_37.pth', 'epoch_2.pth', 'epoch_10.pth']
    paths = saved(tmp_path, *reversed(names))
    saved(tmp_path, 'best_mIoU_epoch_20.pth', 'iter_500.pth', 'other.pth')
    (tmp_path / 'last_checkpoint').write_text(str(paths[0]))
    found = [path.name for path in saved_checkpoints(tmp_path)]
    assert found == [*reversed(names), 'iter_500.pth']
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.mkdir()
    (elsewhere / 'last_checkpoint').write_text(str(paths[0]))
    assert saved_checkpoints(elsewhere)[0] == paths[0], 'saved with another out_dir'


class Crash(BaseException):
    """The process ends here."""


@pytest.mark.parametrize('before', [True, False], ids=['again', 'first time'])
def test_a_crash_at_any_moment_leaves_a_whole_pair(tmp_path, monkeypatch, before):
    """At each system call that changes the folder, in turn."""
    path = tmp_path / 'iter_2.pth'
    calls = {'left': 0}

    def crash_in(function):
        def counted(*arguments):
            if calls['left'] == 0:
                raise Crash
            calls['left'] -= 1
            return function(*arguments)

        return counted

    monkeypatch.setattr(os, 'replace', crash_in(os.replace))
    monkeypatch.setattr(os, 'fsync', crash_in(os.fsync))
    contents, crashes = set(), 0
    for moment in range(50):
        calls['left'] = 50
        path.unlink(missing_ok=True)
        if before:
            write_checkpoint(path, b'old content')
        calls['left'] = moment
        try:
            write_checkpoint(path, b'new content')
        except Crash:
            crashes += 1
        calls['left'] = 50
        if path.exists():
            assert problem_of(path) is None, moment
            contents.add(path.read_bytes())
        remove_leftovers(tmp_path)
        files = {entry.name for entry in tmp_path.iterdir()}
        assert files in ({path.name, 'iter_2.pth.sha256'}, set())
        if calls['left'] and moment > crashes:
            break
    assert crashes >= 6
    assert contents == ({b'old content', b'new content'} if before else {b'new content'})


def limited(size: int):
    """Let no file grow beyond ``size`` bytes, as a full disk does."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


@pytest.mark.parametrize('asynchronous', [False, True])
def test_a_full_disk_leaves_the_old_checkpoint(tmp_path, asynchronous):
    """Nor is an older one removed or ``last_checkpoint`` moved on."""
    older, _ = saved(tmp_path, 'iter_2.pth', 'iter_4.pth')
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    writer = CheckpointWriter(asynchronous)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    limited(1000)
    try:
        with pytest.raises(OSError, match=r'cannot save .*iter_4.pth \(.*continue with --resume'):
            writer.write(tmp_path / 'iter_4.pth', bytes(5000))
            writer.write_text(tmp_path / 'last_checkpoint', 'iter_4.pth')
            writer.remove(older)
            writer.wait()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_thread_keeps_the_order(tmp_path):
    writer = CheckpointWriter(asynchronous=True)
    for number in range(5):
        writer.write(tmp_path / f'iter_{number}.pth', bytes([number]) * 100000)
        writer.write_text(tmp_path / 'last_checkpoint', f'iter_{number}.pth')
        if number:
            writer.remove(tmp_path / f'iter_{number - 1}.pth')
    writer.wait()
    names = {'iter_4.pth', 'iter_4.pth.sha256', 'last_checkpoint'}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert problem_of(tmp_path / 'iter_4.pth') is None
    assert checkpoint_files.saved_checkpoints(tmp_path) == [tmp_path / 'iter_4.pth']
