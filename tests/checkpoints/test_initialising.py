"""``init_cfg=dict(type='Pretrained')`` fills every kind of module, or fails."""

import pytest
import torch
from generated_weights import build, save, segformer, segmenter
from reference_networks import NVlabsSegFormer, randomised

from mmseg_custom.registry import MODELS


def pretrained(path, **options) -> dict:
    return dict(type='Pretrained', checkpoint=str(path), **options)


def classifier(num_classes: int = 7, **options) -> dict:
    head = dict(type='LinearClsHead', in_channels=64, num_classes=num_classes)
    return dict(type='ImageClassifier', backbone=segformer()['backbone'], head=head, **options)


def assert_filled(module, wanted) -> None:
    for name, value in module.state_dict().items():
        assert torch.equal(value, wanted[name]), name


def test_a_classifier_is_filled_or_fails(tmp_path):
    source = randomised(build(classifier()))
    path = save(source, tmp_path / 'x.pth')
    model = build(classifier(init_cfg=pretrained(path)))
    model.init_weights()
    assert_filled(model, source.state_dict())
    backbone = save(source.backbone, tmp_path / 'backbone.pth')
    with pytest.raises(ValueError, match=r'2 of \d+ missing \(first: head.fc.weight'):
        build(classifier(init_cfg=pretrained(backbone))).init_weights()


@pytest.mark.parametrize('prefix', ['decode_head.', 'decode_head'])
def test_a_head_takes_its_part(tmp_path, prefix):
    """Of a file of NVlabs: the prefix is one of our names."""
    path = save(randomised(NVlabsSegFormer()), tmp_path / 'x.pth')
    whole = build(segformer(init_cfg=None))
    from mmseg_custom.checkpoints.loading import load_weights

    load_weights(whole, path, show=None)
    model = build(segformer(head=dict(init_cfg=pretrained(path, prefix=prefix))))
    model.init_weights()
    assert_filled(model.decode_head, whole.decode_head.state_dict())
    assert not torch.equal(
        model.backbone.layers[0][0].projection.weight,
        whole.backbone.layers[0][0].projection.weight,
    )


def test_a_head_without_or_with_a_wrong_prefix(tmp_path):
    path = save(build(segformer()), tmp_path / 'x.pth')
    head = dict(init_cfg=pretrained(path))
    with pytest.raises(ValueError, match=r"add prefix='decode_head\.' to its init_cfg"):
        build(segformer(head=head)).init_weights()
    head = dict(init_cfg=pretrained(path, prefix='neck'))
    with pytest.raises(ValueError, match=r"prefix='neck\.'; expected one of backbone., decode_hea"):
        build(segformer(head=head)).init_weights()


@pytest.mark.parametrize('config', [segformer, segmenter])
def test_a_backbone_with_a_prefix(tmp_path, config):
    source = randomised(build(config()))
    path = save(source, tmp_path / 'x.pth')
    model = build(config(init_cfg=pretrained(path, prefix='backbone.')))
    model.init_weights()
    assert_filled(model.backbone, source.backbone.state_dict())


def test_the_printed_option_is_one_of_init_cfg(tmp_path):
    source = randomised(build(segformer(num_classes=4)))
    path = save(source, tmp_path / 'x.pth')
    config = segformer()
    config['init_cfg'] = pretrained(path)
    with pytest.raises(ValueError, match='add new_classes=True to its init_cfg, beside checkpoint'):
        build(config).init_weights()
    config['init_cfg']['new_classes'] = True
    model = build(config)
    model.init_weights()
    assert_filled(model.backbone, source.backbone.state_dict())


def test_another_network_leaves_a_classifier_out(tmp_path, monkeypatch):
    """As mmseg's ResNets with ``open-mmlab://`` do; what is missing is an error here, too."""
    from mmengine.runner import checkpoint

    config = dict(type='mmseg.ResNet', depth=18, base_channels=4, stem_channels=4)
    source = MODELS.build(config)
    randomised(source)
    weights = {**source.state_dict(), 'fc.weight': torch.ones(2, 32)}
    torch.save(weights, tmp_path / 'x.pth')
    monkeypatch.setattr(
        checkpoint, 'get_external_models', lambda: {'small': str(tmp_path / 'x.pth')}
    )
    model = MODELS.build({**config, 'init_cfg': pretrained('open-mmlab://small')})
    model.init_weights()
    assert_filled(model, source.state_dict())
    del weights['layer1.0.conv1.weight']
    torch.save(weights, tmp_path / 'y.pth')
    with pytest.raises(ValueError, match=r'1 of \d+ missing \(first: layer1\.0\.conv1\.weight'):
        MODELS.build({**config, 'init_cfg': pretrained(tmp_path / 'y.pth')}).init_weights()
