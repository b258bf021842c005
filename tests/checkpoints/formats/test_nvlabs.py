import pytest
import torch
from generated_weights import assert_close, build, mit, save, segformer
from official_names import MIT_B0, SEGFORMER_B0, shapes_of, tensors_of
from reference_networks import NVlabsMiT, NVlabsSegFormer, randomised

from mmseg_custom.checkpoints.formats.nvlabs import ENTRIES
from mmseg_custom.checkpoints.loading import load_weights, open_weights

B0 = dict(dims=(32, 64, 160, 256), depths=(2, 2, 2, 2))
B0_CONFIG = dict(embed_dims=32, num_layers=[2, 2, 2, 2])


def test_the_references_have_the_official_names_and_shapes():
    assert shapes_of(NVlabsMiT(**B0, num_classes=1000)) == MIT_B0
    assert shapes_of(NVlabsSegFormer(**B0, width=256, num_classes=150)) == SEGFORMER_B0


def test_an_official_backbone(tmp_path):
    weights = tensors_of(MIT_B0)
    torch.save(weights, tmp_path / 'renamed by somebody.bin')
    opened = open_weights(tmp_path / 'renamed by somebody.bin')
    assert opened.description.kind == 'ImageNet MiT-B0 backbone of NVlabs, no decoder'
    assert opened.description.heads == (1, 2, 5, 8)
    # Parameters of MiT-B0 without its classifier: SegFormer's paper, table 6.
    backbone = {k: v for k, v in opened.state_dict.items() if k.startswith('backbone.')}
    assert sum(value.numel() for value in backbone.values()) == 3_319_392
    first = weights['block1.0.attn.q.weight'], weights['block1.0.attn.kv.weight']
    merged = opened.state_dict['backbone.layers.0.1.0.attn.attn.in_proj_weight']
    assert torch.equal(merged, torch.cat(first))
    report = load_weights(build(mit(**B0_CONFIG)), opened)
    assert not report.new and report.unused == ['head.fc.weight', 'head.fc.bias']


def test_an_official_segmentor(tmp_path):
    weights = tensors_of(SEGFORMER_B0)
    torch.save({'state_dict': weights, 'meta': {}}, tmp_path / 'x.pth')
    head = dict(in_channels=[32, 64, 160, 256], channels=256)
    model = build(segformer(num_classes=150, head=head, **B0_CONFIG))
    report = load_weights(model, tmp_path / 'x.pth')
    assert "MiT-B0 segmentor of NVlabs with the authors' MLP decoder 256 wide for 150" in str(
        report
    )
    assert not (report.new or report.notes)
    assert report.unused == ['decode_head.conv_seg.weight', 'decode_head.conv_seg.bias']
    # The file's own conv_seg is another one.
    wanted = weights['decode_head.linear_pred.bias']
    assert torch.equal(model.decode_head.conv_seg.bias, wanted)


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
