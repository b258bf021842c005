import copy
import re

import pytest
import torch
from generated_weights import augreg_arrays, build, save, segformer, segmenter, vit
from reference_networks import NVlabsMiT, NVlabsSegFormer, TimmViT, randomised

from mmseg_custom.checkpoints.adapt import (
    describe_model,
    resize_positions,
)
from mmseg_custom.checkpoints.comparing import options_of
from mmseg_custom.checkpoints.loading import load_weights
from mmseg_custom.engine.config import load_config


@pytest.fixture
def nvlabs(tmp_path):
    return save(randomised(NVlabsSegFormer()), tmp_path / 'segformer.pth')


@pytest.fixture
def mit_path(tmp_path):
    return save(randomised(NVlabsMiT(num_classes=1000)), tmp_path / 'mit.pth')


def test_the_table_says_what_became_of_each_parameter(nvlabs):
    shown = []
    report = load_weights(
        build(segformer(num_classes=7)), nvlabs, new_classes=True, show=shown.append
    )
    lines = shown[0].splitlines()
    assert shown == [str(report)]
    assert lines[0].startswith(f'{nvlabs}: MiT of depths')
    assert "segmentor of NVlabs with the authors' MLP decoder 12 wide for 5 classes" in lines[0]
    assert lines[1].split() == ['parameters', 'loaded', 'new', 'unused', 'wrong', 'shape']
    table = {line.split()[0]: line.split()[1:] for line in lines[3:]}
    assert table['backbone'] == [str(sum(n.startswith('backbone') for n in report.loaded)), *'---']
    # Four projections with bias, the fusion and its norm; the classifier of the file and conv_seg.
    assert table['decode_head'] == ['14', '2', '2', '2']
    assert report.new == report.wrong_shape
    assert report.new == ['decode_head.conv_seg.weight', 'decode_head.conv_seg.bias']
    assert lines[-1] == 'the classifier is new: the file has 5 classes, the model 7'


def test_another_class_count_needs_to_be_asked_for(nvlabs):
    model = build(segformer(num_classes=7))
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError) as caught:
        load_weights(model, nvlabs, model_name='config x.py')
    message = str(caught.value)
    assert message.startswith(f'checkpoint {nvlabs} does not fit config x.py: it holds a MiT of')
    assert 'the file has 5 classes, the model 7' in message and 'new_classes=True' in message
    assert '\n' not in message
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), f'{name} changed although loading failed'


def test_masks_of_other_classes(tmp_path):
    source = randomised(build(segmenter()))
    path = save(source, tmp_path / 'x.pth')
    model = build(segmenter(num_classes=3))
    report = load_weights(model, path, new_classes=True)
    of_classes = ['cls_emb', 'mask_norm.weight', 'mask_norm.bias']
    assert sorted(report.new) == sorted(f'decode_head.{name}' for name in of_classes)
    assert torch.equal(model.decode_head.dec_proj.weight, source.decode_head.dec_proj.weight)


def test_a_backbone_is_no_segmentor(mit_path):
    model = build(segformer())
    with pytest.raises(
        ValueError, match=r'ImageNet MiT .* no decoder; the file has no decoder; .*'
    ):
        load_weights(model, mit_path)
    report = load_weights(model, mit_path, new_decoder=True)
    assert all(name.startswith('decode_head.') for name in report.new) and report.new
    assert report.notes == ['the decoder is new: the file has none']
    assert all(name.startswith('backbone.') for name in report.loaded)


def test_another_size_names_the_options(tmp_path):
    torch.manual_seed(0)
    source = NVlabsMiT((64, 128, 320, 512), (3, 4, 6, 3))
    path = save(source, tmp_path / 'mit_b0.pth')
    model = build(
        segformer(embed_dims=32, num_layers=[2, 2, 2, 2], head=dict(in_channels=[32, 64, 160, 256]))
    )
    with pytest.raises(ValueError) as caught:
        load_weights(model, path, new_decoder=True)
    assert (
        'the file holds MiT-B2 weights, the model is MiT-B0; set model.backbone.embed_dims=64, '
        'model.backbone.num_layers=[3,4,6,3], model.decode_head.in_channels=[64,128,320,512]'
    ) in str(caught.value)


def test_another_vit_names_the_options(tmp_path):
    source = build(segmenter(embed_dims=192, num_layers=12))
    weights = {k: v for k, v in source.state_dict().items() if k.startswith('backbone.')}
    torch.save(weights, tmp_path / 'vit.pth')
    with pytest.raises(ValueError) as caught:
        load_weights(build(segmenter()), tmp_path / 'vit.pth', new_decoder=True)
    message = str(caught.value)
    assert 'holds ViT-Ti/8 weights, the model is ViT of depth 2 and width 24/8; set ' in message
    options = re.findall(r'model\.(\w+)\.(\w+)=(\d+)', message)
    config = segmenter()
    for part, key, value in options:
        config[part][key] = int(value)
    assert load_weights(build(config), tmp_path / 'vit.pth', new_decoder=True).loaded


def test_another_decoder(nvlabs):
    with pytest.raises(
        ValueError,
        match="the file has the authors' MLP decoder, the model has OpenMMLab's convolution "
        r'decoder; set model\.decode_head\.type=SegformerMLPHead',
    ):
        load_weights(build(segformer(head=dict(type='SegformerHead'))), nvlabs)
    with pytest.raises(ValueError, match=r"is 12 wide, the model's 16; set .*channels=12"):
        load_weights(build(segformer(head=dict(channels=16))), nvlabs)


def test_incomplete_and_foreign_files(tmp_path, nvlabs):
    weights = build(segformer()).state_dict()
    del weights['backbone.layers.3.2.bias'], weights['decode_head.linear_c2.proj.weight']
    weights['backbone.extra'] = torch.zeros(2)
    torch.save(weights, tmp_path / 'x.pth')
    with pytest.raises(ValueError) as caught:
        load_weights(build(segformer()), tmp_path / 'x.pth')
    assert '2 of 108 missing (first: backbone.layers.3.2.bias)' in str(caught.value)
    assert '1 unexpected (first: backbone.extra)' in str(caught.value)
    torch.save({'conv1.weight': torch.zeros(3)}, tmp_path / 'y.pth')
    with pytest.raises(
        ValueError, match=r'weights of an unknown network; .* \(first: conv1.weight\)'
    ):
        load_weights(build(segformer()), tmp_path / 'y.pth')


@pytest.mark.parametrize(
    'missing',
    ['backbone.layers.1.1.0.norm1.weight', 'backbone.layers.2.1.0.attn.sr.bias', 'conv_seg'],
)
def test_incomplete_files_are_called_incomplete(tmp_path, missing):
    weights = build(segformer()).state_dict()
    weights = {name: value for name, value in weights.items() if missing not in name}
    torch.save(weights, tmp_path / 'x.pth')
    with pytest.raises(ValueError) as caught:
        load_weights(build(segformer()), tmp_path / 'x.pth')
    message = str(caught.value)
    assert 'missing (first: ' in message and 'the file is incomplete' in message, message
    assert 'None' not in message and 'weights, the model is' not in message


def test_incomplete_vits(tmp_path):
    import numpy as np

    arrays = augreg_arrays(TimmViT())
    for name in ('embedding/bias', 'Transformer/encoderblock_1/LayerNorm_0/scale'):
        np.savez(tmp_path / 'x.npz', **{k: v for k, v in arrays.items() if k != name})
        with pytest.raises(ValueError, match=r'1 of \d+ missing .*the file is incomplete'):
            load_weights(build(vit()), tmp_path / 'x.npz')


def test_an_auxiliary_head_may_be_new(tmp_path):
    path = save(build(segmenter('linear')), tmp_path / 'x.pth')
    config = segmenter('linear')
    config['auxiliary_head'] = dict(config['decode_head'], in_index=0)
    report = load_weights(build(config), path)
    assert report.new == ['auxiliary_head.conv_seg.weight', 'auxiliary_head.conv_seg.bias']


@pytest.mark.parametrize('mode', ['bicubic', 'nearest'])
def test_positions_are_resized_as_the_config_says(tmp_path, mode):
    import numpy as np

    network = randomised(TimmViT())
    np.savez(tmp_path / 'vit.npz', **augreg_arrays(network))
    model = build(vit(img_size=(48, 64), interpolate_mode=mode))
    report = load_weights(model, tmp_path / 'vit.npz')
    grid = network.pos_embed[:, 1:].detach().unflatten(1, (4, 4)).permute(0, 3, 1, 2)
    corners = False if mode == 'bicubic' else None
    wanted = torch.nn.functional.interpolate(grid, (6, 8), mode=mode, align_corners=corners)
    assert torch.equal(model.pos_embed[:, 1:], wanted.flatten(2).transpose(1, 2))
    assert torch.equal(model.pos_embed[:, :1], network.pos_embed[:, :1])
    assert report.adapted == {'backbone.pos_embed': f'resized from 4x4 to 6x8 patches ({mode})'}


@pytest.mark.parametrize('meta', ['recorded', 'config', 'nothing'])
@pytest.mark.parametrize('size', [(16, 64), (32, 64)], ids=['as many as a square', 'no square'])
def test_positions_of_pictures_that_are_no_square(tmp_path, size, meta):
    source = randomised(build(vit(img_size=size)))
    texts = {
        'recorded': {'mmseg_custom': describe_model(source, 'backbone.').as_dict()},
        'config': {
            'cfg': f"model = dict(backbone=dict(type='VisionTransformer', img_size={size}))"
        },
    }
    path = save(source, tmp_path / 'x.pth', meta=texts.get(meta, {}))
    same = build(vit(img_size=size))
    assert load_weights(same, path).adapted == {}
    assert torch.equal(same.pos_embed, source.pos_embed)
    model = build(vit(img_size=(32, 48)))
    old = (size[0] // 8, size[1] // 8)
    if meta == 'nothing' and size == (32, 64):
        with pytest.raises(ValueError, match='32 patches, which fill no square.*backbone.img_size'):
            load_weights(model, path)
        return
    old = (4, 4) if meta == 'nothing' else old
    report = load_weights(model, path)
    change = f'resized from {old[0]}x{old[1]} to 4x6 patches (bicubic)'
    assert report.adapted == {'backbone.pos_embed': change}
    wanted = resize_positions(source.pos_embed, old, (4, 6), 'bicubic')
    assert torch.equal(model.pos_embed, wanted)
    # As many positions in another arrangement are not the same.
    changed = load_weights(build(vit(img_size=(64, size[0] * size[1] // 64))), path).adapted
    assert bool(changed) == (meta != 'nothing')


def test_recorded_pictures_of_another_file(tmp_path):
    meta = {'mmseg_custom': {'image_size': [64, 64]}}
    path = save(build(vit()), tmp_path / 'x.pth', meta=meta)
    with pytest.raises(ValueError, match=r'64x64 pixels .* 8x8 patches, but .* for 16;'):
        load_weights(build(vit()), path)


def test_normalisations_of_other_lengths_differ(nvlabs):
    config = segformer()
    config['data_preprocessor'] = dict(type='SegDataPreProcessor', mean=[1.0], std=[2.0])
    (note,) = load_weights(build(config), nvlabs).notes
    assert note.startswith('normalisation: mean [123.675,116.28,103.53]') and 'mean [1]' in note


def test_normalisation_of_nvlabs_is_compared(nvlabs):
    config = segformer()
    config['data_preprocessor'].update(mean=[127.5] * 3, std=[127.5] * 3)
    (note,) = load_weights(build(config), nvlabs).notes
    assert 'model.data_preprocessor.mean=[123.675,116.28,103.53]' in note


def test_recorded_epsilons_are_compared(tmp_path):
    source = build(segformer())
    meta = {'mmseg_custom': describe_model(source).as_dict()}
    path = save(source, tmp_path / 'x.pth', meta=meta)
    assert load_weights(build(segformer()), path).notes == []
    (note,) = load_weights(build(segformer(norm_cfg=dict(type='LN', eps=1e-3))), path).notes
    assert 'norm 1e-06 in the file, 0.001 in the model' in note


def test_label_zero_is_compared_with_the_data_set(tmp_path):
    meta = {'dataset_meta': {'classes': tuple('abcde'), 'reduce_zero_label': True}}
    path = save(build(segformer()), tmp_path / 'x.pth', meta=meta)
    (note,) = load_weights(
        build(segformer()), path, dataset_meta={'reduce_zero_label': False}
    ).notes
    assert note.startswith('labels: 0 is ignored in the file, is a class in the data set')
    assert not load_weights(build(segformer()), path, dataset_meta=meta['dataset_meta']).notes


def test_class_names_are_compared_with_the_data_set(tmp_path):
    meta = {'dataset_meta': {'classes': ('bed ', 'traffic_light', 'Sky', 'tree', 'road')}}
    path = save(build(segformer()), tmp_path / 'x.pth', meta=meta)

    def load(*classes, **options):
        model = build(segformer(num_classes=len(classes)))
        return load_weights(model, path, dataset_meta={'classes': classes}, **options).notes

    # Case and separators do not count.
    assert load('bed', 'traffic light', 'sky', 'tree', 'road') == []
    (note,) = load('bed', 'traffic light', 'sky', 'plant', 'road')
    assert note == "class names: class 3 is 'tree' in the file, 'plant' in the data set"
    # One word for two things is no other order.
    assert len(load('bed', 'traffic light', 'blue sky', 'sky', 'road')) == 1
    swapped = ('bed', 'traffic light', 'tree', 'sky', 'road')
    with pytest.raises(ValueError, match=r"class 2 is 'Sky' .* in another order.*metainfo.classes"):
        load(*swapped)
    # A training learns them anew.
    (note,) = load(*swapped, new_decoder=True)
    assert note == "class names: class 2 is 'Sky' in the file, 'tree' in the data set"
    notes = load('a', 'b', new_classes=True)
    assert notes == ['the classifier is new: the file has 5 classes, the model 2']


@pytest.mark.parametrize('eps', [{}, dict(norm=1e-4, patch_norm=1e-4, sr_norm=1e-4)])
@pytest.mark.parametrize(
    'path',
    ['quickstart/segformer_mit-b0_quickstart.py', 'segformer/segformer-mlp_mit-b0_folder.py'],
)
def test_the_printed_options_give_the_numbers(nvlabs, path, eps):
    """As a user copies them to the command line; the second config names each kind of norm."""
    from mmseg_custom.checkpoints.loading import open_weights

    weights = open_weights(nvlabs)
    weights.description.eps.update(eps)
    weights.description.mean, weights.description.std = (1.0, 2.0, 3.5), (4.0, 5.0, 6.0)
    options = [option.strip('"') for option in options_of(weights.description)]
    small = ['embed_dims=8', 'num_layers=[1,1,1,1]', 'num_heads=[1,2,5,8]']
    config = load_config(
        f'configs/{path}',
        [
            *(f'model.backbone.{option}' for option in small),
            *('model.decode_head.in_channels=[8,16,40,64]', 'model.decode_head.num_classes=5'),
            *options,
        ],
    )
    config.model.decode_head.norm_cfg.type = 'BN'
    assert load_weights(build(config.model), weights).notes == []


def test_the_final_norm_belongs_to_a_decoder_that_is_loaded(tmp_path):
    source = randomised(build(segmenter()))
    path = save(source, tmp_path / 'x.pth')
    without = build(segmenter(final_norm=False))
    with pytest.raises(ValueError, match=r'final norm.*set model\.backbone\.final_norm=True'):
        load_weights(without, path)
    # A backbone alone, of which the decoder takes what it likes.
    names = ['backbone.ln1.weight', 'backbone.ln1.bias']
    assert set(names) <= set(load_weights(without.backbone, path).unused)
    encoder = save(source.backbone, tmp_path / 'encoder.pth')
    assert load_weights(without, encoder, new_decoder=True).unused == names


def test_batch_norms_without_a_counter(tmp_path):
    """Batch norms of before PyTorch 0.4.1 have no counter."""
    weights = build(segformer()).state_dict()
    weights = {k: v for k, v in weights.items() if not k.endswith('num_batches_tracked')}
    torch.save(weights, tmp_path / 'x.pth')
    assert len(load_weights(build(segformer()), tmp_path / 'x.pth').loaded) == len(weights)


def test_the_bias_of_the_patch_embedding(tmp_path):
    """mmseg 1.2 leaves it out by default; the published Segmenters and ViTs have it."""
    with_bias, without = randomised(build(segmenter())), build(segmenter(patch_bias=False))
    path = save(with_bias, tmp_path / 'with.pth')
    with pytest.raises(ValueError, match=r'none in the model.*set model.backbone.patch_bias=True'):
        load_weights(without, path)
    path = save(without, tmp_path / 'without.pth')
    report = load_weights(with_bias, path)
    name = 'backbone.patch_embed.projection.bias'
    assert report.adapted == {name: 'zero: the file has none'}
    assert not with_bias.backbone.patch_embed.projection.bias.any()
    path = save(with_bias, tmp_path / 'zero.pth')
    assert load_weights(without, path).unused == [name]
