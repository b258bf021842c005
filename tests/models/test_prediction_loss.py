import pytest
import torch
import torch.nn.functional as F
from config_leaves import CONFIG_DIR, copied, make_thin
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmseg_custom.registry import MODELS

LEAF = CONFIG_DIR / 'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py'
CLASSES = 5


def segmentor(loss: dict | list, head: dict | None = None, **test_cfg):
    """A thin SegFormer in float64, whose dropout and statistics are off."""
    torch.manual_seed(0)
    config = copied(LEAF).model
    make_thin(config)
    config.decode_head.update({'num_classes': CLASSES, **(head or {})})
    config.decode_head['loss_decode'] = loss
    config.update(test_cfg=test_cfg, data_preprocessor=None)
    return MODELS.build(config).double().eval()


def sample(size=(70, 50)) -> SegDataSample:
    labels = torch.randint(CLASSES, (1, *size))
    labels[:, :9] = 255
    meta = dict(ori_shape=size, img_shape=(64, 64), pad_shape=(64, 64))
    return SegDataSample(metainfo=meta, gt_sem_seg=PixelData(data=labels))


@pytest.mark.parametrize('ignored_count', [False, True])
@pytest.mark.parametrize(
    'options',
    [{}, dict(class_weight=[1, 2, 3, 4, 5], label_smoothing=0.1, loss_weight=0.4)],
    ids=['plain', 'weighted'],
)
@pytest.mark.parametrize(
    'test_cfg',
    [dict(mode='whole'), dict(mode='slide', crop_size=(32, 32), stride=(24, 24))],
    ids=lambda test_cfg: test_cfg['mode'],
)
def test_it_is_the_loss_of_the_final_logits(test_cfg, options, ignored_count):
    loss = dict(type='CrossEntropyLoss', avg_non_ignore=not ignored_count, **options)
    model = segmentor(loss, **test_cfg)
    images = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        plain = model.predict(images, [sample(), sample()])
        assert 'loss_terms' not in plain[0]
        model.measures_loss = True
        measured = model.predict(images, [p.clone() for p in plain])
    weight = torch.tensor(options.get('class_weight', [1.0] * CLASSES), dtype=torch.float64)
    for before, after in zip(plain, measured):
        assert torch.equal(before.pred_sem_seg.data, after.pred_sem_seg.data)
        labels = before.gt_sem_seg.data
        wanted = F.cross_entropy(
            before.seg_logits.data[None],
            labels,
            weight,
            ignore_index=255,
            reduction='sum',
            label_smoothing=options.get('label_smoothing', 0.0),
        )
        divisor = weight[labels[labels != 255]].sum()
        if ignored_count and not options:
            divisor = divisor + (labels == 255).sum()
        wanted = torch.stack((options.get('loss_weight', 1.0) * wanted, divisor))
        torch.testing.assert_close(after.loss_terms, wanted)


@pytest.mark.parametrize(
    ('loss', 'measured'),
    [
        (dict(type='DiceLoss'), False),
        (dict(type='CrossEntropyLoss', use_sigmoid=True), False),
        ([dict(type='DiceLoss'), dict(type='mmseg.CrossEntropyLoss')], True),
    ],
    ids=['dice', 'sigmoid', 'both'],
)
def test_a_head_without_a_softmax_loss_has_none(loss, measured):
    model = segmentor(loss, mode='whole')
    model.measures_loss = True
    with torch.no_grad():
        (predicted,) = model.predict(torch.randn(1, 3, 64, 64).double(), [sample()])
    assert ('loss_terms' in predicted) is measured


ONE_CHANNEL = dict(num_classes=2, out_channels=1, threshold=0.5)


@pytest.mark.parametrize('ignore_index', [255, None])
@pytest.mark.parametrize(
    'loss',
    [
        dict(type='BinaryCrossEntropyLoss', pos_weight=4.0, loss_weight=0.3),
        dict(type='CrossEntropyLoss', use_sigmoid=True, avg_non_ignore=True, loss_weight=0.3),
    ],
    ids=lambda loss: loss['type'],
)
def test_one_channel_has_the_loss_of_its_training(loss, ignore_index):
    """Validation and training agree, on ignored pixels, too."""
    head = dict(ONE_CHANNEL, ignore_index=ignore_index)
    model = segmentor([dict(type='BinaryDiceLoss'), loss], head, mode='whole')
    labelled = sample((64, 64))
    labels = labelled.gt_sem_seg.data
    labels[labels < 255] %= 2
    if ignore_index is None:
        labels[labels == 255] = 1
    images = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        trained = model.decode_head.loss(model.extract_feat(images), [labelled], None)
        model.measures_loss = True
        (predicted,) = model.predict(images, [labelled])
    total, weight = predicted.loss_terms
    name = 'loss_bce' if 'pos_weight' in loss else 'loss_ce'
    # mmseg's computes in single precision.
    torch.testing.assert_close(total / weight, trained[name], check_dtype=False)
    assert weight == (labels != 255).sum()
    wrong = (predicted.pred_sem_seg.data[0] != labels[0]) & (labels[0] != 255)
    wanted = 100 * (1 - wrong.sum() / weight)
    torch.testing.assert_close(trained['acc_seg'].double()[0], wanted)


@pytest.mark.parametrize('binary', [False, True])
def test_a_label_that_the_training_would_refuse_is_no_number(binary):
    """Without an ignore index 255 is a label like any other: no class, so the loss is NaN."""
    loss = dict(type='BinaryCrossEntropyLoss' if binary else 'CrossEntropyLoss')
    head = dict(ONE_CHANNEL if binary else {}, ignore_index=None)
    model = segmentor(loss, head, mode='whole')
    model.measures_loss = True
    with torch.no_grad():
        (predicted,) = model.predict(torch.randn(1, 3, 64, 64).double(), [sample()])
    assert predicted.loss_terms[0].isnan()


def test_hard_pixels_are_mined():
    """mmseg's sampler leaves out the pixels that are surely right; the others are averaged."""
    model = segmentor(dict(type='CrossEntropyLoss', avg_non_ignore=True), mode='whole')
    head = model.decode_head
    logits = torch.randn(2, CLASSES, 16, 16, dtype=torch.float64, requires_grad=True)
    samples = [sample((16, 16)), sample((16, 16))]
    from mmseg.registry import TASK_UTILS

    head.sampler = TASK_UTILS.build(
        dict(type='OHEMPixelSampler', thresh=0.3, min_kept=10), default_args=dict(context=head)
    )
    loss = head.loss_by_feat(logits, samples)['loss_ce']
    loss.backward()
    labels = torch.stack([s.gt_sem_seg.data[0] for s in samples])
    valid = labels != 255
    share = logits.softmax(1).gather(1, labels.where(valid, 0)[:, None])[:, 0]
    hard = valid & (share < 0.3)
    assert 0 < hard.sum() < valid.sum()
    each = F.cross_entropy(logits, labels, ignore_index=255, reduction='none')
    torch.testing.assert_close(loss, each[hard].sum() / valid.sum())
    assert torch.equal(logits.grad.abs().sum(1) > 0, hard)
