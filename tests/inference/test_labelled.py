import base64
import copy
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmseg_custom.inference.inferencer import Inferencer
from mmseg_custom.inference.labelled import predict_labelled, score, write_gallery

CLASSES = ('sky', 'road', 'tree', 'car')


@pytest.fixture(scope='module')
def inferencer(config_path, checkpoint_path, tmp_path_factory):
    """Two pictures: the truth of one is what is predicted, of the other it is wrong."""
    root = tmp_path_factory.mktemp('data')
    generator = np.random.default_rng(0)
    options = [
        f'test_dataloader.dataset.data_root={root}',
        'test_dataloader.dataset.img_suffix=.png',
    ]
    prefix = "test_dataloader.dataset.data_prefix={'img_path':'images','seg_map_path':'masks'}"
    metainfo = f'test_dataloader.dataset.metainfo={dict(classes=CLASSES)}'.replace(' ', '')
    options += [prefix, metainfo]
    plain = Inferencer(config_path, checkpoint_path, 'cpu', probs=True, cfg_options=options)
    for folder in ('images', 'masks'):
        (root / folder).mkdir()
    for name, shift in (('<good>', 0), ('bad', 1)):
        picture = generator.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(picture).save(root / 'images' / f'{name}.png')
        labels = (plain(picture).labels + shift) % 4
        Image.fromarray(labels.astype(np.uint8)).save(root / 'masks' / f'{name}.png')
    return plain


def test_truth_and_prediction_belong_together(inferencer):
    bad, good = sorted(predict_labelled(inferencer), key=lambda one: 'good' in one.path)
    np.testing.assert_array_equal(good.labels, good.truth)
    np.testing.assert_array_equal((bad.labels + 1) % 4, bad.truth)
    np.testing.assert_array_equal(good.probs.argmax(0), good.labels)
    assert score(good, CLASSES).miou == 100
    assert score(bad, CLASSES).miou == 0
    assert {iou for _, iou in score(bad, CLASSES).worst} == {0.0}


def test_one_output_channel_has_a_gallery(binary, inferencer, tmp_path):
    config, checkpoint = binary
    config = copy.deepcopy(config)
    dataset = copy.deepcopy(inferencer.model.cfg.test_dataloader.dataset)
    config.test_dataloader.dataset = {**dataset, 'metainfo': dict(classes=('background', 'road'))}
    both = Inferencer(config, checkpoint, 'cpu', probs=True, confidence=False)
    for one in predict_labelled(both):
        np.testing.assert_array_equal(one.labels, one.probs[1] > 0.6)
        Image.fromarray(one.labels.astype(np.uint8)).save(tmp_path / f'{Path(one.path).stem}.png')
    config.test_dataloader.dataset['data_prefix']['seg_map_path'] = str(tmp_path)
    both = Inferencer(config, checkpoint, 'cpu', probs=True, confidence=False)
    ranked = write_gallery(both, 'test', 2, tmp_path / 'worst.html')
    assert [found.miou for found in ranked] == [100.0, 100.0]


def test_the_gallery_begins_with_the_worst(inferencer, tmp_path, monkeypatch):
    ranked = write_gallery(inferencer, 'test', 2, tmp_path / 'new' / 'worst.html')
    assert [found.miou for found in ranked] == [0.0, 100.0]
    page = (tmp_path / 'new' / 'worst.html').read_text()
    assert '&lt;good&gt;.png' in page and '<good>' not in page
    assert page.index('bad.png') < page.index('&lt;good&gt;.png')
    pictures = [base64.b64decode(one) for one in re.findall(r'base64,([^"]+)"', page)]
    assert len(pictures) == 2 and '<h1>The 2 worst of 2 pictures</h1>' in page
    for content in pictures:
        assert np.asarray(Image.open(io.BytesIO(content))).std() > 20
    monkeypatch.setattr(inferencer, 'probs', False)
    only = write_gallery(inferencer, 'test', 1, tmp_path / 'worst.html')
    assert only == ranked and 'good' not in (tmp_path / 'worst.html').read_text()
    assert [one.probs for one in predict_labelled(inferencer)] == [None, None]
    with pytest.raises(ValueError, match='--num 0: expected at least 1'):
        write_gallery(inferencer, 'test', 0, tmp_path / 'worst.html')
