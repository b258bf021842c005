"""The metric against scikit-learn and mmseg's, its reports and what it refuses."""

import json
import math

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger

from mmseg_custom.evaluation import IoUMetric
from mmseg_custom.evaluation.confusion import class_scores, count_confusion
from mmseg_custom.registry import METRICS

pytestmark = pytest.mark.filterwarnings('ignore:The prefix is not set')
ALL = ['mIoU', 'mDice', 'mFscore']
CLASSES = ['road', 'sky', 'tree', 'car', 'tram']


def make_sample(prediction, label, name='street/a.jpg', **extra):
    return {
        'pred_sem_seg': {'data': torch.as_tensor(prediction)[None]},
        'gt_sem_seg': {'data': torch.as_tensor(label)[None]},
        'img_path': name,
        'seg_map_path': name.replace('.jpg', '.png'),
        **extra,
    }


def random_samples(num_classes=5, size=(40, 30), count=4, ignored=0.2, seed=0):
    """Samples in which two predictions of three are right."""
    rng = np.random.default_rng(seed)
    samples = []
    for index in range(count):
        label = rng.integers(0, num_classes, size)
        other = rng.integers(0, num_classes, size)
        prediction = np.where(rng.random(size) < 0.6, label, other)
        label[rng.random(size) < ignored] = 255
        samples.append(make_sample(prediction, label, f'street/{index}.jpg'))
    return samples


def make_metric(classes=CLASSES, **arguments):
    metric = IoUMetric(**arguments)
    metric.dataset_meta = dict(classes=tuple(classes))
    return metric


def evaluate(metric, samples, batch_size=2):
    for start in range(0, len(samples), batch_size):
        metric.process(None, samples[start : start + batch_size])
    return metric.evaluate(len(samples))


def pixels(samples):
    labels = np.concatenate([s['gt_sem_seg']['data'].numpy().ravel() for s in samples])
    predictions = np.concatenate([s['pred_sem_seg']['data'].numpy().ravel() for s in samples])
    return labels[labels != 255], predictions[labels != 255]


def test_equals_scikit_learn():
    sklearn_metrics = pytest.importorskip('sklearn.metrics')
    samples = random_samples()
    labels, predictions = pixels(samples)
    matrix = sum(
        count_confusion(
            s['pred_sem_seg']['data'][0], s['gt_sem_seg']['data'][0], len(CLASSES), ignore_index=255
        )
        for s in samples
    )
    assert matrix.dtype == torch.int64
    assert matrix.tolist() == sklearn_metrics.confusion_matrix(labels, predictions).tolist()
    accuracy, scores = class_scores(matrix, ALL, beta=2)
    assert accuracy == pytest.approx(sklearn_metrics.accuracy_score(labels, predictions), rel=1e-12)
    options = dict(average=None)
    expected = {
        'IoU': sklearn_metrics.jaccard_score(labels, predictions, **options),
        'Dice': sklearn_metrics.f1_score(labels, predictions, **options),
        'Fscore': sklearn_metrics.fbeta_score(labels, predictions, beta=2, **options),
        'Precision': sklearn_metrics.precision_score(labels, predictions, **options),
        'Recall': sklearn_metrics.recall_score(labels, predictions, **options),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(scores[name].numpy(), values, rtol=1e-12)
    summary = evaluate(make_metric(iou_metrics=ALL, beta=2), samples)
    for name, values in expected.items():
        assert summary[f'm{name}'] == round(100 * values.mean(), 2)


@pytest.mark.parametrize('arguments', [{}, {'nan_to_num': 0}, {'beta': 2}])
@pytest.mark.parametrize('iou_metrics', ['mIoU', ['mFscore'], ALL])
def test_summary_equals_mmseg(iou_metrics, arguments):
    samples = random_samples(num_classes=4, ignored=0.0)
    ours = make_metric(iou_metrics=iou_metrics, **arguments)
    assert type(METRICS.build(dict(type='IoUMetric'))) is IoUMetric
    stock = METRICS.build(dict(type='mmseg.IoUMetric', iou_metrics=iou_metrics, **arguments))
    stock.dataset_meta = dict(classes=CLASSES)
    actual, expected = evaluate(ours, samples), evaluate(stock, samples)
    assert list(actual) == list(expected)
    for name, value in expected.items():
        assert actual[name] == pytest.approx(float(value), abs=0.011)


def test_counts_are_exact_past_float32():
    size, count = (1024, 1024), 17
    label = torch.zeros(size, dtype=torch.uint8)
    label[0, 0] = 1
    sample = make_sample(torch.zeros(size, dtype=torch.uint8), label)
    metric = make_metric()
    for _ in range(count):
        metric.process(None, [sample])
    matrix, num_pictures = metric._gather(count)
    assert num_pictures == count and count * 2**20 > 2**24
    assert matrix[0, 0].item() == count * (2**20 - 1)
    assert matrix[1, 0].item() == count
    assert matrix.sum().item() == count * 2**20


def test_repeated_pictures_are_left_out():
    samples = random_samples(count=5)
    expected = evaluate(make_metric(iou_metrics=ALL), samples)
    metric = make_metric(iou_metrics=ALL)
    metric.process(None, [*samples, samples[0]])
    assert metric.evaluate(5) == expected
    metric.process(None, [*samples, *samples[:2]])
    with pytest.raises(ValueError, match='more than one picture too many in 1 of 1 processes'):
        metric.evaluate(5)
    assert evaluate(metric, samples) == expected, 'an error left something behind'


def test_each_evaluation_starts_afresh():
    metric, samples = make_metric(), random_samples()
    assert evaluate(metric, samples) == evaluate(metric, samples)
    with pytest.raises(ValueError, match='no picture was evaluated'):
        metric.evaluate(4)


def test_absent_and_missed_classes():
    """Tram is nowhere; car is labelled and never found; tree is predicted and never right."""
    label = torch.tensor([[0, 0, 1, 3]])
    prediction = torch.tensor([[0, 1, 1, 2]])
    _, scores = class_scores(count_confusion(prediction, label, 5, 255), ALL)
    expected = {
        'IoU': [1 / 2, 1 / 2, 0, 0, math.nan],
        'Acc': [1 / 2, 1, math.nan, 0, math.nan],
        'Dice': [2 / 3, 2 / 3, 0, 0, math.nan],
        'Fscore': [2 / 3, 2 / 3, 0, 0, math.nan],
        'Precision': [1, 1 / 2, 0, math.nan, math.nan],
        'Recall': [1 / 2, 1, math.nan, 0, math.nan],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(scores[name].numpy(), values, rtol=1e-12)
    summary = evaluate(make_metric(), [make_sample(prediction, label)])
    assert summary == {'aAcc': 50.0, 'mIoU': 25.0, 'mAcc': 50.0}
    summary = evaluate(make_metric(nan_to_num=1), [make_sample(prediction, label)])
    assert summary['mIoU'] == 40.0


def test_float_maps_of_binary_heads_and_maps_without_leading_axis():
    label = torch.tensor([[0, 1], [1, 255]])
    sample = make_sample(torch.tensor([[0.0, 1.0], [0.0, 1.0]]), label)
    sample['gt_sem_seg']['data'] = label
    assert evaluate(make_metric(['no', 'yes']), [sample])['aAcc'] == 66.67


def test_table_reaches_the_log_file(tmp_path):
    MMLogger.get_instance('table', log_file=str(tmp_path / 'run.log'), log_level='INFO')
    samples = random_samples(num_classes=4)
    try:
        evaluate(make_metric(iou_metrics=['mIoU']), samples)
    finally:
        MMLogger._instance_dict.pop('table')
    log = (tmp_path / 'run.log').read_text()
    labels, _ = pixels(samples)
    assert f'{(labels == 0).sum():,}' in log and f'{len(labels):,}' in log
    assert '1 of 5 classes occur neither in the labels nor in the predictions' in log
    assert log.rstrip().endswith('left out of the means: tram')
    (tram,) = [line for line in log.splitlines() if line.startswith('| tram')]
    assert tram.replace('|', ' ').split() == ['tram', '-', '-', '0', '0.00']


def test_report_holds_numbers_and_a_picture(tmp_path):
    from PIL import Image

    samples = random_samples(num_classes=4)
    metric = make_metric(iou_metrics=ALL, report_dir=str(tmp_path / 'report'), prefix='val')
    summary = evaluate(metric, samples)
    content = json.loads((tmp_path / 'report' / 'metrics.json').read_text())
    assert {f'val/{k}': round(v, 2) for k, v in content['summary'].items()} == summary
    assert content['absent_classes'] == ['tram'] and content['num_pictures'] == 4
    assert content['per_class']['tram']['IoU'] is None
    labels, predictions = pixels(samples)
    matrix = np.array(content['confusion_matrix'])
    assert matrix[2, 1] == ((labels == 2) & (predictions == 1)).sum()
    assert content['per_class']['tree']['pixels'] == (labels == 2).sum()
    with Image.open(tmp_path / 'report' / 'confusion_matrix.png') as picture:
        assert min(picture.size) > 300 and len(picture.convert('RGB').getcolors(1 << 20)) > 10


@pytest.mark.parametrize('reduce_zero_label', [False, True])
def test_predictions_for_a_test_server(tmp_path, reduce_zero_label):
    from PIL import Image

    sample = make_sample(
        np.array([[0, 1], [4, 2]]), np.zeros((2, 2), int), reduce_zero_label=reduce_zero_label
    )
    del sample['gt_sem_seg']
    metric = make_metric(output_dir=str(tmp_path / 'out'), format_only=True)
    assert evaluate(metric, [sample]) == {}
    with Image.open(tmp_path / 'out' / 'a.png') as picture:
        written = np.array(picture)
    assert written.dtype == np.uint8
    assert written.tolist() == (np.array([[0, 1], [4, 2]]) + reduce_zero_label).tolist()
    other = dict(sample, img_path='other/a.jpg')
    with pytest.raises(ValueError, match=r'street/a.jpg and other/a.jpg would .* as a to .*out'):
        evaluate(metric, [sample, other])


@pytest.mark.parametrize(
    ('label', 'prediction', 'message'),
    [
        ([[0, 9], [9, 7]], [[0, 0], [0, 0]], r'street/a.png: label outside.*7 \(1 .*, 9 \(2 pix'),
        ([[0, -1], [0, 0]], [[0, 0], [0, 0]], r'street/a.png: label .*0..4: -1 \(1 pixels\)'),
        ([[0, 5], [0, 0]], [[0, 0], [0, 0]], r'5 \(1 pixels\) \(ignore_index=255\)'),
        ([[0, 255], [0, 0]], [[6, 0], [0, 0]], r'prediction outside .*6 \(1 pixels\)'),
        ([[0, 0]], [[0, 0], [0, 0]], r'prediction has size \(2, 2\), the label \(1, 2\)'),
    ],
)
def test_wrong_maps_are_named(label, prediction, message):
    with pytest.raises(ValueError, match=message):
        make_metric().process(None, [make_sample(prediction, label)])


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match='must name some of mIoU, mDice, mFscore; remove mIou'):
        IoUMetric(iou_metrics=['mIou'])
    with pytest.raises(ValueError, match='set output_dir'):
        IoUMetric(format_only=True)
    sample = make_sample([[0]], [[0]])
    del sample['gt_sem_seg']
    with pytest.raises(ValueError, match=r'street/a.png has no label .*format_only=True'):
        make_metric().process(None, [sample])
    with pytest.raises(ValueError, match='no class names'):
        IoUMetric().process(None, [make_sample([[0]], [[0]])])


def test_foreground_scores():
    """The scores of class 1 against scikit-learn's, beside the means of both; 255 is left out."""
    sklearn_metrics = pytest.importorskip('sklearn.metrics')
    samples = random_samples(num_classes=2)
    for sample in samples:
        # As a head with one channel predicts.
        sample['pred_sem_seg']['data'] = sample['pred_sem_seg']['data'].float()
    scores = evaluate(make_metric(['background', 'thing'], foreground=1), samples)
    labels, predictions = pixels(samples)
    names = {'IoU': 'jaccard', 'Dice': 'f1', 'Precision': 'precision', 'Recall': 'recall'}
    for name, theirs in names.items():
        wanted = getattr(sklearn_metrics, f'{theirs}_score')(labels, predictions)
        assert scores[f'fg{name}'] == round(100 * wanted, 2)
    both = sklearn_metrics.jaccard_score(labels, predictions, average='macro')
    assert scores['mIoU'] == round(100 * both, 2)
    with pytest.raises(ValueError, match='foreground=2 is no class of 0..1; set it to 1'):
        evaluate(make_metric(['background', 'thing'], foreground=2), samples)
