"""Checkpoints are read without running code, and mmengine's own can be read at all."""

import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner.checkpoint import CheckpointLoader

from mmseg_custom import compat
from mmseg_custom.registry import register_all
from mmseg_custom.safe_loading import check_state_dict, load_from_http, load_from_local

register_all()
pytestmark = pytest.mark.provider


class ByReduce:
    """Runs a command when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f'touch {self.marker}',)


class ByGetattr:
    """Reaches a module's globals through ``getattr``, as HistoryBuffer's pickles ask for it."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return getattr, (HistoryBuffer.update, '__globals__')


def test_history_buffer_and_message_hub_survive(tmp_path):
    buffer = HistoryBuffer()
    for value in (1.0, 2.0, 6.0):
        buffer.update(value)
    hub = MessageHub.get_instance('saved')
    hub.update_scalar('train/loss', 0.25)
    saved = {'buffer': buffer, 'hub': hub.state_dict(), 'scalar': np.float64(3.5)}
    torch.save(saved, tmp_path / 'run.pth')
    loaded = load_from_local(tmp_path / 'run.pth')
    assert loaded['buffer'].mean() == 3.0
    assert loaded['buffer'].statistics('max') == 6.0
    assert loaded['hub']['log_scalars']['train/loss'].current() == 0.25
    assert loaded['scalar'] == 3.5


@pytest.mark.parametrize('hostile', [ByReduce, ByGetattr])
@pytest.mark.parametrize('container', ['zip', 'pickle', 'object array'])
def test_hostile_pickles_do_not_run(tmp_path, hostile, container):
    marker, path = tmp_path / 'ran', tmp_path / 'evil.pth'
    evil = hostile(marker)
    if container == 'zip':
        torch.save({'state_dict': evil}, path)
    elif container == 'pickle':
        path.write_bytes(pickle.dumps({'state_dict': evil}, protocol=2))
    else:
        torch.save({'array': np.array([evil], dtype=object)}, path)
    reason = r'evil.pth was refused.*(posix.system|getattr|ObjectDType)'
    with pytest.raises(ValueError, match=reason):
        load_from_local(path)
    assert not marker.exists()


def test_environment_cannot_switch_the_check_off(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    torch.save({'state_dict': ByReduce(tmp_path / 'ran')}, tmp_path / 'evil.pth')
    with pytest.raises(ValueError, match='refused'):
        load_from_local(tmp_path / 'evil.pth')
    assert not (tmp_path / 'ran').exists()


def test_getattr_stand_in_returns_statistics_only():
    assert compat.only_statistics(HistoryBuffer, 'mean') is HistoryBuffer.mean
    for owner, name in ((HistoryBuffer, 'update'), (os, 'system'), (HistoryBuffer, '__init__')):
        with pytest.raises(pickle.UnpicklingError, match='not allowed'):
            compat.only_statistics(owner, name)


def test_mmengine_reads_through_the_safe_functions(tmp_path):
    torch.save({'weight': torch.arange(3.0)}, tmp_path / 'a.pth')
    assert CheckpointLoader._get_checkpoint_loader('a.pth') is load_from_local
    assert CheckpointLoader._get_checkpoint_loader('https://x/a.pth') is load_from_http
    loaded = CheckpointLoader.load_checkpoint(str(tmp_path / 'a.pth'))
    torch.testing.assert_close(loaded['weight'], torch.tensor([0.0, 1.0, 2.0]))


def test_weights_folder_is_asked_first(tmp_path, monkeypatch):
    torch.save({'weight': torch.ones(1)}, tmp_path / 'b.pth')
    monkeypatch.setenv('MMSEG_CUSTOM_WEIGHTS', str(tmp_path))
    assert load_from_http('http://127.0.0.1:9/b.pth')['weight'].item() == 1.0
    with pytest.raises(FileNotFoundError, match=rf'put the file at {tmp_path}/c.pth.*scratch'):
        load_from_http('http://127.0.0.1:9/c.pth')
    assert not (tmp_path / 'c.pth').exists()


@pytest.mark.parametrize('content', [b'', b'no checkpoint', b'PK\x03\x04 half an archive'])
def test_unreadable_files(tmp_path, content):
    (tmp_path / 'x.pth').write_bytes(content)
    with pytest.raises(ValueError, match=rf'x.pth \({len(content)} bytes\) is not a readable'):
        load_from_local(tmp_path / 'x.pth')


def test_archive_without_a_pickle(tmp_path):
    with zipfile.ZipFile(tmp_path / 'x.pth', 'w') as archive:
        archive.writestr('readme.txt', 'nothing')
    with pytest.raises(ValueError, match='is not a readable checkpoint'):
        load_from_local(tmp_path / 'x.pth')


def test_check_state_dict_names_what_does_not_fit():
    model = torch.nn.Linear(2, 3)
    check_state_dict(model, {f'module.{k}': v for k, v in model.state_dict().items()}, 'f', 'c')
    wrong = {'weight': torch.zeros(3, 4), 'scale': torch.zeros(1)}
    with pytest.raises(ValueError, match=r'checkpoint f does not fit config c: 1 of 2 parameters'):
        check_state_dict(model, wrong, 'f', 'c')


@pytest.mark.parametrize('address', ['open-mmlab://hostile', 'mmcls://hostile'])
def test_other_addresses_do_not_run_code(tmp_path, monkeypatch, address):
    """mmengine turns them into a file or an URL and reads that past the registered loaders."""
    from mmengine.runner import checkpoint

    marker = tmp_path / 'ran'
    with open(tmp_path / 'evil.pth', 'wb') as file:
        pickle.dump({'state_dict': ByReduce(marker)}, file, protocol=2)
    monkeypatch.setenv('MMSEG_CUSTOM_WEIGHTS', str(tmp_path))
    monkeypatch.setenv('MMENGINE_HOME', str(tmp_path))
    table = {'hostile': 'http://127.0.0.1:9/evil.pth'}
    monkeypatch.setattr(checkpoint, 'get_external_models', lambda: table)
    monkeypatch.setattr(checkpoint, 'get_mmcls_models', lambda: table)
    with pytest.raises(ValueError, match='was refused: its pickle asks for'):
        CheckpointLoader.load_checkpoint(address)
    local = {'hostile': str(tmp_path / 'evil.pth')}
    monkeypatch.setattr(checkpoint, 'get_external_models', lambda: local)
    with pytest.raises(pickle.UnpicklingError):
        CheckpointLoader.load_checkpoint('open-mmlab://hostile')
    assert not marker.exists(), 'the pickle ran code'
