"""The step from logits to losses that all heads share, against mmseg's."""

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn

from mmseg_custom.models.decode_heads.decode_head import DecodeHead
from mmseg_custom.models.losses import CrossEntropyLoss
from mmseg_custom.registry import MODELS

pytestmark = [
    pytest.mark.filterwarnings('ignore:Default ``avg_non_ignore``'),
    pytest.mark.filterwarnings('ignore:For binary segmentation'),
    pytest.mark.filterwarnings('ignore:threshold is not defined'),
]
HEAD = dict(
    type='FCNHead',
    in_channels=6,
    channels=6,
    num_convs=0,
    concat_input=False,
    dropout_ratio=0,
    in_index=0,
    num_classes=5,
)
ONE_CHANNEL = dict(
    num_classes=2,
    out_channels=1,
    loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True, avg_non_ignore=True),
)


class PlainHead(DecodeHead):
    def forward(self, inputs):
        return self.cls_seg(self._transform_inputs(inputs))


def build_head(cls=PlainHead, **changes):
    arguments = {'in_channels': 6, 'channels': 6, 'dropout_ratio': 0, 'num_classes': 5, **changes}
    return cls(**arguments)


def make_samples(size=(31, 23), num_classes=5, ignored=0.2, count=2):
    generator = torch.Generator().manual_seed(1)
    samples = []
    for _ in range(count):
        labels = torch.randint(0, num_classes, (1, *size), generator=generator)
        labels[torch.rand(labels.shape, generator=generator) < ignored] = 255
        samples.append(SegDataSample(gt_sem_seg=PixelData(data=labels)))
    return samples


def losses_and_gradients(head, features, samples):
    leaf = features.clone().requires_grad_()
    losses = head.loss((leaf,), samples, train_cfg=None)
    sum(value for name, value in losses.items() if name.startswith('loss')).backward()
    gradients = {name: value.grad for name, value in head.named_parameters()}
    return losses, {'input': leaf.grad, **gradients}


@pytest.mark.parametrize(
    'changes',
    [
        dict(),
        dict(align_corners=True),
        dict(loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True, loss_weight=0.4)),
        dict(loss_decode=[dict(type='CrossEntropyLoss', loss_name='loss_only')]),
        dict(loss_decode=[dict(type='CrossEntropyLoss'), dict(type='DiceLoss', ignore_index=255)]),
        dict(loss_decode=[dict(type='CrossEntropyLoss'), dict(type='CrossEntropyLoss')]),
        dict(loss_decode=dict(type='LovaszLoss', reduction='none', per_image=False)),
        dict(sampler=dict(type='OHEMPixelSampler', thresh=0.5, min_kept=50)),
        ONE_CHANNEL,
    ],
    ids=str,
)
def test_losses_accuracy_and_gradients_equal_mmseg(changes):
    # mmseg's Lovasz loss takes float32 only.
    dtype = torch.float32 if 'LovaszLoss' in str(changes) else torch.float64
    stock = MODELS.build({**HEAD, **changes, '_scope_': 'mmseg'}).to(dtype)
    ours = MODELS.build({**HEAD, **changes, '_scope_': 'mmseg_custom'}).to(dtype)
    assert isinstance(ours, DecodeHead) and not isinstance(stock, DecodeHead)
    ours.load_state_dict(stock.state_dict(), strict=True)
    features = torch.randn(2, 6, 9, 7, dtype=dtype)
    samples = make_samples(num_classes=changes.get('num_classes', 5))
    expected, expected_gradients = losses_and_gradients(stock, features, samples)
    actual, gradients = losses_and_gradients(ours, features, samples)
    assert set(actual) == set(expected)
    for name, value in expected.items():
        assert actual[name].shape == value.shape
        if changes is ONE_CHANNEL and name == 'acc_seg':
            continue
        tolerance = 1e-4 if name == 'acc_seg' else 1e-12 * max(1, abs(value.item()))
        assert abs(actual[name].item() - value.item()) <= tolerance, name
    largest = max(value.norm() for value in expected_gradients.values())
    for name, value in expected_gradients.items():
        assert (gradients[name] - value).abs().max() <= 1e-9 * largest, name


def test_accuracy_of_one_channel_is_at_the_threshold():
    head = build_head(**ONE_CHANNEL, threshold=0.8)
    labels = torch.tensor([[[0, 0, 1, 1, 255, 255]]])
    logits = torch.tensor([[[[0.1, 0.9, 0.9, 0.7, 0.9, 0.1]]]]).logit()
    samples = [SegDataSample(gt_sem_seg=PixelData(data=labels))]
    assert head.loss_by_feat(logits, samples)['acc_seg'].item() == pytest.approx(50)


def test_one_channel_begins_at_the_prior():
    head = build_head(**ONE_CHANNEL, foreground_prior=0.02)
    head.init_weights()
    assert head.conv_seg.bias.sigmoid().item() == pytest.approx(0.02)
    with torch.no_grad():
        head.conv_seg.bias.fill_(1.0)
    head.init_weights()
    assert head.conv_seg.bias.item() == 1.0


def test_only_our_cross_entropy_skips_the_full_size_logits(monkeypatch):
    from mmseg.models.decode_heads import decode_head

    calls = []
    upstream = decode_head.resize
    monkeypatch.setattr(
        decode_head, 'resize', lambda *args, **kwargs: calls.append(1) or upstream(*args, **kwargs)
    )
    features, samples = (torch.randn(2, 6, 9, 7),), make_samples()

    class OwnLoss(CrossEntropyLoss):
        def forward(self, *args, **kwargs):
            return 2 * super().forward(*args, **kwargs)

    fast = build_head()
    loss = fast.loss(features, samples, None)['loss_ce']
    assert calls == [] and isinstance(fast.loss_decode, CrossEntropyLoss)
    stock = build_head(loss_decode=dict(type='mmseg.CrossEntropyLoss'))
    stock.load_state_dict(fast.state_dict())
    torch.testing.assert_close(stock.loss(features, samples, None)['loss_ce'], loss)
    assert len(calls) == 1 and not isinstance(stock.loss_decode, CrossEntropyLoss)
    fast.loss_decode = OwnLoss()
    torch.testing.assert_close(fast.loss(features, samples, None)['loss_ce'], 2 * loss)
    assert len(calls) == 2


@pytest.mark.parametrize('losses', [1, 2])
def test_every_pixel_has_a_class_where_ignore_index_is_none(losses):
    loss_decode = [dict(type='CrossEntropyLoss', loss_name=f'loss_{i}') for i in range(losses)]
    head = build_head(loss_decode=loss_decode, ignore_index=None)
    usual = build_head(loss_decode=loss_decode)
    usual.load_state_dict(head.state_dict())
    features = (torch.randn(2, 6, 9, 7),)
    labelled = make_samples(ignored=0)
    wanted = usual.loss(features, labelled, None)
    for name, value in head.loss(features, labelled, None).items():
        torch.testing.assert_close(value, wanted[name])
    with pytest.raises(ValueError, match='label 255 is outside the classes 0..4'):
        head.loss(features, make_samples(), None)


def test_prediction_resizes_to_the_padded_picture():
    head = build_head()
    features = torch.randn(1, 6, 9, 7)
    metas = [dict(img_shape=(30, 20), pad_shape=(32, 24))]
    predicted = head.predict((features,), metas, None)
    resized = nn.functional.interpolate(head((features,)), (32, 24), mode='bilinear')
    torch.testing.assert_close(predicted, resized)


def test_training_step_compiles_without_graph_break():
    head, features, samples = build_head(), torch.randn(2, 6, 9, 7), make_samples()
    expected, expected_gradients = losses_and_gradients(head, features, samples)
    head.zero_grad()
    compiled = torch.compile(
        lambda x: head.loss_by_feat(head((x,)), samples), backend='aot_eager', fullgraph=True
    )
    leaf = features.clone().requires_grad_()
    losses = compiled(leaf)
    losses['loss_ce'].backward()
    torch.testing.assert_close(losses['loss_ce'], expected['loss_ce'])
    torch.testing.assert_close(losses['acc_seg'], expected['acc_seg'])
    torch.testing.assert_close(leaf.grad, expected_gradients['input'])


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(out_channels=7), 'out_channels=7 but num_classes=5; leave .*out_channels out'),
        (dict(out_channels=1), 'out_channels=1 but num_classes=5'),
        (dict(num_classes=2, out_channels=1), 'always 0 and trains nothing.*use_sigmoid=True'),
        (
            dict(loss_decode=dict(type='CrossEntropyLoss', class_weight=[1.0] * 4)),
            'class_weight has 4 entries but num_classes=5',
        ),
        (dict(**ONE_CHANNEL, threshold=1.5), 'threshold takes a number between 0 and 1, got 1.5'),
        (dict(**ONE_CHANNEL, foreground_prior=0), 'foreground_prior takes .* 0 and 1, got 0'),
        (dict(foreground_prior=0.1), 'foreground_prior=0.1 needs out_channels=1, got None'),
        (dict(input_transform='sum'), "'resize_concat', 'multiple_select' or None, got 'sum'"),
        (dict(in_index=[0]), r'one integer each, got in_channels=6 and in_index=\[0\]'),
        (
            dict(input_transform='multiple_select', in_channels=[6, 6], in_index=[0]),
            r'lists of one length, got in_channels=\[6, 6\] and in_index=\[0\]',
        ),
    ],
    ids=str,
)
def test_arguments_that_do_not_fit(changes, message):
    with pytest.raises(ValueError, match=message):
        build_head(**changes)


def test_maps_that_do_not_fit():
    with pytest.raises(ValueError, match='in_index=1 but the backbone gives 1 maps'):
        build_head(in_index=1)((torch.randn(1, 6, 4, 4),))
    with pytest.raises(ValueError, match=r'in_channels=6, got 8; set decode_head.in_channels=8'):
        build_head()((torch.randn(1, 8, 4, 4),))


@pytest.mark.parametrize(
    'changes', [dict(), dict(loss_decode=[dict(type='DiceLoss')]), ONE_CHANNEL], ids=str
)
def test_label_outside_the_classes(changes):
    head = build_head(**changes)
    samples = make_samples(num_classes=head.num_classes)
    samples[1].gt_sem_seg.data[0, 3, :4] = 77
    with pytest.raises(ValueError, match=rf'label 77 .*0..{head.num_classes - 1} \(4 such pixels'):
        head.loss((torch.randn(2, 6, 9, 7),), samples, None)
