"""ViTs of AugReg, timm and rstrudel's Segmenter against plain networks with their names."""

import json

import numpy as np
import pytest
import torch
from generated_weights import (
    assert_close,
    augreg_arrays,
    build,
    save,
    segmenter,
    vit,
    write_rstrudel,
)
from official_names import SEGMENTER_TI_LINEAR, SEGMENTER_TI_MASK, shapes_of, tensors_of
from reference_networks import RstrudelSegmenter, TimmViT, randomised

from mmseg_custom.checkpoints.loading import load_weights, open_weights
from mmseg_custom.checkpoints.publish import convert_file

# Ti_16-i21k-300ep ... .npz: names and shapes.
OFFICIAL_TI16 = {
    'cls': (1, 1, 192),
    'embedding/kernel': (16, 16, 3, 192),
    'embedding/bias': (192,),
    'Transformer/posembed_input/pos_embedding': (1, 577, 192),
    'Transformer/encoder_norm/scale': (192,),
    'Transformer/encoderblock_11/LayerNorm_0/scale': (192,),
    'Transformer/encoderblock_11/LayerNorm_2/bias': (192,),
    'Transformer/encoderblock_0/MultiHeadDotProductAttention_1/query/kernel': (192, 3, 64),
    'Transformer/encoderblock_0/MultiHeadDotProductAttention_1/key/bias': (3, 64),
    'Transformer/encoderblock_0/MultiHeadDotProductAttention_1/out/kernel': (3, 64, 192),
    'Transformer/encoderblock_0/MultiHeadDotProductAttention_1/out/bias': (192,),
    'Transformer/encoderblock_0/MlpBlock_3/Dense_0/kernel': (192, 768),
    'Transformer/encoderblock_0/MlpBlock_3/Dense_1/kernel': (768, 192),
    'head/kernel': (192, 1000),
}


def last_map(tokens: torch.Tensor) -> torch.Tensor:
    """Tokens (N, 1 + 16, C) as a map (N, C, 4, 4)."""
    return tokens[:, 1:].transpose(1, 2).unflatten(2, (4, 4))


@pytest.fixture
def small_images(images):
    return images[:, :, :32, :32]


def test_augreg_names_and_shapes_are_the_official_ones(tmp_path):
    network = TimmViT(192, 12, 3, 16, 384, num_classes=1000)
    arrays = augreg_arrays(network)
    assert {name: arrays[name].shape for name in OFFICIAL_TI16} == OFFICIAL_TI16
    # The name says another size, which must not matter.
    np.savez(tmp_path / 'L_16-i21k.npz', **arrays)
    description = open_weights(tmp_path / 'L_16-i21k.npz').description
    assert description.kind == 'ImageNet ViT-Ti/16 backbone of AugReg, no decoder'
    assert (description.heads, description.image_size) == ((3,), (384, 384))


@pytest.mark.parametrize(
    ('sizes', 'name'),
    [
        ((384, 12, 6, 32, 64), 'ViT-S/32'),
        pytest.param((768, 12, 12, 16, 32), 'ViT-B/16', marks=pytest.mark.slow),
    ],
)
def test_sizes_come_from_the_arrays(tmp_path, sizes, name):
    with torch.device('meta'):
        network = TimmViT(*sizes)
    arrays = augreg_arrays(network.to_empty(device='cpu'))
    np.savez(tmp_path / 'x.npz', **arrays)
    assert open_weights(tmp_path / 'x.npz').description.size == name


def test_augreg_computes_the_same_tokens(tmp_path, small_images):
    network = randomised(TimmViT())
    np.savez(tmp_path / 'vit.npz', **augreg_arrays(network))
    ours = build(vit())
    report = load_weights(ours, tmp_path / 'vit.npz')
    assert not report.new and not report.notes
    with torch.no_grad():
        assert_close(ours(small_images)[0], last_map(network(small_images)))


def test_timm_computes_the_same_tokens(tmp_path, small_images):
    from safetensors.torch import save_file

    network = randomised(TimmViT())
    ours = build(vit())
    save_file(network.state_dict(), tmp_path / 'model.safetensors')
    torch.save({'model': network.state_dict()}, tmp_path / 'deit.pth')
    for file in (tmp_path / 'model.safetensors', tmp_path / 'deit.pth', tmp_path):
        ours.init_weights()
        report = load_weights(ours, file)
        assert report.description.source == 'timm' and not report.new
        with torch.no_grad():
            assert_close(ours(small_images)[0], last_map(network(small_images)))


def test_timm_itself_reads_the_same(tmp_path, small_images):
    timm = pytest.importorskip('timm')
    network = randomised(TimmViT())
    np.savez(tmp_path / 'vit.npz', **augreg_arrays(network))
    sizes = dict(img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=3, num_classes=10)
    theirs = timm.models.vision_transformer.VisionTransformer(**sizes).eval()
    theirs.load_pretrained(str(tmp_path / 'vit.npz'))
    ours = build(vit())
    load_weights(ours, tmp_path / 'vit.npz')
    with torch.no_grad():
        assert_close(ours(small_images)[0], last_map(theirs.forward_features(small_images)))


@pytest.mark.parametrize(
    ('decoder', 'official'), [('mask', SEGMENTER_TI_MASK), ('linear', SEGMENTER_TI_LINEAR)]
)
def test_rstrudels_names_and_shapes_are_the_official_ones(tmp_path, decoder, official):
    sizes = dict(channels=192, depth=12, heads=3, side=16, image=512, encoder_classes=1000)
    network = RstrudelSegmenter(decoder, 150, **sizes)
    assert shapes_of(network) == official
    path = write_rstrudel(tmp_path, network)
    weights = tensors_of(official)
    torch.save({'model': weights}, path)
    config = segmenter(
        decoder, 150, img_size=512, patch_size=16, embed_dims=192, num_layers=12, num_heads=3
    )
    config['decode_head'].update(in_channels=192, channels=192)
    if decoder == 'mask':
        config['decode_head'].update(embed_dims=192)
    model = build(config)
    report = load_weights(model, path)
    assert report.description.kind == (
        f'ViT-Ti/16 segmentor of rstrudel with the {decoder} decoder for 150 classes'
    )
    assert not (report.new or report.notes or report.adapted)
    assert report.unused == ['encoder.head.weight', 'encoder.head.bias']
    if decoder == 'mask':
        ours = model.decode_head.patch_proj.weight
        assert torch.equal(ours, weights['decoder.proj_patch'].T)


@pytest.mark.parametrize('decoder', ['mask', 'linear'])
def test_rstrudel_computes_the_same_logits(tmp_path, small_images, decoder):
    network = randomised(RstrudelSegmenter(decoder))
    path = write_rstrudel(tmp_path / 'run', network)
    ours = build(segmenter(decoder))
    report = load_weights(ours, path)
    assert not report.new and not report.notes
    assert report.unused == ['encoder.head.weight', 'encoder.head.bias']
    assert f'with the {decoder} decoder for 5 classes' in report.description.kind
    with torch.no_grad():
        assert_close(ours(small_images, mode='tensor'), network(small_images))


def test_rstrudel_needs_its_variant(tmp_path):
    path = write_rstrudel(tmp_path, RstrudelSegmenter())
    (tmp_path / 'variant.yml').unlink()
    with pytest.raises(ValueError, match=r'needs its variant\.yml.*put it into the same folder'):
        open_weights(path)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'n_cls': 150}, r'variant.yml has n_cls: 150, but the tensors have 5'),
        ({'d_model': 192}, r'd_model: 192, but the tensors have 24'),
        ({'image_size': (64, 64)}, r'image_size: \(64, 64\), but the tensors have \[32, 32\]'),
        ({'n_heads': 5}, r'variant.yml has \[5\] attention heads, but the tensors have \[24\]'),
        ({'decoder': {'name': 'linear'}}, r'name: linear, but the tensors have mask_transformer'),
        ({'decoder': {'n_layers': 3}}, r'variant.yml has n_layers: 3, but the tensors have 2'),
        ({'normalization': 'clip'}, r'normalization: clip, expected vit or deit'),
    ],
)
def test_rstrudel_variant_of_another_file(tmp_path, changes, message):
    path = write_rstrudel(tmp_path, RstrudelSegmenter(), **changes)
    with pytest.raises(ValueError, match=message):
        open_weights(path)


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        ({'num_features': 192}, r'config.json has num_features: 192, but the tensors have 24'),
        ({'num_classes': 1000}, r'config.json has num_classes: 1000, but the tensors have 10'),
    ],
)
def test_timms_config_of_another_file(tmp_path, config, message):
    save(TimmViT(), tmp_path / 'pytorch_model.bin')
    config |= {'pretrained_cfg': {'mean': [0.5] * 3, 'std': [0.5] * 3}}
    (tmp_path / 'config.json').write_text(json.dumps(config))
    with pytest.raises(ValueError, match=message):
        open_weights(tmp_path)


def test_timms_positions_of_pictures_that_are_no_square(tmp_path):
    weights = TimmViT().state_dict()
    weights['pos_embed'] = torch.randn(1, 1 + 4 * 8, 24)
    torch.save(weights, tmp_path / 'pytorch_model.bin')
    assert open_weights(tmp_path).description.image_size is None
    (tmp_path / 'config.json').write_text('{"pretrained_cfg": {"input_size": [3, 32, 64]}}')
    changed = load_weights(build(vit()), tmp_path).adapted
    assert changed == {'backbone.pos_embed': 'resized from 4x8 to 4x4 patches (bicubic)'}


def test_variant_cannot_run_code(tmp_path):
    path = write_rstrudel(tmp_path, RstrudelSegmenter())
    hostile = f"!!python/object/apply:os.system ['touch {tmp_path / 'ran'}']"
    (tmp_path / 'variant.yml').write_text(f'net_kwargs: {hostile}\n')
    with pytest.raises(ValueError, match=r'variant.yml cannot be read: could not determine'):
        open_weights(path)
    assert not (tmp_path / 'ran').exists()


def test_deits_normalisation(tmp_path):
    path = write_rstrudel(tmp_path, RstrudelSegmenter(), normalization='deit')
    assert open_weights(path).description.mean == (123.675, 116.28, 103.53)
    (note,) = load_weights(build(segmenter()), path).notes
    assert 'model.data_preprocessor.mean=[123.675,116.28,103.53]' in note


def distilled(network, prefix=''):
    """The parameters as a distilled DeiT has them, with a second token behind the first."""
    weights = network.state_dict()
    positions = weights[f'{prefix}pos_embed']
    extra = torch.randn(1, 1, positions.shape[2])
    weights[f'{prefix}pos_embed'] = torch.cat((positions[:, :1], extra, positions[:, 1:]), dim=1)
    weights |= {f'{prefix}dist_token': extra, f'{prefix}head_dist.weight': torch.randn(10, 24)}
    return weights


def test_a_distilled_deit_is_an_encoder_to_train_from(tmp_path):
    network = randomised(TimmViT())
    torch.save({'model': distilled(network)}, tmp_path / 'deit.pth')
    torch.save({'model': network.state_dict()}, tmp_path / 'plain.pth')
    ours, plain = build(vit()), build(vit())
    report = load_weights(ours, tmp_path / 'deit.pth')
    load_weights(plain, tmp_path / 'plain.pth')
    for name, value in plain.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value), name
    assert {'dist_token', 'head_dist.weight', 'head.weight'} <= set(report.unused)
    assert 'a distilled DeiT: its distillation token' in str(report).splitlines()[-1]


def test_a_segmenter_on_a_distilled_deit_is_refused(tmp_path):
    path = write_rstrudel(tmp_path, RstrudelSegmenter(), distilled=True)
    torch.save({'model': distilled(RstrudelSegmenter(), 'encoder.')}, path)
    with pytest.raises(ValueError, match=r'a Segmenter on a distilled DeiT.*take a Segmenter with'):
        open_weights(path)


@pytest.mark.parametrize('name', ['norm_pre.weight', 'blocks.0.ls1.gamma'])
def test_other_vits_are_refused(tmp_path, name):
    weights = {**TimmViT().state_dict(), name: torch.zeros(24)}
    torch.save(weights, tmp_path / 'x.pth')
    with pytest.raises(ValueError, match=rf'x.pth: .*{name}'):
        open_weights(tmp_path / 'x.pth')


def test_hybrids_are_refused(tmp_path):
    arrays = {**augreg_arrays(TimmViT()), 'conv_root/kernel': np.zeros((7, 7, 3, 64))}
    np.savez(tmp_path / 'R26.npz', **arrays)
    with pytest.raises(ValueError, match=r'first: conv_root/kernel.*no hybrid'):
        open_weights(tmp_path / 'R26.npz')


def test_heads_of_another_number(tmp_path):
    """The shapes fit, the numbers would not."""
    np.savez(tmp_path / 'vit.npz', **augreg_arrays(TimmViT()))
    with pytest.raises(ValueError, match=r'3 attention heads, the model 4; set .*num_heads=3'):
        load_weights(build(vit(num_heads=4)), tmp_path / 'vit.npz')


def test_heads_of_the_mask_decoder(tmp_path):
    sizes = dict(channels=192, depth=12, heads=3, side=16, image=32)
    path = write_rstrudel(tmp_path / 'run', RstrudelSegmenter(**sizes))
    config = segmenter(embed_dims=192, num_layers=12, patch_size=16)
    config['decode_head'].update(in_channels=192, channels=192, embed_dims=192, num_heads=6)
    reason = r"decoder has 3 attention heads, the model's 6; set model.decode_head.num_heads=3"
    with pytest.raises(ValueError, match=reason):
        load_weights(build(config), path)
    # The size of the published one says it, too, in a file without a word about heads.
    convert_file(path, tmp_path / 'x.pth', 'rstrudel')
    weights = torch.load(tmp_path / 'x.pth')['state_dict']
    torch.save(weights, tmp_path / 'plain.pth')
    with pytest.raises(ValueError, match=reason):
        load_weights(build(config), tmp_path / 'plain.pth')
    config['decode_head']['num_heads'] = 3
    assert load_weights(build(config), tmp_path / 'plain.pth').new == []


def test_a_backbone_without_final_norm(tmp_path):
    path = save(randomised(TimmViT()), tmp_path / 'vit.pth')
    report = load_weights(build(vit(final_norm=False)), path)
    assert {'backbone.ln1.weight', 'backbone.ln1.bias'} <= set(report.unused)
