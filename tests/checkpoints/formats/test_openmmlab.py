import numpy as np
import pytest
import torch
from generated_weights import assert_close, build, mit, save, segformer, segmenter, vit
from reference_networks import randomised

from mmseg_custom.checkpoints.formats.openmmlab import describe
from mmseg_custom.checkpoints.loading import load_weights, open_weights
from mmseg_custom.registry import MODELS, register_all


@pytest.mark.parametrize(
    ('config', 'head'),
    [
        (segformer(head=dict(type='SegformerHead'), patch_norm_cfg=None, sr_norm_cfg=None), 'conv'),
        (segmenter('mask', img_size=64), 'mask'),
        (segmenter('linear', img_size=64), 'linear'),
    ],
    ids=['conv', 'mask', 'linear'],
)
def test_a_stock_segmentors_file_is_computed_with_the_same_numbers(tmp_path, images, config, head):
    register_all()
    own = ('patch_norm_cfg', 'sr_norm_cfg')
    backbone = {key: value for key, value in config['backbone'].items() if key not in own}
    stock_config = dict(config, backbone=backbone, type='mmseg.EncoderDecoder', _scope_='mmseg')
    stock = randomised(MODELS.build(stock_config))
    path = save(stock, tmp_path / 'x.pth', meta={'dataset_meta': {'classes': tuple('abcde')}})
    ours = build(config)
    report = load_weights(ours, path)
    assert report.description.head == head and report.description.classes == tuple('abcde')
    assert not (report.new or report.unused or report.notes)
    with torch.no_grad():
        wanted, logits = stock(images), ours(images, mode='tensor')
    assert (logits - wanted).abs().max() <= 1e-5 * wanted.abs().max()


@pytest.mark.parametrize(
    'config',
    [mit(patch_norm_cfg=None, sr_norm_cfg=None), vit(img_size=64)],
    ids=lambda config: config['type'],
)
def test_a_stock_backbones_file_is_computed_with_the_same_numbers(tmp_path, images, config):
    register_all()
    stock_config = {k: v for k, v in config.items() if k not in ('patch_norm_cfg', 'sr_norm_cfg')}
    stock = randomised(MODELS.build(dict(stock_config, _scope_='mmseg')))
    ours = build(config)
    report = load_weights(ours, save(stock, tmp_path / 'x.pth'))
    assert report.description.source == 'OpenMMLab' and not (report.new or report.unused)
    with torch.no_grad():
        for out, wanted in zip(ours(images), stock(images), strict=True):
            assert_close(out, wanted, 1e-5)


def test_a_segmentors_file_fills_a_backbone(tmp_path):
    whole = randomised(build(segformer()))
    path = save(whole, tmp_path / 'x.pth', meta={})
    backbone = build(segformer()).backbone
    report = load_weights(backbone, path)
    for name, value in whole.backbone.state_dict().items():
        assert torch.equal(backbone.state_dict()[name], value), name
    assert all(name.startswith('decode_head.') for name in report.unused)


def test_weights_of_data_parallel_training(tmp_path):
    whole = build(segmenter())
    weights = {f'module.{name}': value for name, value in whole.state_dict().items()}
    torch.save({'state_dict': weights}, tmp_path / 'x.pth')
    report = load_weights(build(segmenter()), tmp_path / 'x.pth')
    assert len(report.loaded) == len(weights) and not report.new


def test_sizes_of_the_published_networks():
    def shapes(dim, depths):
        found = {}
        for stage, (factor, depth) in enumerate(zip((1, 2, 5, 8), depths, strict=True)):
            prefix = f'backbone.layers.{stage}'
            found[f'{prefix}.0.projection.weight'] = (dim * factor, 3, 3, 3)
            for layer in range(depth):
                found[f'{prefix}.1.{layer}.norm1.weight'] = (dim * factor,)
        return found

    found = describe(shapes(64, (3, 6, 40, 3)))
    assert (found.size, found.heads) == ('MiT-B5', (1, 2, 5, 8))
    assert describe(shapes(32, (2, 2, 2, 2))).size == 'MiT-B0'
    assert describe(shapes(48, (2, 2, 2, 2))).size == (
        'MiT of depths (2, 2, 2, 2) and widths (48, 96, 240, 384)'
    )


def test_safetensors_of_ours_keeps_what_it_says(tmp_path):
    from mmseg_custom.checkpoints.saving import meta_of, serialise

    whole = build(segmenter())
    save(
        whole, tmp_path / 'x.pth', meta={'CLASSES': list('abcde'), 'PALETTE': np.eye(5, 3).tolist()}
    )
    opened = open_weights(tmp_path / 'x.pth')
    opened.description.eps, opened.description.heads = {'norm': 1e-5}, (3,)
    for suffix in ('.pth', '.safetensors'):
        path = tmp_path / f'y{suffix}'
        path.write_bytes(serialise(opened.state_dict, meta_of(opened), suffix))
        again = open_weights(path)
        assert again.description == opened.description
        assert again.state_dict.keys() == opened.state_dict.keys()
