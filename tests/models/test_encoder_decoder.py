"""EncoderDecoder: whose children it builds, and predictions equal to the stock class's."""

import copy

import pytest
import torch
from allocations import LargestTensor
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.models import FCNHead as StockFCNHead
from mmseg.models import SegTTAModel
from mmseg.structures import SegDataSample
from parity import pair
from small_models import LINEAR, VIT

from mmseg_custom.registry import MODELS

PREPROCESSOR = dict(type='SegDataPreProcessor', mean=[127.5] * 3, std=[60.0] * 3, bgr_to_rgb=True)
WHOLE = dict(mode='whole')


def config(**arguments):
    base = dict(
        type='EncoderDecoder',
        backbone=VIT,
        decode_head=LINEAR,
        test_cfg=ConfigDict(WHOLE),
        data_preprocessor=PREPROCESSOR,
    )
    return copy.deepcopy({**base, **arguments})


def build(**arguments):
    return MODELS.build({**config(**arguments), '_scope_': 'mmseg_custom'}).eval()


def sample(label=None, **meta):
    data = SegDataSample(metainfo=meta)
    if label is not None:
        data.gt_sem_seg = PixelData(data=label)
    return data


def package(obj):
    return type(obj).__module__.split('.')[0]


class TestChildren:
    @pytest.mark.parametrize('default_scope', ['mmseg', 'mmseg_custom'])
    def test_ours_whatever_the_default_scope_is(self, default_scope):
        given = config(
            type='mmseg_custom.EncoderDecoder',
            auxiliary_head=[LINEAR, {**LINEAR, 'in_index': 0}],
        )
        before = copy.deepcopy(given)
        with DefaultScope.overwrite_default_scope(default_scope):
            model = MODELS.build(given)
        children = [model, model.backbone, model.decode_head, *model.auxiliary_head]
        assert {package(child) for child in children} == {'mmseg_custom'}
        assert package(model.data_preprocessor) == 'mmseg_custom'
        assert given == before

    def test_stock_where_it_is_asked_for(self):
        model = build(
            backbone={**VIT, 'type': 'mmseg.VisionTransformer'},
            decode_head={**LINEAR, 'type': 'mmseg.FCNHead'},
        )
        assert package(model) == 'mmseg_custom'
        children = model.backbone, model.decode_head, model.decode_head.loss_decode
        assert {package(child) for child in children} == {'mmseg'}

    def test_a_name_of_mmseg_only_is_found(self):
        model = build(neck=dict(type='Feature2Pyramid', embed_dim=16, rescales=[1]))
        assert package(model.neck) == 'mmseg'


METAS = {
    'as it is': dict(img_shape=(97, 131), ori_shape=(97, 131)),
    'resized and flipped': dict(
        img_shape=(97, 131), ori_shape=(201, 150), flip=True, flip_direction='horizontal'
    ),
    'padded by the pipeline': dict(
        img_shape=(90, 131),
        pad_shape=(97, 131),
        ori_shape=(50, 60),
        padding_size=(0, 0, 0, 7),
        flip=True,
        flip_direction='vertical',
    ),
    'padded by the preprocessor': dict(
        img_shape=(90, 120),
        pad_shape=torch.Size((97, 131)),
        ori_shape=(180, 240),
        img_padding_size=(0, 11, 0, 7),
    ),
    'none': None,
}
HEADS = {
    'many classes': LINEAR,
    'align corners': {**LINEAR, 'align_corners': True},
    'one channel': {
        **LINEAR,
        'num_classes': 2,
        'out_channels': 1,
        'threshold': 0.4,
        'loss_decode': dict(type='CrossEntropyLoss', use_sigmoid=True),
    },
}


class TestPrediction:
    @pytest.mark.parametrize('keep_logits', [False, True])
    @pytest.mark.parametrize('head', HEADS)
    @pytest.mark.parametrize('meta', METAS)
    @torch.no_grad()
    def test_numbers_of_the_stock_class(self, meta, head, keep_logits):
        ours, stock = pair(config(decode_head=HEADS[head]))
        ours.test_cfg['keep_logits'] = keep_logits
        images = torch.randn(2, 3, 97, 131, dtype=torch.float64)
        results = []
        for model in (ours.eval(), stock.eval()):
            samples = METAS[meta] and [sample(**METAS[meta]) for _ in images]
            results.append(model.predict(images, samples))
        for got, want in zip(*results, strict=True):
            assert got.pred_sem_seg.data.dtype == want.pred_sem_seg.data.dtype
            assert torch.equal(got.pred_sem_seg.data, want.pred_sem_seg.data)
            difference = got.seg_logits.data - want.seg_logits.data
            assert difference.abs().max() <= 1e-9 * want.seg_logits.data.abs().max()
            assert got.seg_logits.shape == want.seg_logits.shape

    @torch.no_grad()
    def test_a_head_with_steps_of_its_own_keeps_them(self):
        class Doubled(StockFCNHead):
            def predict_by_feat(self, seg_logits, batch_img_metas):
                assert batch_img_metas[0]['img_path'] == 'a.png'
                return 2 * super().predict_by_feat(seg_logits, batch_img_metas)

        meta = dict(img_shape=(64, 96), ori_shape=(64, 96), img_path='a.png')
        images = torch.randn(1, 3, 64, 96)
        for test_cfg in (WHOLE, dict(mode='slide', crop_size=(64, 64), stride=(48, 48))):
            model = build(test_cfg=ConfigDict(test_cfg))
            plain = model.predict(images, [sample(**meta)])[0].seg_logits.data
            model.decode_head.__class__ = Doubled
            doubled = model.predict(images, [sample(**meta)])[0].seg_logits.data
            assert torch.allclose(doubled, 2 * plain, atol=1e-6)

    def test_full_logits_are_computed_only_when_read(self):
        model = build()
        images = torch.randn(1, 3, 64, 64)
        meta = dict(img_shape=(64, 64), ori_shape=(1100, 900))
        full = 4 * 6 * 1100 * 900
        with torch.no_grad(), LargestTensor() as largest:
            result = model.predict(images, [sample(**meta)])[0]
            for_metrics = result.to_dict()
            copied = copy.deepcopy(result)
        assert largest.bytes <= 8 * 1100 * 900 < full
        assert 'data' not in for_metrics['seg_logits']
        assert torch.equal(for_metrics['pred_sem_seg']['data'], result.pred_sem_seg.data)
        with LargestTensor() as largest:
            logits = copied.seg_logits.data
        assert largest.bytes == full
        assert torch.equal(logits.argmax(0), result.pred_sem_seg.data[0])
        plain = result.cpu().seg_logits
        assert type(plain) is PixelData
        assert torch.equal(plain.data, logits)
        model.test_cfg['keep_logits'] = True
        kept = model.predict(images, [sample(**meta)])[0].to_dict()['seg_logits']['data']
        assert torch.equal(kept, logits)

    @torch.no_grad()
    def test_test_time_augmentation(self):
        ours, stock = pair(config(data_preprocessor=None))
        size = (64, 96)
        image = torch.randn(1, 3, *size, dtype=torch.float64)
        views = [
            (image, dict(img_shape=size)),
            (image.flip(3), dict(img_shape=size, flip=True, flip_direction='horizontal')),
            (image[..., :80], dict(img_shape=(64, 80))),
        ]
        results = []
        for model in (ours.eval(), stock.eval()):
            data = {
                'inputs': [view for view, _ in views],
                'data_samples': [
                    [sample(ori_shape=(70, 99), img_path='a.png', **meta)] for _, meta in views
                ],
            }
            results.append(SegTTAModel(module=model).test_step(data)[0].pred_sem_seg.data)
        assert torch.equal(*results)

    @torch.no_grad()
    def test_test_time_augmentation_of_one_channel(self):
        """The mean of the views' probabilities against the threshold; mmseg's is always above."""
        model = build(decode_head=HEADS['one channel'], data_preprocessor=None)
        model.decode_head.conv_seg.weight.mul_(30)
        image = torch.randn(1, 3, 64, 96)
        views = [(image, {}), (image.flip(3), dict(flip=True, flip_direction='horizontal'))]
        meta = dict(ori_shape=(64, 96), img_shape=(64, 96), img_path='a.png')

        def data():
            samples = [[sample(**meta, **flip)] for _, flip in views]
            return {'inputs': [view for view, _ in views], 'data_samples': samples}

        shares = [
            model.predict(view, [sample(**meta, **flip)])[0].seg_logits.data for view, flip in views
        ]
        wanted = torch.stack(shares).mean(0) > 0.4
        ours = MODELS.get('mmseg_custom.SegTTAModel')(module=model).test_step(data())
        assert torch.equal(ours[0].pred_sem_seg.data, wanted.float())
        assert 0.1 < wanted.float().mean() < 0.9
        stock = SegTTAModel(module=model).test_step(data())
        assert (stock[0].pred_sem_seg.data == 1).all()

    def test_mixed_precision(self):
        model = build()
        images = torch.randn(1, 3, 64, 96)
        with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
            result = model.predict(images)[0]
        assert result.seg_logits.data.dtype == torch.bfloat16
        assert result.pred_sem_seg.data.shape == (1, 64, 96)
        for test_cfg in (WHOLE, dict(mode='slide', crop_size=(64, 96), stride=(64, 96))):
            for dtype in ('bfloat16', 'auto'):
                model.test_cfg = ConfigDict(dtype=dtype, **test_cfg)
                by_key = model.predict(images)[0]
                assert torch.equal(by_key.seg_logits.data, result.seg_logits.data)
        model.test_cfg['dtype'] = 'float32'
        with pytest.raises(ValueError, match="model.test_cfg.dtype='float32', expected bfloat16"):
            model.predict(images)


class TestSeveralSizes:
    SIZES = ((64, 96), (97, 80), (64, 96), (97, 96))

    def batch(self):
        torch.manual_seed(5)
        images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in self.SIZES]
        samples = [
            sample(img_shape=size, ori_shape=(size[0] + 7, size[1] * 2)) for size in self.SIZES
        ]
        return images, samples

    @pytest.mark.parametrize(
        'padding', [None, dict(size_divisor=32), dict(size=(128, 128))], ids=str
    )
    @pytest.mark.parametrize(
        'test_cfg',
        [WHOLE, dict(mode='slide', crop_size=(64, 64), stride=(48, 48))],
        ids=['whole', 'slide'],
    )
    def test_a_batch_equals_one_picture_at_a_time(self, test_cfg, padding):
        model = build(
            test_cfg=ConfigDict(test_cfg), data_preprocessor={**PREPROCESSOR, 'test_cfg': padding}
        ).double()
        images, samples = self.batch()
        together = model.test_step({'inputs': images, 'data_samples': samples})
        images, samples = self.batch()
        for got, image, alone, size in zip(together, images, samples, self.SIZES, strict=True):
            want = model.test_step({'inputs': [image], 'data_samples': [alone]})[0]
            assert got.pred_sem_seg.shape == (size[0] + 7, size[1] * 2)
            assert torch.allclose(got.seg_logits.data, want.seg_logits.data, atol=1e-6)
            same = got.pred_sem_seg.data == want.pred_sem_seg.data
            assert same.float().mean() > 0.9999

    def test_without_samples(self):
        model = build()
        images = [torch.rand(3, *size) for size in self.SIZES]
        inputs = model.data_preprocessor({'inputs': images}, False)['inputs']
        assert [tuple(image.shape[2:]) for image in inputs] == list(self.SIZES)
        shapes = [result.pred_sem_seg.shape for result in model.predict(inputs)]
        assert shapes == list(self.SIZES)


class TestTraining:
    def test_losses_of_the_stock_class(self):
        ours, stock = pair(config(auxiliary_head={**LINEAR, 'in_index': 0}))
        images = torch.randn(2, 3, 64, 64, dtype=torch.float64)
        labels = torch.randint(0, 6, (2, 1, 64, 64))
        labels[:, :, :9] = 255
        losses = [
            model.train().loss(images, [sample(label, img_shape=(64, 64)) for label in labels])
            for model in (ours, stock)
        ]
        assert losses[0].keys() == losses[1].keys()
        for name, want in losses[1].items():
            assert losses[0][name].item() == pytest.approx(
                want.item(), rel=1e-9 if 'loss' in name else 1e-6
            ), name


class TestNotFinite:
    def pictures(self):
        images = torch.randn(2, 3, 64, 64)
        images[1, 0, 5, 5] = float('nan')
        labels = torch.zeros(2, 1, 64, 64, dtype=torch.long)
        meta = dict(img_shape=(64, 64), ori_shape=(64, 64))
        return images, [
            sample(label, img_path=name, **meta) for label, name in zip(labels, ('a.png', 'b.png'))
        ]

    @pytest.mark.parametrize(
        'test_cfg', [WHOLE, dict(mode='slide', crop_size=(48, 48), stride=(16, 16))]
    )
    def test_prediction_names_the_picture(self, test_cfg):
        model = build(test_cfg=ConfigDict(test_cfg))
        images, samples = self.pictures()
        with pytest.raises(ValueError, match=r'the prediction of b\.png is not finite.*mean and'):
            model.predict(images, samples)
        with pytest.raises(ValueError, match='number 1 of the batch is not finite'):
            model.predict(images)
        model.test_cfg['check_finite'] = False
        assert model.predict(images, samples)[1].pred_sem_seg.data.max() < 6
