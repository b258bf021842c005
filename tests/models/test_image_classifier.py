"""The classifier's logits are transformers' own; its loss and mixing are what papers say."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement

from mmseg_custom.checkpoints.to_huggingface import model_state_dict
from mmseg_custom.models.classifiers import BatchMixing, ImageClassifier, LinearClsHead
from mmseg_custom.registry import MODELS, register_all

register_all()
MIT = dict(
    type='MixVisionTransformer',
    embed_dims=8,
    num_layers=[1, 2, 1, 1],
    num_heads=[1, 2, 5, 8],
    norm_cfg=dict(type='LN', eps=1e-5),
)


def classifier(num_classes=7, **options) -> ImageClassifier:
    torch.manual_seed(0)
    config = dict(
        type='ImageClassifier',
        backbone=MIT,
        head=dict(type='LinearClsHead', in_channels=64, num_classes=num_classes),
        **options,
    )
    model = MODELS.build(config)
    model.init_weights()
    return model.eval()


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32], ids=str)
def test_logits_are_those_of_transformers(dtype):
    transformers = pytest.importorskip('transformers')
    config = transformers.SegformerConfig(
        depths=MIT['num_layers'],
        hidden_sizes=[8, 16, 40, 64],
        num_attention_heads=MIT['num_heads'],
        num_labels=7,
        attn_implementation='sdpa',
    )
    theirs = transformers.SegformerForImageClassification(config).to(dtype).eval()
    ours = classifier().to(dtype)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    theirs.load_state_dict(model_state_dict(ours), strict=True)
    image = torch.randn(2, 3, 64, 96, dtype=dtype)
    with torch.no_grad():
        logits, expected = ours(image), theirs(image).logits
    assert logits.shape == (2, 7) and expected.std() > 0.01
    tolerance = 1e-10 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(logits, expected, rtol=tolerance, atol=tolerance)


def test_an_encoder_is_handed_to_a_segmentor():
    """The encoder's keys are those of a segmentor's, behind ``backbone.``."""
    segmentor = MODELS.build({**MIT})
    keys = {k.removeprefix('backbone.') for k in classifier().state_dict() if 'backbone' in k}
    assert keys == set(segmentor.state_dict())


def samples(labels) -> list[BaseDataElement]:
    found = [BaseDataElement() for _ in labels]
    for sample, label in zip(found, labels):
        sample.set_data({'gt_label': torch.tensor(label)})
    return found


def test_loss_and_prediction():
    model, images = classifier(), torch.randn(3, 3, 64, 64)
    logits, labels = model(images), torch.tensor([2, 0, 6])
    loss = model(images, samples([2, 0, 6]), mode='loss')['loss']
    torch.testing.assert_close(loss, -logits.log_softmax(1)[range(3), labels].mean())
    for sample, row in zip(model(images, samples([2, 0, 6]), mode='predict'), logits):
        torch.testing.assert_close(sample.pred_score, row.softmax(0))
        assert sample.pred_label == row.argmax()
    assert len(model(images, None, mode='predict')) == 3
    with pytest.raises(ValueError, match="mode='train'; expected 'tensor'"):
        model(images, mode='train')


def test_the_loss_of_a_prediction():
    model = classifier()
    images, labels = torch.randn(2, 3, 32, 32), torch.tensor([3, 0])
    samples = [BaseDataElement(gt_label=label) for label in labels]
    assert 'loss_terms' not in model(images, samples, mode='predict')[0]
    model.measures_loss = True
    terms = torch.stack([s.loss_terms for s in model(images, samples, mode='predict')])
    wanted = F.cross_entropy(model(images), labels, reduction='none')
    torch.testing.assert_close(terms, torch.stack((wanted, torch.ones(2)), 1))


def test_label_smoothing_spreads_the_target():
    """As in timm: 0.1 over all classes, the rest on the right one; also after mixing."""
    head = LinearClsHead(4, num_classes=5, label_smoothing=0.1).double()
    features = (torch.randn(2, 4, 3, 3, dtype=torch.float64),)
    logits = head(features).float()
    smoothed = torch.full((2, 5), 0.1 / 5)
    smoothed[range(2), [1, 4]] += 0.9
    expected = -(smoothed * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(head.loss(features, torch.tensor([1, 4]))['loss'], expected)
    targets = F.one_hot(torch.tensor([1, 4]), 5).float()
    torch.testing.assert_close(head.loss(features, targets)['loss'], expected)


def test_the_mean_is_over_all_positions():
    head = LinearClsHead(4, num_classes=5).double()
    last = torch.randn(2, 4, 3, 6, dtype=torch.float64)
    expected = last.flatten(2).mean(2) @ head.fc.weight.T + head.fc.bias
    torch.testing.assert_close(head((torch.randn(2, 9, 8, 8), last)), expected)
    with pytest.raises(ValueError, match='num_classes=None; expected at least 2'):
        LinearClsHead(4, num_classes=None)


@pytest.mark.parametrize('alphas', [(0.8, 0.0), (0.0, 1.0)], ids=['mixup', 'cutmix'])
def test_shares_of_pictures_and_labels_agree(alphas):
    """Every picture is filled with its number, so its mean tells how it was mixed."""
    np.random.seed(0)
    mixing, labels = BatchMixing(*alphas), torch.arange(4)
    images = labels.double().view(4, 1, 1, 1).expand(4, 3, 32, 48).contiguous()
    shares = []
    for _ in range(20):
        before = images.clone()
        mixed, targets = mixing(images, labels, num_classes=6)
        torch.testing.assert_close(images, before, rtol=0, atol=0)
        torch.testing.assert_close(targets.sum(1), torch.ones(4, dtype=torch.float64))
        torch.testing.assert_close(mixed.mean((1, 2, 3)), targets[:, :4] @ labels.double())
        is_whole = mixed == mixed.round()
        assert bool(is_whole.all()) == (alphas[0] == 0), 'CutMix takes pixels as they are'
        shares.append(targets[0, 0].item())
    assert min(shares) < 0.45 and max(shares) > 0.8


def test_mixing_reaches_the_loss():
    np.random.seed(0)
    images = torch.randn(4, 3, 64, 64)
    mixing = dict(mixup_alpha=0.8, cutmix_alpha=1.0)
    mixed = classifier(batch_mixing=mixing)(images, samples([0, 1, 2, 3]), mode='loss')['loss']
    plain = classifier()(images, samples([0, 1, 2, 3]), mode='loss')['loss']
    assert mixed.isfinite() and not torch.equal(mixed, plain)
    never = BatchMixing(prob=0.0)(images, torch.arange(4), 4)
    assert torch.equal(never[0], images) and torch.equal(never[1], torch.eye(4))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(mixup_alpha=0, cutmix_alpha=0), 'batch_mixing=None'),
        (dict(prob=1.5), 'prob=1.5'),
    ],
)
def test_wrong_mixing(options, message):
    with pytest.raises(ValueError, match=message):
        BatchMixing(**options)
