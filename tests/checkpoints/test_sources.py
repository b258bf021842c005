"""Names, addresses, repositories and paths become files that are there."""

import hashlib

import pytest
import torch
from file_server import running_server
from mmengine.runner.checkpoint import CheckpointLoader
from processes import free_port

from mmseg_custom.checkpoints.loading import load_weights
from mmseg_custom.checkpoints.published import PUBLISHED
from mmseg_custom.checkpoints.sources import resolve, weights_folder
from mmseg_custom.registry import MODELS, register_all

register_all()
MIT_B0 = 'mit_b0_20220624-7e0fe6dd.pth'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The weights folder of a machine without a network."""
    nowhere = f'http://127.0.0.1:{free_port()}'
    for name in ('http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'HF_ENDPOINT'):
        monkeypatch.setenv(name, nowhere)
    for name in ('no_proxy', 'NO_PROXY', 'HF_HUB_OFFLINE'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('MMSEG_CUSTOM_WEIGHTS', str(tmp_path / 'weights'))
    return tmp_path / 'weights'


@pytest.fixture
def hub(folder, monkeypatch):
    """A stand-in for Hugging Face that holds one repository, in the older file format."""
    with running_server() as running:
        monkeypatch.setenv('HF_ENDPOINT', running.url + '/')
        for name in ('no_proxy', 'NO_PROXY'):
            monkeypatch.setenv(name, '127.0.0.1')
        base = '/nvidia/mit-b0/resolve/main'
        running.files = {f'{base}/config.json': b'{}', f'{base}/pytorch_model.bin': b'numbers'}
        yield running


def test_a_path_is_itself(tmp_path, monkeypatch):
    (tmp_path / 'a.pth').write_bytes(b'')
    monkeypatch.setenv('HOME', str(tmp_path))
    assert resolve(tmp_path / 'a.pth') == resolve('~/a.pth') == tmp_path / 'a.pth'
    assert resolve(str(tmp_path)) == tmp_path
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'mit_b0').write_bytes(b'')
    assert resolve('./mit_b0').is_file()


@pytest.mark.parametrize(
    ('source', 'message'),
    [
        ('mit_b9', r"'mit_b9' is neither a file, .*; did you mean mit_b\d or mit_b\d or mit_b\d\?"),
        ('MIT-B2', 'did you mean mit_b2'),
        ('nvidia/segformer-b0-finetuned-ade', 'mean nvidia/segformer-b0-finetuned-ade-512-512'),
        ('segmenter_vit_l_mask_ade20k', 'mean segmenter_vit-l_mask_ade20k'),
        ('zzz', r'docs/model_zoo\.md lists the names'),
        ('hf://only_one', 'expected hf://owner/name'),
        ('hf://../secret', 'expected hf://owner/name'),
        ('https://example.org/', 'names no file'),
    ],
)
def test_unknown_names_get_the_nearest(source, message, folder):
    with pytest.raises(ValueError, match=message):
        resolve(source)
    assert not folder.exists()


def test_missing_files_are_said_to_be_missing(folder):
    with pytest.raises(FileNotFoundError, match=r'^checkpoint runs/iter_100.pth does not exist$'):
        resolve('runs/iter_100.pth')
    with pytest.raises(FileNotFoundError, match=r'not exist; did you mean mit_b2'):
        resolve('mit_b2.pth')
    with pytest.raises(FileNotFoundError, match='work/dir does not exist'):
        resolve('work/dir')


def test_offline_says_which_file_to_put_where(folder):
    path = folder / MIT_B0
    with pytest.raises(FileNotFoundError) as caught:
        resolve('mit_b0')
    text = str(caught.value)
    assert text.startswith('cannot download mit_b0 (https://download.openmmlab.com/')
    assert 'https://openmmlab.oss' in text and '/nvidia/mit-b0/' in text, 'all of them were asked'
    assert f'put the file at {path}, or train without it' in text and '--from-scratch' in text
    assert '\n' not in text
    assert [p for p in folder.rglob('*') if p.is_file() and p.suffix != '.lock'] == []
    path.write_bytes(b'put there by hand')
    assert resolve('mit_b0') == resolve(PUBLISHED['mit_b0'].urls[1]) == path


def test_offline_with_the_other_format_at_hand(folder):
    repository = folder / 'nvidia/mit-b0'
    repository.mkdir(parents=True)
    (repository / 'model.safetensors').write_bytes(b'')
    assert resolve('mit_b0') == resolve('nvidia/mit-b0') == repository
    with pytest.raises(FileNotFoundError, match=r'put its config.json and model.safetensors or '):
        resolve('nvidia/mit-b1')


def test_a_repository_is_downloaded_whole(folder, hub, monkeypatch):
    for name in ('nvidia/mit-b0', 'hf://nvidia/mit-b0'):
        assert resolve(name) == folder / 'nvidia/mit-b0'
    files = {p.name: p.read_bytes() for p in (folder / 'nvidia/mit-b0').glob('[!.]*')}
    assert files == {'config.json': b'{}', 'pytorch_model.bin': b'numbers'}
    asked = [path.rpartition('/')[2] for path, _ in hub.requests]
    assert asked == [
        'config.json',
        'preprocessor_config.json',
        'model.safetensors',
        'pytorch_model.bin',
    ]
    with pytest.raises(FileNotFoundError, match=r'mit-b1/resolve/main/config.json: 404'):
        resolve('nvidia/mit-b1')
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    asked_before = len(hub.requests)
    assert resolve('nvidia/mit-b0').is_dir()
    with pytest.raises(FileNotFoundError, match='HF_HUB_OFFLINE is set'):
        resolve('nvidia/mit-b2')
    assert len(hub.requests) == asked_before


def test_another_format_stands_in_where_no_mirror_answers(folder, hub):
    assert resolve('mit_b0') == folder / 'nvidia/mit-b0'
    assert [path for path, _ in hub.requests if path.endswith('.bin')]


def test_an_address_is_downloaded_and_its_name_holds_the_hash(folder, hub):
    content = b'weights'
    digits = hashlib.sha256(content).hexdigest()[:8]
    hub.files |= {f'/x-{digits}.pth': content, '/x-00000000.pth': content}
    assert resolve(f'{hub.url}/x-{digits}.pth').read_bytes() == content
    with pytest.raises(FileNotFoundError, match=r'another sha256 .*expected "00000000"'):
        resolve(f'{hub.url}/x-00000000.pth?download=1')
    assert not (folder / 'x-00000000.pth').exists()


def test_addresses_of_one_file_name_are_kept_apart(folder, hub):
    hub.files |= {'/seg_t/checkpoint.pth': b'tiny', '/seg_s/checkpoint.pth': b'small'}
    paths = [resolve(f'{hub.url}/seg_{size}/checkpoint.pth') for size in 'tst']
    assert [path.read_bytes() for path in paths] == [b'tiny', b'small', b'tiny']
    assert paths[0] == paths[2] and {path.name for path in paths} == {'checkpoint.pth'}
    assert len(hub.requests) == 2


def test_the_default_folder_is_pytorchs_cache(monkeypatch, tmp_path):
    monkeypatch.delenv('MMSEG_CUSTOM_WEIGHTS', raising=False)
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    assert weights_folder() == tmp_path / 'hub/checkpoints'


def test_a_config_names_weights(folder):
    """The name reaches the backbone's initialisation and mmengine's loader of checkpoints."""
    settings = dict(
        type='MixVisionTransformer', embed_dims=8, num_layers=[1] * 4, num_heads=[1] * 4
    )
    weights = MODELS.build(settings).state_dict()
    folder.mkdir()
    torch.save(weights, folder / MIT_B0)
    backbone = MODELS.build({**settings, 'init_cfg': dict(type='Pretrained', checkpoint='mit_b0')})
    backbone.init_weights()
    for name, value in backbone.state_dict().items():
        torch.testing.assert_close(value, weights[name], rtol=0, atol=0)
    assert CheckpointLoader.load_checkpoint('mit_b0', 'cpu').keys() == weights.keys()


def test_a_name_fills_a_model_from_another_format(folder, hub, tmp_path):
    """OpenMMLab is out of reach, so ``mit_b0`` comes from the classifier at Hugging Face."""
    transformers = pytest.importorskip('transformers')
    theirs = transformers.SegformerForImageClassification(
        transformers.SegformerConfig(
            depths=[1, 1, 1, 1],
            hidden_sizes=[8, 16, 40, 64],
            num_attention_heads=[1, 2, 5, 8],
            num_labels=7,
        )
    ).eval()
    theirs.save_pretrained(tmp_path / 'published')
    for path in (tmp_path / 'published').iterdir():
        hub.files[f'/nvidia/mit-b0/resolve/main/{path.name}'] = path.read_bytes()
    encoder = dict(
        type='MixVisionTransformer',
        embed_dims=8,
        num_layers=[1] * 4,
        num_heads=[1, 2, 5, 8],
        norm_cfg=dict(type='LN', eps=1e-5),
    )
    backbone = MODELS.build({**encoder, 'init_cfg': dict(type='Pretrained', checkpoint='mit_b0')})
    backbone.init_weights()
    head = dict(type='LinearClsHead', in_channels=64, num_classes=7)
    classifier = MODELS.build(dict(type='ImageClassifier', backbone=encoder, head=head)).eval()
    load_weights(classifier, 'nvidia/mit-b0', show=None)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(classifier(images), theirs(images).logits, rtol=1e-4, atol=1e-5)
        maps = zip(backbone.eval()(images), classifier.backbone(images))
        assert all(torch.equal(one, other) for one, other in maps)
