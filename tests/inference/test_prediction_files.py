import csv
import json

import numpy as np
import pytest
from PIL import Image

from mmseg_custom.inference.inferencer import Inferencer
from mmseg_custom.inference.prediction_files import (
    AREAS_FILE,
    COCO_FILE,
    ENDINGS,
    plan_jobs,
    predict_files,
)
from mmseg_custom.inference.prediction_report import summary
from mmseg_custom.inference.video import VideoWriter, frame_rate, read_frames
from mmseg_custom.visualization.rendering import blend


@pytest.fixture(scope='module')
def inferencer(config_path, checkpoint_path):
    return Inferencer(config_path, checkpoint_path, 'cpu', batch_size=2, probs=True)


def results_of(inferencer, source, out, *kinds, opacity=0.5):
    jobs = plan_jobs(source, out, kinds or ('mask', 'overlay'))
    return list(predict_files(inferencer, jobs, out, opacity))


def test_every_kind_of_file(inferencer, picture, picture_path, tmp_path):
    pytest.importorskip('pycocotools')
    out = tmp_path / 'out'
    (result,) = results_of(inferencer, picture_path, out, *ENDINGS, opacity=0.3)
    prediction = inferencer(picture)
    labels, palette = prediction.labels, np.array(prediction.palette)
    assert (result.error, result.size) == (None, '90x61')
    np.testing.assert_allclose(result.shares, [(labels == i).mean() for i in range(4)], atol=1e-12)

    def read(kind):
        return np.asarray(Image.open(result.files[kind]))

    np.testing.assert_array_equal(read('mask'), labels)
    shown = np.asarray(Image.open(result.files['mask']).convert('RGB'))
    np.testing.assert_array_equal(shown, palette[labels])
    np.testing.assert_array_equal(read('color'), palette[labels])
    enlarged = [array.repeat(6, 0).repeat(6, 1) for array in (picture, labels)]
    expected = blend(*enlarged, palette, 0.3)
    np.testing.assert_array_equal(read('overlay')[: 61 * 6, : 90 * 6], expected)
    np.testing.assert_array_equal(read('side-by-side')[:, :90], picture)
    np.testing.assert_array_equal(
        read('side-by-side')[:, 90:], blend(picture, labels, palette, 0.3, 0)
    )
    probs = np.load(result.files['probs'])
    assert probs['classes'].tolist() == list(inferencer.classes)
    np.testing.assert_allclose(probs['probs'], prediction.probs, atol=1e-3)

    regions = json.loads(result.files['regions'].read_text())['features']
    hosted = json.loads(result.files['hosted'].read_text())['regions']
    coco = json.loads((out / COCO_FILE).read_text())
    rows = list(csv.DictReader((out / AREAS_FILE).open()))
    count = len(prediction.regions)
    assert [len(regions), len(hosted), len(coco['annotations'])] == [count] * 3
    assert sum(int(row['area_px']) for row in rows) == labels.size
    assert sum(int(row['regions']) for row in rows) == count


def test_a_folder_is_searched_with_its_sub_folders(picture_path, tmp_path):
    folder = picture_path.parent
    for name in ('b/two.JPG', 'a.webp', '.hidden/three.png', 'notes.txt'):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    jobs = plan_jobs(folder, tmp_path / 'out')
    images = [job.image.relative_to(folder).as_posix() for job in jobs]
    assert images == ['a.webp', 'b/two.JPG', 'blocks.png']
    assert jobs[1].files == {
        'mask': tmp_path / 'out' / 'b' / 'two_classes.png',
        'overlay': tmp_path / 'out' / 'b' / 'two_overlay.png',
    }
    assert not (tmp_path / 'out').exists()
    pattern = plan_jobs(folder / '**' / '*w*', tmp_path / 'out')
    assert sorted(job.image.name for job in pattern) == ['a.webp', 'two.JPG']


def test_unreadable_pictures_do_not_stop_the_others(inferencer, picture, picture_path, tmp_path):
    folder = picture_path.parent
    (folder / 'a.jpg').write_text('broken')
    Image.fromarray(picture[:8, :8]).save(folder / 'b.png')
    Image.fromarray(picture[::-1]).save(folder / 'c.png')
    results = results_of(inferencer, folder, tmp_path / 'out')
    errors = {result.image.name: result.error for result in results}
    assert set(errors) == {'a.jpg', 'b.png', 'blocks.png', 'c.png'}
    assert 'a.jpg (6 bytes) is not a readable picture' in errors['a.jpg']
    assert 'an image of 8x8 pixels is too small' in errors['b.png']
    assert errors['blocks.png'] is None and errors['c.png'] is None
    names = sorted(path.name for path in (tmp_path / 'out').iterdir())
    assert names == [
        f'{stem}_{kind}.png' for stem in ('blocks', 'c') for kind in ('classes', 'overlay')
    ]
    assert summary(2, 4.0, inferencer).startswith('2 pictures: 0.50 images/s end to end, ')


def test_files_that_exist_are_kept(picture_path, tmp_path):
    existing = tmp_path / 'blocks_overlay.png'
    existing.touch()
    with pytest.raises(FileExistsError, match=rf'1 of 2 files.*{existing}.*--overwrite'):
        plan_jobs(picture_path, tmp_path)
    assert len(plan_jobs(picture_path, tmp_path, overwrite=True)) == 1


def test_wrong_sources(picture_path, tmp_path):
    folder = picture_path.parent
    with pytest.raises(FileNotFoundError, match='nothing does not exist'):
        plan_jobs(tmp_path / 'nothing', tmp_path / 'out')
    with pytest.raises(ValueError, match='lies in the folder of the pictures'):
        plan_jobs(folder, folder / 'out')
    with pytest.raises(ValueError, match="--save got 'masks'; expected of pictures some of mask,"):
        plan_jobs(folder, tmp_path / 'out', ['masks'])
    with pytest.raises(ValueError, match="--save got 'probs'; expected of a video some of color,"):
        plan_jobs(tmp_path / 'film.mp4', tmp_path / 'out', ['probs'])
    (folder / 'blocks.jpg').touch()
    with pytest.raises(ValueError, match=r"stem 'blocks'.*blocks.jpg and blocks.png"):
        plan_jobs(folder, tmp_path / 'out')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match='0 images'):
        plan_jobs(tmp_path / 'empty', tmp_path / 'out')


@pytest.fixture(scope='module')
def film(tmp_path_factory):
    """Twelve frames of 96x64, each of one grey, 10 more than the one before."""
    pytest.importorskip('av')
    path = tmp_path_factory.mktemp('film') / 'film.mp4'
    with VideoWriter(path, 12) as writer:
        for number in range(12):
            writer.write(np.full((64, 96, 3), 20 + 10 * number, np.uint8))
    return path


def test_a_video_keeps_order_rate_and_size(inferencer, film, tmp_path):
    frames = list(read_frames(film))
    assert [round(frame.mean(), -1) for frame in frames] == [20 + 10 * n for n in range(12)]
    (result,) = results_of(inferencer, film, tmp_path / 'out', 'overlay', 'side-by-side')
    assert (result.error, result.size, result.num_pictures) == (None, '12 frames', 12)
    assert frame_rate(result.files['overlay']) == 12
    written = list(read_frames(result.files['side-by-side']))
    assert len(written) == 12 and written[0].shape == (64, 192, 3)
    for frame, shown in zip(frames, written):
        np.testing.assert_allclose(shown[:, :96].mean(), frame.mean(), atol=3)
        expected = blend(frame, inferencer(frame).labels, inferencer.model.dataset_meta['palette'])
        assert abs(shown[:, 96:].astype(int) - expected).mean() < 12


def test_a_truncated_video_leaves_nothing(inferencer, film, tmp_path):
    broken = tmp_path / 'broken.mp4'
    broken.write_bytes(film.read_bytes()[:900])
    (result,) = results_of(inferencer, broken, tmp_path / 'out', 'overlay')
    assert f'{broken} (900 bytes) cannot be read ' in result.error
    assert not list((tmp_path / 'out').glob('*'))
