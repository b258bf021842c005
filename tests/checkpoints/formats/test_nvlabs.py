import pytest
import torch
from generated_weights import assert_close, build, mit, save, segformer
from reference_networks import NVlabsMiT, NVlabsSegFormer, randomised

from mmseg_custom.checkpoints.formats.nvlabs import ENTRIES
from mmseg_custom.checkpoints.loading import load_weights, open_weights

# mit_b0.pth of NVlabs: what its first and last layers are called, with their shapes.
OFFICIAL_B0 = {
    'patch_embed1.proj.weight': (32, 3, 7, 7),
    'patch_embed1.norm.bias': (32,),
    'patch_embed4.proj.weight': (256, 160, 3, 3),
    'block1.0.norm1.weight': (32,),
    'block1.0.attn.q.weight': (32, 32),
    'block1.0.attn.kv.weight': (64, 32),
    'block1.0.attn.kv.bias': (64,),
    'block1.0.attn.proj.weight': (32, 32),
    'block1.0.attn.sr.weight': (32, 32, 8, 8),
    'block1.0.attn.norm.weight': (32,),
    'block1.1.mlp.fc1.weight': (128, 32),
    'block1.1.mlp.dwconv.dwconv.weight': (128, 1, 3, 3),
    'block1.1.mlp.fc2.weight': (32, 128),
    'block3.0.attn.sr.weight': (160, 160, 2, 2),
    'norm1.weight': (32,),
    'block4.1.attn.kv.weight': (512, 256),
    'norm4.bias': (256,),
    'head.weight': (1000, 256),
    'head.bias': (1000,),
}


def official_b0() -> NVlabsMiT:
    return NVlabsMiT((32, 64, 160, 256), (2, 2, 2, 2), num_classes=1000)


def test_names_and_shapes_are_the_official_ones(tmp_path):
    network = official_b0()
    weights = network.state_dict()
    assert {name: tuple(weights[name].shape) for name in OFFICIAL_B0} == OFFICIAL_B0
    opened = open_weights(save(network, tmp_path / 'renamed by somebody.bin'))
    assert opened.description.kind == 'ImageNet MiT-B0 backbone of NVlabs, no decoder'
    assert opened.description.heads == (1, 2, 5, 8)
    # Parameters of MiT-B0 without its classifier: SegFormer's paper, table 6.
    backbone = {k: v for k, v in opened.state_dict.items() if k.startswith('backbone.')}
    assert sum(value.numel() for value in backbone.values()) == 3_319_392
    first = weights['block1.0.attn.q.weight'], weights['block1.0.attn.kv.weight']
    merged = opened.state_dict['backbone.layers.0.1.0.attn.attn.in_proj_weight']
    assert torch.equal(merged, torch.cat(first))


def test_backbone_computes_the_same_maps(tmp_path, images):
    network = randomised(NVlabsMiT(num_classes=10))
    path = save(network, tmp_path / 'mit.pth')
    ours = build(mit())
    report = load_weights(ours, path)
    assert not report.new and not report.notes
    assert sorted(report.unused) == ['head.fc.bias', 'head.fc.weight']
    with torch.no_grad():
        for out, wanted in zip(ours(images), network(images), strict=True):
            assert_close(out, wanted)


def test_segmentor_computes_the_same_logits(tmp_path, images):
    network = randomised(NVlabsSegFormer())
    meta = {'CLASSES': ('a', 'b', 'c', 'd', 'e'), 'PALETTE': [[i, i, i] for i in range(5)]}
    path = save(network, tmp_path / 'segformer.pth', meta=meta, optimizer={})
    ours = build(segformer())
    report = load_weights(ours, path)
    assert report.description.classes == ('a', 'b', 'c', 'd', 'e')
    assert report.description.palette[2] == (2, 2, 2)
    assert report.unused == ['decode_head.conv_seg.weight', 'decode_head.conv_seg.bias']
    assert not report.new and not report.notes
    with torch.no_grad():
        assert_close(ours(images, mode='tensor'), network(images))


def test_another_eps_is_a_note_with_the_option(tmp_path):
    path = save(NVlabsSegFormer(), tmp_path / 'segformer.pth')
    ours = build(segformer(patch_norm_cfg=None, sr_norm_cfg=None))
    (note,) = load_weights(ours, path).notes
    assert 'patch_norm 1e-05, sr_norm 1e-05 in the file, 1e-06, 1e-06 in the model' in note
    assert "\"model.backbone.patch_norm_cfg={'type':'LN','eps':1e-05}\"" in note
    assert 'backbone.norm_cfg' not in note


def test_pvt_is_no_mit(tmp_path):
    weights = {**NVlabsMiT().state_dict(), 'pos_embed1': torch.zeros(1, 4, 8)}
    torch.save(weights, tmp_path / 'pvt.pth')
    with pytest.raises(ValueError, match=r'pvt.pth: .* 1 are not \(first: backbone.pos_embed1\)'):
        open_weights(tmp_path / 'pvt.pth')


def test_a_part_is_missing(tmp_path):
    weights = NVlabsMiT().state_dict()
    del weights['block2.0.attn.kv.bias']
    torch.save(weights, tmp_path / 'cut.pth')
    reason = r'layers.1.1.0.attn.attn.in_proj_bias is stored in 2 parts, of which 1 are there'
    with pytest.raises(ValueError, match=reason):
        open_weights(tmp_path / 'cut.pth')


def test_table_has_each_name_once():
    names = [name for entry in ENTRIES for name in (entry.ours, *entry.parts)]
    assert len({entry.ours for entry in ENTRIES}) == len(ENTRIES)
    assert all('{' in name for name in names)
