"""Checkpoints are read without running code, and mmengine's own can be read at all."""

import argparse
import io
import os
import pickle
import tarfile
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner.checkpoint import CheckpointLoader

from mmseg_custom import compat
from mmseg_custom.checkpoints.reading import (
    check_state_dict,
    load_from_http,
    load_from_local,
    read,
)
from mmseg_custom.registry import register_all

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


def object_array(evil):
    """Nested, as numpy pickles objects inside objects."""
    return np.array([np.array([evil], dtype=object)], dtype=object)


def history_of(evil):
    buffer = HistoryBuffer()
    buffer._log_history = object_array(evil)
    return buffer


def write_pickle(content, path):
    path.write_bytes(pickle.dumps(content, protocol=2))


def write_legacy(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


def write_tar(content, path):
    """As PyTorch 0.1 saved: a tar file of pickles."""
    with tarfile.open(path, 'w') as archive:
        for name in ('sys_info', 'storages', 'tensors', 'pickle'):
            data = pickle.dumps(content if name == 'pickle' else 0, protocol=2)
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


WRITERS = [torch.save, write_legacy, write_pickle, write_tar]
CONTENTS = {
    'itself': lambda evil: evil,
    'a parameter': lambda evil: {'state_dict': {'x.bias': evil, 'x.weight': torch.ones(1)}},
    'a key': lambda evil: {'state_dict': OrderedDict([(evil, torch.ones(1))])},
    'in the meta': lambda evil: {'meta': [({'x': evil},)], 'state_dict': {'w': torch.ones(1)}},
    'in an array': lambda evil: {'model': object_array(evil)},
    'in a log buffer': lambda evil: {'message_hub': {'loss': history_of(evil)}},
}
hostiles = pytest.mark.parametrize('hostile', [ByReduce, ByGetattr])


@hostiles
@pytest.mark.parametrize('write', WRITERS)
@pytest.mark.parametrize('place', CONTENTS)
def test_hostile_pickles_do_not_run(tmp_path, hostile, write, place):
    write(CONTENTS[place](hostile(tmp_path / 'ran')), tmp_path / 'evil.pth')
    refusal = r'evil.pth was refused.*(posix.system|getattr|ObjectDType)'
    # Nothing of a tar file is unpickled.
    with pytest.raises(ValueError, match='not a readable' if write is write_tar else refusal):
        read(tmp_path / 'evil.pth')
    assert not (tmp_path / 'ran').exists()


def test_the_hostile_pickles_would_run(tmp_path):
    write_pickle(ByReduce(tmp_path / 'ran'), tmp_path / 'evil.pth')
    with open(tmp_path / 'evil.pth', 'rb') as file:
        pickle.load(file)
    assert (tmp_path / 'ran').exists()
    write_pickle(ByGetattr(tmp_path / 'ran'), tmp_path / 'evil.pth')
    with open(tmp_path / 'evil.pth', 'rb') as file:
        assert 'HistoryBuffer' in pickle.load(file)


def test_compiled_programs_do_not_run(tmp_path):
    torch.jit.script(torch.nn.Linear(1, 1)).save(tmp_path / 'x.pth')
    with pytest.raises(ValueError, match=r'x.pth .*is not a readable checkpoint: .*TorchScript'):
        read(tmp_path / 'x.pth')


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
    torch.save({'weight': torch.ones(1)}, tmp_path / 'b-01234567.pth')
    monkeypatch.setenv('MMSEG_CUSTOM_WEIGHTS', str(tmp_path))
    assert load_from_http('http://127.0.0.1:9/b-01234567.pth')['weight'].item() == 1.0
    place = rf'put the file at {tmp_path}/[0-9a-f]{{8}}/c.pth.*scratch'
    with pytest.raises(FileNotFoundError, match=place):
        load_from_http('http://127.0.0.1:9/c.pth')
    assert not list(tmp_path.rglob('c.pth'))


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


@hostiles
@pytest.mark.parametrize('write', [np.savez, np.savez_compressed])
def test_hostile_arrays_do_not_run(tmp_path, hostile, write):
    evil = hostile(tmp_path / 'ran')
    fields = np.array([(1, evil)], dtype=[('number', 'i4'), ('object', 'O')])
    for arrays in ({'Transformer/encoderblock_0/x': object_array(evil)}, {'cls': fields}):
        write(tmp_path / 'evil.npz', ok=np.ones(2), **arrays)
        reason = r'evil.npz was refused: it holds pickled Python objects.*numpy.savez'
        with pytest.raises(ValueError, match=reason):
            read(tmp_path / 'evil.npz')
    assert not (tmp_path / 'ran').exists()


@hostiles
@pytest.mark.parametrize('write', WRITERS[:3])
@pytest.mark.parametrize(
    ('name', 'beside'),
    [
        ('pytorch_model.bin', ('config.json', '{"model_type": "segformer"}')),
        ('checkpoint.pth', ('variant.yml', 'net_kwargs: {n_heads: 3}')),
    ],
)
def test_a_hostile_folder_does_not_run(tmp_path, hostile, write, name, beside):
    (tmp_path / beside[0]).write_text(beside[1])
    write({'segformer.x': hostile(tmp_path / 'ran')}, tmp_path / name)
    with pytest.raises(ValueError, match=f'{name} was refused'):
        read(tmp_path)
    assert not (tmp_path / 'ran').exists()


def test_a_pickle_in_safetensors_clothes(tmp_path):
    evil = pickle.dumps({'state_dict': ByReduce(tmp_path / 'ran')}, protocol=2)
    (tmp_path / 'model.safetensors').write_bytes(evil)
    with pytest.raises(ValueError, match='refused'):
        read(tmp_path)
    assert not (tmp_path / 'ran').exists()


def test_data_classes_can_be_allowed_by_name(tmp_path, monkeypatch):
    """As in DeiT's training checkpoints, which hold the command line."""
    content = {'model': {'w': torch.ones(1)}, 'args': argparse.Namespace(lr=0.1)}
    torch.save(content, tmp_path / 'deit.pth')
    line = 'argparse.Namespace .* MMSEG_CUSTOM_ALLOW_GLOBALS=module.Class'
    with pytest.raises(ValueError, match=line):
        read(tmp_path / 'deit.pth')
    monkeypatch.setenv('MMSEG_CUSTOM_ALLOW_GLOBALS', 'argparse.Namespace')
    assert read(tmp_path / 'deit.pth').content['args'].lr == 0.1
    monkeypatch.delenv('MMSEG_CUSTOM_ALLOW_GLOBALS')
    with pytest.raises(ValueError, match='refused'):
        read(tmp_path / 'deit.pth')


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('os.system', 'which is no class'),
        ('builtins.getattr', 'which is no class'),
        ('a.B', 'which does not exist'),
    ],
)
def test_functions_are_never_allowed(tmp_path, monkeypatch, name, message):
    torch.save({'state_dict': ByReduce(tmp_path / 'ran')}, tmp_path / 'evil.pth')
    monkeypatch.setenv('MMSEG_CUSTOM_ALLOW_GLOBALS', name)
    with pytest.raises(ValueError, match=f'{name}, {message}'):
        read(tmp_path / 'evil.pth')
    assert not (tmp_path / 'ran').exists()


def test_containers_are_recognised_by_content(tmp_path):
    from safetensors.torch import save_file

    save_file({'w': torch.ones(2)}, tmp_path / 'a.pth', {'format': 'pt'})
    np.savez(tmp_path / 'b.npz', w=np.ones(2, np.float32))
    (tmp_path / 'b.npz').rename(tmp_path / 'b.bin')
    torch.save({'w': torch.ones(2)}, tmp_path / 'c.npz')
    torch.save({'module.w': torch.ones(2)}, tmp_path / 'd', _use_new_zipfile_serialization=False)
    for name in ('a.pth', 'b.bin', 'c.npz', 'd'):
        assert torch.equal(read(tmp_path / name).tensors['w'], torch.ones(2)), name


@pytest.mark.parametrize('kind', ['safetensors', 'npz', 'pth'])
def test_truncated_files(tmp_path, kind):
    from safetensors.torch import save_file

    path = tmp_path / f'x.{kind}'
    if kind == 'safetensors':
        save_file({'w': torch.ones(999)}, path)
    elif kind == 'npz':
        np.savez(path, w=np.ones(999))
    else:
        torch.save({'w': torch.ones(999)}, path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(
        ValueError, match=rf'x.{kind} \(\d+ bytes\) is not a readable checkpoint.*trun'
    ):
        read(path)


@pytest.mark.parametrize('kind', ['legacy', 'zip', 'npz', 'compressed', 'safetensors'])
def test_files_cut_or_damaged_anywhere(tmp_path, kind):
    """One line each; damage in the middle of numbers may go unseen where there is no checksum."""
    from safetensors.torch import save_file

    path, tensors = tmp_path / 'x', {f'layer{i}.weight': torch.randn(5, 4) for i in range(3)}
    arrays = {name: value.numpy() for name, value in tensors.items()}
    if kind == 'safetensors':
        save_file(tensors, path)
    elif kind in ('npz', 'compressed'):
        with open(path, 'wb') as file:
            (np.savez if kind == 'npz' else np.savez_compressed)(file, **arrays)
    else:
        torch.save({'state_dict': tensors}, path, _use_new_zipfile_serialization=kind == 'zip')
    whole = path.read_bytes()
    step = max(1, len(whole) // 150)
    for position in range(0, len(whole), step):
        path.write_bytes(whole[:position])
        # A name of a class that is cut off is another name.
        with pytest.raises(ValueError, match=r'is not a readable|asks for \w+(\.\w+)+ ') as caught:
            read(path)
        assert '\n' not in str(caught.value)
        damaged = bytes(byte ^ 0x5A for byte in whole[position : position + 3])
        path.write_bytes(whole[:position] + damaged + whole[position + 3 :])
        try:
            read(path)
        except ValueError as error:
            assert '\n' not in str(error)


def test_folders_without_weights(tmp_path):
    with pytest.raises(ValueError, match=r'holds no weights; expected model.safetensors, pytorch_'):
        read(tmp_path)
    (tmp_path / 'model.safetensors.index.json').write_text('{}')
    with pytest.raises(ValueError, match='in several parts'):
        read(tmp_path)


def test_nothing_to_load(tmp_path):
    torch.save({'state_dict': {}, 'meta': {}}, tmp_path / 'x.pth')
    with pytest.raises(ValueError, match='x.pth holds no parameters'):
        read(tmp_path / 'x.pth')
    torch.save(torch.zeros(3), tmp_path / 'y.pth')
    with pytest.raises(ValueError, match='holds a Tensor, expected a checkpoint'):
        read(tmp_path / 'y.pth')


def test_broken_side_files(tmp_path):
    torch.save({'w': torch.ones(1)}, tmp_path / 'pytorch_model.bin')
    (tmp_path / 'config.json').write_text('{"a": ')
    with pytest.raises(ValueError, match=r'config.json cannot be read: .*download it again'):
        read(tmp_path)
    (tmp_path / 'config.json').write_text('[1]')
    with pytest.raises(ValueError, match='config.json holds a list, expected names and values'):
        read(tmp_path)


@pytest.mark.parametrize('address', ['open-mmlab://hostile', 'mmcls://hostile'])
def test_other_addresses_do_not_run_code(tmp_path, monkeypatch, address):
    """mmengine turns them into a file or an URL and reads that past the registered loaders."""
    from mmengine.runner import checkpoint

    marker = tmp_path / 'ran'
    with open(tmp_path / 'evil-01234567.pth', 'wb') as file:
        pickle.dump({'state_dict': ByReduce(marker)}, file, protocol=2)
    monkeypatch.setenv('MMSEG_CUSTOM_WEIGHTS', str(tmp_path))
    monkeypatch.setenv('MMENGINE_HOME', str(tmp_path))
    table = {'hostile': 'http://127.0.0.1:9/evil-01234567.pth'}
    monkeypatch.setattr(checkpoint, 'get_external_models', lambda: table)
    monkeypatch.setattr(checkpoint, 'get_mmcls_models', lambda: table)
    with pytest.raises(ValueError, match='was refused: its pickle asks for'):
        CheckpointLoader.load_checkpoint(address)
    local = {'hostile': str(tmp_path / 'evil-01234567.pth')}
    monkeypatch.setattr(checkpoint, 'get_external_models', lambda: local)
    with pytest.raises(pickle.UnpicklingError):
        CheckpointLoader.load_checkpoint('open-mmlab://hostile')
    assert not marker.exists(), 'the pickle ran code'
