"""Real exports: one small network by default, every kind and size in the slow tests."""

import copy
import sys

import numpy as np
import onnxruntime
import pytest
import torch
from generated_data import write_dataset
from generated_weights import build, segformer, segmenter
from mmengine.config import Config
from PIL import Image
from tool_modules import TOOLS, load_tool

from mmseg_custom.deployment.checked_file import Wanted
from mmseg_custom.deployment.onnx_export import compare_file, export_network, export_onnx
from mmseg_custom.deployment.onnx_graph import NETWORK_INPUT, NETWORK_OUTPUT
from mmseg_custom.deployment.parity import ParityError
from mmseg_custom.deployment.parity_pictures import Source, find_pictures
from mmseg_custom.engine.config import drop_pretrained, load_config
from mmseg_custom.inference.inferencer import Inferencer
from mmseg_custom.inference.onnx_model import OnnxSegmentor

TOOL = load_tool('deployment/export_onnx.py').main
CLASSES = ('left', 'right', 'middle')
# One layer, windows smaller than the pictures, of another shape than the position embedding.
TINY = segmenter('linear', num_classes=3, num_layers=1, img_size=(32, 24))
TINY['test_cfg'] = dict(mode='slide', crop_size=(32, 40), stride=(24, 24))
RESIZE = dict(type='Resize', scale=(96, 48), keep_ratio=True)


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """A config, a checkpoint and validation data; their folder."""
    folder = tmp_path_factory.mktemp('tiny')
    val = dict(type='FolderDataset', data_root=str(folder / 'data'), split='val')
    val['metainfo'] = dict(classes=CLASSES)
    write_dataset(val, folder / 'data', 3, count=2, size=(64, 96))
    steps = [dict(type='LoadImageFromFile'), RESIZE, dict(type='LoadAnnotations')]
    val['pipeline'] = [*steps, dict(type='PackSegInputs')]
    loader = dict(dataset=val)
    config = dict(default_scope='mmseg_custom', model=TINY)
    Config({**config, 'val_dataloader': loader, 'test_dataloader': loader}).dump(folder / 'tiny.py')
    torch.manual_seed(0)
    model = build(TINY)
    torch.nn.init.normal_(model.decode_head.conv_seg.weight)
    meta = dict(dataset_meta=dict(classes=CLASSES, palette=[[0, 0, 0], [9, 9, 9], [0, 0, 99]]))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), folder / 'tiny.pth')
    return folder


@pytest.fixture(scope='module')
def exported(files):
    """The file that the tool writes, and what it prints."""
    shown = []
    source = Source(files / 'tiny.py', files / 'tiny.pth')
    wanted = Wanted(files / 'tiny.onnx', '.onnx')
    return export_onnx(source, wanted, with_preprocessing=True, show=shown.append), shown


def test_the_report_and_the_file(exported, files):
    report, shown = exported
    assert report.num_pictures == 2 and report.max_difference < 1e-5
    assert report.label_agreement == 1 and report.miou_difference == 0
    assert 0 < report.reference_miou < 100
    assert f'2 of 2 labelled pictures of {files / "data"}\nparity on 2 pictures\n' in shown[-1]
    assert [path.name for path in files.glob('*.onnx')] == ['tiny.onnx']
    model = OnnxSegmentor(files / 'tiny.onnx', 'cpu')
    assert model.dataset_meta['classes'] == CLASSES
    facts = {key: model.metadata[key] for key in ('resize', 'windows', 'kind', 'mean')}
    assert facts == dict(
        resize=dict(scale=[96, 48], keep_ratio=True),
        windows=dict(size=[32, 40], stride=[24, 24]),
        kind='multiclass',
        mean=[127.5] * 3,
    )


@pytest.mark.parametrize('size', [(1, 1), (50, 31), (30, 97)])
def test_other_sizes(exported, files, size):
    """Also such that the windows have as many patches as the position embedding, or fewer."""
    picture = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    torch_says = Inferencer(files / 'tiny.py', files / 'tiny.pth', 'cpu', probs=True)(picture)
    file_says = Inferencer(files / 'tiny.onnx', probs=True)(picture)
    np.testing.assert_allclose(file_says.probs, torch_says.probs, atol=1e-5)


def test_a_file_of_other_weights_does_not_pass(exported, files):
    inferencer = Inferencer(files / 'tiny.py', files / 'tiny.pth', 'cpu', probs=True)
    inferencer.model.decode_head.conv_seg.weight.data[0].neg_()
    report = compare_file(inferencer, files / 'tiny.onnx', find_pictures(inferencer, None))
    with pytest.raises(ParityError, match='probabilities differ by up to'):
        report.check()


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(out='tiny.bin'), r'OUT is .*tiny\.bin; expected a name that ends with \.onnx'),
        (dict(out='there.onnx'), r'there\.onnx exists; choose another name, or give --overwrite'),
        (
            dict(out='folder.onnx', options=['--overwrite']),
            r'folder\.onnx is a folder of other files; choose another name',
        ),
        (dict(options=['--data', 'gone']), '--data gone does not exist; expected a folder of pic'),
        (dict(options=['--num-pictures', '-1']), '--num-pictures -1: expected 0'),
        (dict(weights='other.pth'), r'other\.pth does not fit config .*tiny\.py'),
        (dict(weights=None), r'config .*tiny\.py has no weights; name a checkpoint after it'),
        (
            dict(config='padded.py', options=['--with-preprocessing']),
            r"test pipeline has \{'type': 'Pad', .*export without --with-preprocessing",
        ),
    ],
    ids=['suffix', 'exists', 'folder', 'no folder', 'number', 'another model', 'no weights', 'pad'],
)
def test_mistakes_are_seen_before_the_export(files, changes, message):
    padded = load_config(str(files / 'tiny.py'))
    padded.test_dataloader.dataset.pipeline.insert(2, dict(type='Pad', size_divisor=32))
    padded.dump(files / 'padded.py')
    (files / 'there.onnx').touch()
    (files / 'folder.onnx').mkdir(exist_ok=True)
    other = build(segformer(3))
    torch.save(dict(state_dict=other.state_dict(), meta={}), files / 'other.pth')
    named = dict(config='tiny.py', weights='tiny.pth', out='new.onnx') | changes
    given = [str(files / named[key]) for key in ('config', 'weights', 'out') if named[key]]
    with pytest.raises((ValueError, OSError), match=message):
        TOOL([*given, *changes.get('options', [])])
    assert not (files / 'new.onnx').exists()


@pytest.mark.parametrize('package', ['onnx', 'onnxruntime', 'onnxscript'])
def test_without_the_extra(files, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "mmseg_custom\[deploy\]"'):
        TOOL([str(files / 'tiny.py'), str(files / 'tiny.pth'), str(files / 'new.onnx')])


@pytest.mark.slow
def test_the_tool_ends_with_status_1(files, run_tool):
    """And leaves no file where the numbers are not good enough; pictures without labels serve."""
    pictures = files / 'pictures'
    pictures.mkdir()
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(pictures / 'black.png')
    call = ['deployment/export_onnx.py', files / 'tiny.py', files / 'tiny.pth']
    call += [files / 'failed.onnx', '--data', pictures]
    done = run_tool(*call, '--agreement', '1.1')
    assert done.returncode == 1 and 'no mIoU' in done.stdout
    assert done.stderr.strip().splitlines()[-1].startswith('error: the file does not predict what')
    assert not [*files.glob('*failed*')]


ONE_CHANNEL = dict(num_classes=2, out_channels=1, loss_decode=dict(type='BinaryCrossEntropyLoss'))
MASK_OF_ONE_CHANNEL = segmenter('mask')
MASK_OF_ONE_CHANNEL['decode_head'].update(ONE_CHANNEL)
SMALL = {
    'MLP decoder': segformer(),
    'convolution decoder': segformer(head=dict(type='SegformerHead')),
    'mask decoder': segmenter('mask'),
    'linear decoder': segmenter('linear'),
    'mask decoder, one channel': MASK_OF_ONE_CHANNEL,
    'padded on all sides': segmenter('mask', patch_pad='same', interpolate_mode='bilinear'),
    'one channel': segformer(head=ONE_CHANNEL),
}


def assert_same_logits(config: dict, sizes: list[tuple[int, int, int]]) -> None:
    """Export a network with random weights and compare the logits of images (N, 3, H, W)."""
    torch.manual_seed(0)
    model = build(config)
    model.cfg = Config(dict(model=config))
    proto = export_network(model)
    assert {one.domain for one in proto.opset_import if one.domain} <= {'pkg.onnxscript.torch_lib'}
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    for number, height, width in sizes:
        images = torch.randn(number, 3, height, width)
        with torch.no_grad():
            wanted = model.decode_head(model.extract_feat(images)).numpy()
        (found,) = session.run([NETWORK_OUTPUT], {NETWORK_INPUT: images.numpy()})
        assert found.shape == wanted.shape
        assert np.abs(found - wanted).max() < 1e-4 * max(1, np.abs(wanted).max()), (height, width)


@pytest.mark.slow
@pytest.mark.parametrize('name', SMALL)
def test_every_kind_at_every_size(name):
    cell = 33 if SMALL[name]['backbone']['type'] == 'MixVisionTransformer' else 8
    sizes = [(1, cell, cell), (1, cell, 200), (3, 127, 203), (1, 512, 512), (2, 64, 40)]
    # As many patches as positions, in another shape.
    assert_same_logits(SMALL[name], [*sizes, (1, 64, 128), (1, 40, 33)])


# Each size once, with one decoder and the other by turns.
PUBLISHED = [
    *[f'segformer/segformer{("", "-mlp")[n % 2]}_mit-b{n}_8xb2' for n in range(6)],
    *[
        f'segmenter/segmenter_vit-{size}_{head}_8xb1'
        for size, head in zip('tsbl', ('fcn', 'mask') * 2)
    ],
]


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize('name', PUBLISHED)
def test_every_size(name):
    config = load_config(str(TOOLS.parent / f'configs/{name}-160k_ade20k-512x512.py'))
    drop_pretrained(config)
    model = copy.deepcopy(config.model.to_dict())
    model.setdefault('data_preprocessor', config.data_preprocessor.to_dict())
    assert_same_logits(model, [(1, 127, 203), (2, 64, 96)])
