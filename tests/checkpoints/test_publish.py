import hashlib
import subprocess
import sys

import pytest
import torch
from generated_weights import build, save, segformer, write_rstrudel
from reference_networks import NVlabsMiT, RstrudelSegmenter, randomised

from mmseg_custom.checkpoints.adapt import describe_model
from mmseg_custom.checkpoints.loading import load_weights, open_weights
from mmseg_custom.checkpoints.publish import convert_file, describe_conversion, publish
from mmseg_custom.checkpoints.saving import write_file, write_folder

CLASSES, PALETTE = tuple('abcde'), [[10 * i, 0, 255] for i in range(5)]


@pytest.fixture
def run(tmp_path):
    """A checkpoint as a training saves it; its model and path."""
    model = randomised(build(segformer()))
    meta = {
        'dataset_meta': {'classes': CLASSES, 'palette': PALETTE},
        'mmseg_custom': describe_model(model).as_dict(),
        'cfg': 'max_iters = 1',
        'iter': 160000,
    }
    optimizer = {'state': {0: {'exp_avg': torch.zeros(10_000)}}, 'param_groups': []}
    return model, save(model, tmp_path / 'iter_1.pth', meta=meta, optimizer=optimizer)


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_published_files_hold_weights_and_what_they_need(tmp_path, run, suffix):
    model, source = run
    path = publish(source, tmp_path / f'out/segformer{suffix}')
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.name == f'segformer-{digest[:8]}{suffix}'
    opened = open_weights(path)
    assert opened.content.keys() == {'state_dict', 'meta'}
    assert opened.meta['cfg'] == 'max_iters = 1' and 'iter' not in opened.meta
    found = opened.description
    assert (found.classes, found.palette) == (CLASSES, tuple(map(tuple, PALETTE)))
    assert found.mean == pytest.approx((123.675, 116.28, 103.53))
    assert (found.heads, found.eps['patch_norm']) == ((1, 2, 5, 8), 1e-5)
    for name, value in model.state_dict().items():
        assert torch.equal(opened.state_dict[name], value), name
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    # Once more: the old hash is replaced, not kept.
    assert publish(path, path).name == path.name


def test_the_config_of_mmseg_0_is_kept_as_text(tmp_path):
    meta = {'config': 'raise SystemExit', 'CLASSES': CLASSES}
    source = save(randomised(build(segformer())), tmp_path / 'x.pth', meta=meta)
    for _ in range(2):
        source = publish(source, tmp_path / 'published.pth')
        found = open_weights(source).meta
        assert found['config_text'] == meta['config'] and 'config' not in found


def test_other_suffixes(tmp_path, run):
    with pytest.raises(ValueError, match=r"cannot write a '.npz' file; expected .pth or .safe"):
        publish(run[1], tmp_path / 'x.npz')


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_a_converted_backbone_is_one_for_mmseg_too(tmp_path, images, suffix):
    from mmseg.models.backbones.mit import MixVisionTransformer

    source = randomised(NVlabsMiT(num_classes=10))
    save(source, tmp_path / 'mit.pth')
    target = tmp_path / f'new folder/mit{suffix}'
    weights = convert_file(tmp_path / 'mit.pth', target, 'NVlabs')
    text = describe_conversion(weights, target)
    assert "norm_cfg={'type':'LN','eps':1e-06}" in text and "patch_norm_cfg={'type'" in text
    opened = open_weights(target)
    assert opened.description.eps == {'patch_norm': 1e-5, 'sr_norm': 1e-5, 'norm': 1e-6}
    assert load_weights(build(segformer()).backbone, opened).notes == []
    if suffix == '.pth':
        settings = dict(embed_dims=8, num_layers=[1] * 4, num_heads=[1, 2, 5, 8])
        init = dict(type='Pretrained', checkpoint=str(target))
        stock = MixVisionTransformer(**settings, norm_cfg=dict(type='LN', eps=1e-5), init_cfg=init)
        stock.init_weights()
        given = opened.content['state_dict']
        assert stock.state_dict().keys() == given.keys()
        for name, value in stock.state_dict().items():
            assert torch.equal(value, given[name]), name


def test_a_segmentor_keeps_its_decoder(tmp_path):
    source = write_rstrudel(tmp_path / 'run', RstrudelSegmenter())
    convert_file(source, tmp_path / 'x.pth', 'rstrudel')
    opened = open_weights(tmp_path / 'x.pth')
    assert 'decode_head.cls_emb' in opened.state_dict
    assert (opened.description.source, opened.description.heads) == ('rstrudel', (3,))
    assert opened.description.eps == {'norm': 1e-5, 'head_norm': 1e-5}


def test_the_wrong_converter(tmp_path):
    save(NVlabsMiT(), tmp_path / 'mit.pth')
    reason = r'holds a? ?MiT .* of NVlabs, no decoder, expected weights of AugReg; see tools/model_'
    with pytest.raises(ValueError, match=reason):
        convert_file(tmp_path / 'mit.pth', tmp_path / 'x.pth', 'AugReg')
    assert not (tmp_path / 'x.pth').exists()


FULL_DISK = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
from pathlib import Path
from mmseg_custom.checkpoints.saving import write_file, write_folder
target = Path(sys.argv[1])
for write in (lambda: write_file(target / 'new/x.pth', bytes(5000)),
              lambda: write_folder(target / 'folder', {'a': bytes(10), 'b': bytes(5000)})):
    try:
        write()
    except OSError as error:
        print(error)
"""


def test_a_full_disk_leaves_nothing(tmp_path):
    """A limit on the size of files stands for it: the write fails in the same place."""
    result = subprocess.run(
        [sys.executable, '-c', FULL_DISK, tmp_path], capture_output=True, text=True
    )
    lines = result.stdout.splitlines()
    assert len(lines) == 2, result.stderr
    assert all('cannot write' in line and 'nothing was left there' in line for line in lines)
    assert [path for path in tmp_path.rglob('*') if path.is_file()] == []
    assert not (tmp_path / 'folder').exists()


def test_files_are_replaced_at_once(tmp_path):
    write_file(tmp_path / 'x.pth', b'old')
    write_file(tmp_path / 'x.pth', b'new')
    assert (tmp_path / 'x.pth').read_bytes() == b'new'
    write_folder(tmp_path / 'folder', {'a': b'1'})
    assert (tmp_path / 'folder/a').read_bytes() == b'1'
    assert sorted(path.name for path in tmp_path.iterdir()) == ['folder', 'x.pth']
