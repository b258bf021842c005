"""Both ways between transformers and ours, with random weights."""

import json

import pytest
import torch
from generated_weights import MEAN, STD, assert_close, build, segformer
from reference_networks import randomised

from mmseg_custom.checkpoints.adapt import describe_model
from mmseg_custom.checkpoints.loading import load_weights, open_weights
from mmseg_custom.checkpoints.publish import convert_file
from mmseg_custom.checkpoints.saving import meta_of, serialise
from mmseg_custom.checkpoints.to_huggingface import write_huggingface

transformers = pytest.importorskip('transformers')

LN = dict(type='LN', eps=1e-5)
SMALL = dict(
    hidden_sizes=[8, 16, 40, 64],
    depths=[1, 1, 1, 1],
    decoder_hidden_size=12,
    attn_implementation='sdpa',
)
B0 = dict(attn_implementation='sdpa')
B2 = dict(
    hidden_sizes=[64, 128, 320, 512],
    depths=[3, 4, 6, 3],
    decoder_hidden_size=768,
    attn_implementation='sdpa',
)
LABELS = {0: 'wall', 1: 'sky', 2: 'tree', 3: 'road', 4: 'bed'}


def peer(kind: str = 'SemanticSegmentation', sizes: dict = SMALL, seed: int = 0):
    config = transformers.SegformerConfig(
        **sizes, id2label=LABELS, label2id={name: i for i, name in LABELS.items()}
    )
    return randomised(getattr(transformers, f'SegformerFor{kind}')(config), seed)


def ours_for(sizes: dict) -> torch.nn.Module:
    dims = sizes.get('hidden_sizes', [32, 64, 160, 256])
    head = dict(in_channels=dims, channels=sizes.get('decoder_hidden_size', 256))
    norms = dict(norm_cfg=LN, patch_norm_cfg=None, sr_norm_cfg=None)
    layers = sizes.get('depths', [2, 2, 2, 2])
    return build(segformer(head=head, embed_dims=dims[0], num_layers=layers, **norms))


def logits_of(network, images) -> torch.Tensor:
    with torch.no_grad():
        return network(images).logits


@pytest.mark.parametrize(
    'sizes',
    [SMALL, pytest.param(B0, id='B0'), pytest.param(B2, id='B2', marks=pytest.mark.slow)],
)
def test_segmentation_both_ways(tmp_path, images, sizes):
    theirs = peer(sizes=sizes)
    theirs.save_pretrained(tmp_path / 'theirs')
    ours = ours_for(sizes)
    report = load_weights(ours, tmp_path / 'theirs')
    assert not (report.new or report.unused or report.notes)
    assert report.description.classes == tuple(LABELS.values())
    with torch.no_grad():
        logits = ours(images, mode='tensor')
    assert_close(logits, logits_of(theirs, images))

    # Through our own file, and back.
    convert_file(tmp_path / 'theirs', tmp_path / 'ours.pth', 'Hugging Face', keep_classifier=True)
    assert write_huggingface(tmp_path / 'ours.pth', tmp_path / 'back', reduce_labels=True) == []
    again = transformers.SegformerForSemanticSegmentation.from_pretrained(tmp_path / 'back')
    assert again.config.id2label == LABELS
    for name, value in theirs.state_dict().items():
        assert torch.equal(again.eval().state_dict()[name], value), name
    assert_close(logits, logits_of(again, images))


@pytest.mark.parametrize(
    'sizes', [SMALL, pytest.param(B0, id='B0'), pytest.param(B2, id='B2', marks=pytest.mark.slow)]
)
def test_classification_both_ways(tmp_path, images, sizes):
    theirs = peer('ImageClassification', sizes)
    theirs.save_pretrained(tmp_path / 'theirs')
    opened = open_weights(tmp_path / 'theirs')
    ours = ours_for(sizes).backbone
    load_weights(ours, opened)
    weight, bias = (opened.state_dict[f'head.fc.{kind}'] for kind in ('weight', 'bias'))
    with torch.no_grad():
        logits = ours(images)[-1].mean(dim=(2, 3)) @ weight.T + bias
    assert_close(logits, logits_of(theirs, images))

    convert_file(tmp_path / 'theirs', tmp_path / 'o.safetensors', 'Hugging Face', True)
    write_huggingface(tmp_path / 'o.safetensors', tmp_path / 'back')
    again = transformers.SegformerForImageClassification.from_pretrained(tmp_path / 'back')
    assert_close(logits, logits_of(again.eval(), images))


def test_both_generations_of_names(tmp_path, images):
    """The hub's names, which are also saved today, and those that release 5 has in memory."""
    from safetensors.torch import load_file

    theirs = peer()
    theirs.save_pretrained(tmp_path)
    hub = load_file(tmp_path / 'model.safetensors')
    assert 'segformer.encoder.block.0.0.attention.self.query.weight' in hub
    assert 'decode_head.linear_c.0.proj.weight' in hub
    in_memory = theirs.state_dict()
    assert 'segformer.stages.0.blocks.0.attention.q_proj.weight' in in_memory
    # A file of the hub that somebody renamed to NVlabs' name, without its config.
    torch.save(hub, tmp_path / 'mit_b0.pth')
    (tmp_path / 'config.json').unlink()
    torch.save(in_memory, tmp_path / 'segformer.b0.bin')
    for name in ('mit_b0.pth', 'segformer.b0.bin'):
        ours = ours_for(SMALL)
        report = load_weights(ours, tmp_path / name)
        assert report.description.source == 'Hugging Face' and not report.unused
        with torch.no_grad():
            assert_close(ours(images, mode='tensor'), logits_of(theirs, images))


def test_encoder_alone(tmp_path, images):
    theirs = peer().segformer
    theirs.save_pretrained(tmp_path / 'encoder')
    ours = ours_for(SMALL).backbone
    report = load_weights(ours, tmp_path / 'encoder')
    assert report.description.head is None and not report.new
    with torch.no_grad():
        maps = ours(images)
        wanted = theirs(images, output_hidden_states=True).hidden_states
    for out, want in zip(maps, wanted, strict=True):
        assert_close(out, want)


def test_heads_are_read_from_the_config(tmp_path):
    theirs = peer()
    theirs.save_pretrained(tmp_path / 'theirs')
    config = json.loads((tmp_path / 'theirs/config.json').read_text())
    config['num_attention_heads'] = [1, 2, 4, 8]
    (tmp_path / 'theirs/config.json').write_text(json.dumps(config))
    reason = r'has 1, 2, 4, 8 attention heads, the model 1, 2, 5, 8; set model.backbone.num_heads='
    with pytest.raises(ValueError, match=reason):
        load_weights(ours_for(SMALL), tmp_path / 'theirs')


@pytest.mark.parametrize(
    ('name', 'changes', 'message'),
    [
        ('config', {'depths': [2, 2, 2, 2]}, r'depths: \[2, 2, 2, 2\], but .* \[1, 1, 1, 1\]'),
        ('config', {'hidden_sizes': [8, 8, 8, 8]}, r'hidden_sizes: .* have \[8, 16, 40, 64\]'),
        ('config', {'num_attention_heads': [3, 2, 5, 8]}, r'\[3, 2, 5, 8\] attention heads'),
        ('config', {'patch_sizes': [3, 3, 3, 3]}, r'patch_sizes: .* tensors have \[7, 3, 3, 3\]'),
        ('config', {'sr_ratios': [4, 4, 2, 1]}, r'sr_ratios: .* tensors have \[8, 4, 2, 1\]'),
        ('config', {'decoder_hidden_size': 256}, r'decoder_hidden_size: 256, but .* have 12;'),
        ('config', {'id2label': {'0': 'sky'}}, r'config.json names 1 classes .* tensors have 5;'),
        ('preprocessor_config', {'image_mean': [0.5] * 4}, r'image_mean of 4 channels .* take 3;'),
    ],
)
def test_files_beside_other_weights(tmp_path, name, changes, message):
    peer().save_pretrained(tmp_path)
    path = tmp_path / f'{name}.json'
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(content | changes))
    with pytest.raises(ValueError, match=message):
        open_weights(tmp_path)


def test_strides_are_read_from_the_config(tmp_path):
    peer().save_pretrained(tmp_path / 'theirs')
    config = json.loads((tmp_path / 'theirs/config.json').read_text())
    config['strides'] = [2, 2, 2, 2]
    (tmp_path / 'theirs/config.json').write_text(json.dumps(config))
    with pytest.raises(
        ValueError, match=r'strides 2, 2, 2, 2, the model 4, 2, 2, 2; set .*strides'
    ):
        load_weights(ours_for(SMALL), tmp_path / 'theirs')


def test_a_trained_segformer_becomes_a_folder(tmp_path, images):
    """Ours to theirs, with the image processor's file and what differs."""
    ours = randomised(build(segformer()))
    path = tmp_path / 'ours.pth'
    torch.save({'state_dict': ours.state_dict()}, path)
    with pytest.raises(ValueError, match='does not say how many attention heads'):
        write_huggingface(path, tmp_path / 'folder')
    assert not (tmp_path / 'folder').exists()
    opened = open_weights(path)
    opened.description.heads, opened.description.eps = (1, 2, 5, 8), {'norm': 1e-6}
    path.write_bytes(serialise(opened.state_dict, meta_of(opened), '.pth'))
    # Nothing of it says how pictures and labels were prepared, and nothing is guessed.
    with pytest.raises(ValueError, match='add --mean and --std and --reduce-zero-label'):
        write_huggingface(path, tmp_path / 'folder')
    said = dict(mean=MEAN, std=STD, reduce_labels=True)
    (difference,) = write_huggingface(path, tmp_path / 'folder', **said)
    assert 'eps 1e-06 here, 1e-05 in transformers' in difference
    names = {file.name for file in (tmp_path / 'folder').iterdir()}
    assert names == {'config.json', 'model.safetensors', 'preprocessor_config.json'}
    theirs = transformers.SegformerForSemanticSegmentation.from_pretrained(tmp_path / 'folder')
    with torch.no_grad():
        wanted = ours(images, mode='tensor')
    # One eps differs by 1e-5.
    assert_close(logits_of(theirs.eval(), images), wanted, 1e-2)


@pytest.mark.parametrize('key', ['cfg', 'config'])
def test_the_config_in_a_checkpoint_says_how_pictures_are_prepared(tmp_path, key):
    source = build(segformer())
    text = """
model = dict(
    backbone=dict(type='MixVisionTransformer'),
    data_preprocessor=dict(mean=[1.0, 2.0, 3.0], std=[4, 5, 6], bgr_to_rgb=True),
)
train_pipeline = [dict(type='RandomCrop', crop_size=(96, 128)), dict(scale=-1, other=print)]
train_dataloader = dict(dataset=dict(reduce_zero_label=True, pipeline=train_pipeline))
"""
    meta = {'mmseg_custom': {'heads': [1, 2, 5, 8]}, key: text}
    torch.save({'state_dict': source.state_dict(), 'meta': meta}, tmp_path / 'x.pth')
    write_huggingface(tmp_path / 'x.pth', tmp_path / 'folder')
    found = json.loads((tmp_path / 'folder/preprocessor_config.json').read_text())
    assert found['size'] == {'height': 96, 'width': 128} and found['do_resize']
    assert found['image_mean'] == pytest.approx([1 / 255, 2 / 255, 3 / 255])
    assert found['image_std'] == pytest.approx([4 / 255, 5 / 255, 6 / 255])
    assert found['do_reduce_labels'] is True
    # MMSegmentation 0.x, whose steps in a pipeline are its only place for it.
    text = "data = dict(train=[dict(type='Normalize', mean=[9, 9, 9], std=[3, 3, 3])])"
    torch.save({'state_dict': source.state_dict(), 'meta': {key: text}}, tmp_path / 'old.pth')
    found = open_weights(tmp_path / 'old.pth').description
    assert (found.mean, found.channel_order, found.reduce_labels) == ((9, 9, 9), 'rgb', False)
    # What a data set of this project records weighs more than the text.
    meta |= {'dataset_meta': {'reduce_zero_label': False}}
    torch.save({'state_dict': source.state_dict(), 'meta': meta}, tmp_path / 'y.pth')
    assert open_weights(tmp_path / 'y.pth').description.reduce_labels is False
    torch.save({'state_dict': source.state_dict(), 'meta': {key: 'x = dict('}}, tmp_path / 'z.pth')
    assert open_weights(tmp_path / 'z.pth').description.mean is None


def test_pictures_in_another_order_are_no_segformer_of_theirs(tmp_path):
    config = segformer()
    config['data_preprocessor']['bgr_to_rgb'] = False
    model = build(config)
    path = tmp_path / 'x.pth'
    meta = {'mmseg_custom': describe_model(model).as_dict()}
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, path)
    with pytest.raises(ValueError, match='takes BGR pictures'):
        write_huggingface(path, tmp_path / 'folder', reduce_labels=False)
    (note,) = load_weights(build(segformer()), path, dataset_meta={}).notes
    assert 'of BGR in the file' in note and 'model.data_preprocessor.bgr_to_rgb=False' in note


def test_what_transformers_does_not_have(tmp_path):
    head = dict(type='SegformerHead')
    torch.save(build(segformer(head=head)).state_dict(), tmp_path / 'conv.pth')
    with pytest.raises(ValueError, match="OpenMMLab's convolution decoder 12 wide.*MLP decoder"):
        write_huggingface(tmp_path / 'conv.pth', tmp_path / 'folder')


def test_a_folder_that_holds_something_stays(tmp_path):
    theirs = peer()
    theirs.save_pretrained(tmp_path / 'theirs')
    (tmp_path / 'kept').mkdir()
    (tmp_path / 'kept/file').write_text('precious')
    with pytest.raises(FileExistsError, match='kept exists already'):
        write_huggingface(tmp_path / 'theirs', tmp_path / 'kept', reduce_labels=False)
    assert [path.name for path in (tmp_path / 'kept').iterdir()] == ['file']
