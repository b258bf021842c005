"""What is missing is said before anything is queued."""

import re
from pathlib import Path

import pytest
import torch
from generated_weights import build, segformer
from mmengine.registry import DefaultScope
from processes import free_port
from small_templates import CLASSES, GENERAL, SEGFORMER, SEGMENTER, small, write_blocks

from mmseg_custom.checkpoints.published import PUBLISHED
from mmseg_custom.engine.config import load_config
from mmseg_custom.engine.launch import train
from mmseg_custom.registry import MODELS, SCOPE
from mmseg_custom.templates.checking import check_before_queueing, find_weights, look_at_data
from mmseg_custom.templates.composing import compose
from mmseg_custom.templates.params_file import parse_params
from mmseg_custom.templates.runs import Runs

PAGE = Path(__file__).resolve().parents[2] / 'docs/templates.md'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_blocks(tmp_path_factory.mktemp('blocks'))


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """The weights folder of a machine without a network."""
    for name in ('http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'HF_ENDPOINT'):
        monkeypatch.setenv(name, f'http://127.0.0.1:{free_port()}')
    for name in ('no_proxy', 'NO_PROXY'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('MMSEG_CUSTOM_WEIGHTS', str(tmp_path / 'weights'))
    (tmp_path / 'weights').mkdir()
    return tmp_path / 'weights'


def test_what_is_found_is_returned(folder):
    facts = check_before_queueing(small(), folder)
    assert facts == look_at_data(folder)
    assert (facts.classes, facts.num_train, facts.num_val) == (CLASSES, 6, 2)
    assert len(facts.palette) == 4


@pytest.mark.parametrize(
    'fields, error',
    [
        (dict(batch_size=7), r'batch_size is 7, but .* has 6 training images; set batch_size: 6'),
        (dict(concepts=['cars']), r"concepts: 'cars' is no class .* did you mean car\?"),
        (dict(device='cuda:99'), r"device is 'cuda:99', but this machine has auto, cpu"),
        (dict(device='cpu', precision='float16'), r'float16 needs a GPU, .*set bfloat16'),
        (dict(pretrained_weights='mine.pth'), r'there is no file .*/mine.pth; put it there, or'),
        (dict(pretrained_weights='ADE_20K'), r'no file .*/ADE_20K; did you mean ade20k'),
        (dict(pretrained_weights='mit_b'), r'no file .*/mit_b; did you mean mit_b'),
        (
            dict(template=SEGMENTER, decoder='linear', pretrained_weights='ade20k'),
            r'vit-t_fcn, only',
        ),
        (
            dict(template=GENERAL, config='segformer/segformer_mit-b9.py'),
            r'not exist; did you',
        ),
        (
            dict(template=GENERAL, config='imagenet/mit-b0_imagenet-1k.py'),
            r'imagenet-1k.py is no segmentor; expected a decode_head',
        ),
        (
            dict(
                template=GENERAL,
                config='segformer/segformer_mit-b0_folder.py',
                pretrained_weights='ade20k',
            ),
            r'ade20k is not published for segformer/segformer_mit-b0_folder.py, only segformer_mit',
        ),
    ],
)
def test_what_does_not_fit_is_named(folder, fields, error):
    with pytest.raises((ValueError, FileNotFoundError), match=error) as raised:
        check_before_queueing(small(**fields), folder)
    assert '\n' not in str(raised.value)


def test_missing_data_are_named(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match='no folder .*nowhere'):
        check_before_queueing(small(), tmp_path / 'nowhere')
    root = write_blocks(tmp_path / 'broken')
    mask = next((root / 'masks/train').iterdir())
    mask.unlink()
    with pytest.raises(FileNotFoundError, match=mask.stem):
        check_before_queueing(small(), root)
    for path in (root / 'images/val').iterdir():
        path.unlink()
    (root / 'images/val').rmdir()
    with pytest.raises(FileNotFoundError, match="no pictures of the split 'val'|masks"):
        check_before_queueing(small(), root)


@pytest.mark.parametrize('template', [SEGFORMER, SEGMENTER, GENERAL])
def test_weights_that_cannot_be_had_are_named_with_their_folder(weights, template):
    fields = small(template, pretrained_weights='ade20k').train_params
    name = 'segmenter_vit-t_mask_ade20k' if template == SEGMENTER else 'segformer_mit-b0_ade20k'
    path = weights / PUBLISHED[name].cache_path
    with pytest.raises(FileNotFoundError) as raised:
        find_weights(fields)
    message = str(raised.value)
    assert message.startswith(f'pretrained_weights of ade20k: cannot download {name} (')
    assert message.endswith(f'put the file at {path}, or set pretrained_weights: None')
    path.write_bytes(b'put there by hand')
    assert find_weights(fields) == path


def test_weights_of_another_network_are_refused(folder, tmp_path):
    path = tmp_path / 'mine.pth'
    params = small(pretrained_weights=str(path))
    torch.save(build(segformer()).state_dict(), path)
    before = torch.get_rng_state()
    with pytest.raises(
        ValueError, match=f"^pretrained_weights is '{path}': checkpoint {path} does"
    ):
        check_before_queueing(params, folder)
    assert torch.equal(torch.get_rng_state(), before)
    path.write_text('no weights at all')
    with pytest.raises(ValueError, match=f"^pretrained_weights is '{path}': .*{path}"):
        check_before_queueing(params, folder)
    with pytest.raises(ValueError, match=f'folder {tmp_path} holds no weights; expected'):
        check_before_queueing(small(pretrained_weights=str(tmp_path)), folder)


def test_the_messages_are_those_of_the_page(weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = Runs(tmp_path / 'root')
    whole, broken = (write_blocks(tmp_path / name) for name in ('my_folder', 'broken'))
    (whole / 'dataset.yaml').write_text('classes: [background, nucleus]\n')
    runs.datasets.create('nuclei', whole)
    next((broken / 'masks/train').iterdir()).unlink()
    torch.save(build(segformer()).state_dict(), 'mine.pth')
    changes = {
        'out of bounds': dict(batch_size=17),
        'three image sizes': dict(image_size=[1, 2, 3]),
        'a wrong type': dict(num_epochs='5'),
        'an unknown key': dict(bach_size=2),
        'no template': dict(template=None),
        'a field of another template': dict(decoder='mask'),
        'text that YAML takes for a number': dict(dataset_version_id=123456),
        'missing data': dict(dataset_id='nuclie'),
        'a missing mask': dict(dataset_id=str(broken)),
        'an unknown concept': dict(concepts=['nuceus']),
        'a batch larger than the data set': dict(batch_size=8),
        'weights that cannot be had': dict(pretrained_weights='ade20k'),
        'weights that are not published': dict(
            template=SEGMENTER, decoder='linear', backbone='vit-t', pretrained_weights='ade20k'
        ),
        'weights of another network': dict(pretrained_weights='mine.pth'),
        'no such device': dict(device='cuda:1'),
    }
    table = PAGE.read_text(encoding='utf-8').partition('| what | message |\n| --- | --- |\n')[2]
    rows = dict(re.findall(r'^\| (.*) \| `(.*)` \|$', table, re.M))
    assert rows.keys() == changes.keys()
    if torch.cuda.is_available():
        del rows['no such device']
    for what, shown in rows.items():
        content = small(dataset_id='nuclei').content()
        for name, value in changes[what].items():
            (content if name in content else content['train_params'])[name] = value
        with pytest.raises((ValueError, OSError)) as raised:
            runs.plan(parse_params(content, 'p.yaml'))
        pattern = re.escape(shown).replace(re.escape('...'), '.*')
        assert re.fullmatch(pattern, str(raised.value).removeprefix('p.yaml: ')), raised.value
    assert runs.list() == [] and runs.datasets.versions('nuclei') == []


@pytest.mark.slow
def test_ade20k_is_where_a_training_starts(folder, weights, tmp_path):
    """With a rate of zero the encoder stays what the file holds; the classifier is new."""
    params = small(pretrained_weights='ade20k', per_item_lrate=0.0)
    config_path = tmp_path / 'composed.py'
    config_path.write_text(compose(params, folder, 6))
    config = load_config(str(config_path))
    config.model.decode_head.num_classes = 150
    with DefaultScope.overwrite_default_scope(SCOPE):
        published = MODELS.build(config.model).state_dict()
    path = weights / PUBLISHED['segformer_mit-b0_ade20k'].cache_path
    torch.save({'state_dict': published}, path)
    assert check_before_queueing(params, folder) == look_at_data(folder)
    train(load_config(str(config_path)), str(tmp_path / 'run'))
    found = torch.load(tmp_path / 'run/epoch_1.pth', weights_only=True)['state_dict']
    kept = [name for name in published if name.startswith('backbone.')]
    assert len(kept) > 100
    assert all(torch.equal(found[name], published[name]) for name in kept)
    assert found['decode_head.conv_seg.weight'].shape[0] == len(CLASSES)
