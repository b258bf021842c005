import csv
import json
import shutil
import struct

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
from mmseg_custom.inference.prediction_report import report_results, summary
from mmseg_custom.inference.video import VideoWriter, frame_rate, read_frames
from mmseg_custom.visualization.rendering import blend


@pytest.fixture(scope='module')
def inferencer(config_path, checkpoint_path):
    return Inferencer(config_path, checkpoint_path, 'cpu', batch_size=2, probs=True)


def results_of(inferencer, source, out, *kinds, opacity=0.5):
    jobs = plan_jobs(source, out, kinds or None)
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


def test_unreadable_pictures_do_not_stop_the_others(
    inferencer, picture, picture_path, tmp_path, capsys
):
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
    assert report_results(results, 4, inferencer, tmp_path / 'out') == 2
    told = capsys.readouterr().err.splitlines()
    assert told[0] == '2 of 4 files failed:' and told[1].count('a.jpg') == 1
    assert told[2].startswith(f'  {folder}/b.png: an image of 8x8 pixels is too small')
    assert summary(2, 4.0, inferencer).startswith('2 pictures: 0.50 images/s end to end, ')


def test_files_that_exist_are_kept(picture_path, tmp_path):
    existing = tmp_path / 'blocks_overlay.png'
    existing.touch()
    with pytest.raises(FileExistsError, match=rf'1 of 2 files.*{existing}.*--overwrite'):
        plan_jobs(picture_path, tmp_path)
    assert len(plan_jobs(picture_path, tmp_path, overwrite=True)) == 1


def test_wrong_sources(picture_path, tmp_path):
    folder = picture_path.parent
    with pytest.raises(FileNotFoundError, match='nothing does not exist; .* has 1 files'):
        plan_jobs(tmp_path / 'nothing', tmp_path / 'out')
    with pytest.raises(FileNotFoundError, match='block.png does not exist.*mean blocks.png'):
        plan_jobs(folder / 'block.png', tmp_path / 'out')
    with pytest.raises(ValueError, match='lies in the folder of the pictures'):
        plan_jobs(folder, folder / 'out')
    with pytest.raises(ValueError, match="--save got 'masks' for .*pictures some of mask,"):
        plan_jobs(folder, tmp_path / 'out', ['masks'])
    (tmp_path / 'film.mp4').touch()
    with pytest.raises(ValueError, match="got 'probs' for .*film.mp4; expected of a video some of"):
        plan_jobs(tmp_path / 'film.mp4', tmp_path / 'out', ['probs'])
    with pytest.raises(ValueError, match="got 'probs' for .*of pictures in tiles some of mask"):
        plan_jobs(folder, tmp_path / 'out', ['probs'], tiled=True)
    (folder / 'blocks.jpg').touch()
    with pytest.raises(ValueError, match='blocks_classes.png would be written of two pictures'):
        plan_jobs(folder / '*', tmp_path / 'out')
    with pytest.raises(ValueError, match=r"stem 'blocks'.*blocks.jpg and blocks.png"):
        plan_jobs(folder, tmp_path / 'out')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match='0 pictures'):
        plan_jobs(tmp_path / 'empty', tmp_path / 'out')


@pytest.fixture(scope='module')
def film(tmp_path_factory):
    """Twelve frames of 96x64, each of one grey, 10 more than the one before; 3 a second."""
    pytest.importorskip('av')
    path = tmp_path_factory.mktemp('film') / 'film.mp4'
    for suffix in ('.mp4', '.mkv'):
        with VideoWriter(path.with_suffix(suffix), 3) as writer:
            for number in range(12):
                writer.write(np.full((64, 96, 3), 20 + 10 * number, np.uint8))
    return path


def test_a_video_keeps_order_rate_and_size(inferencer, film, tmp_path):
    frames = list(read_frames(film))
    assert [round(frame.mean(), -1) for frame in frames] == [20 + 10 * n for n in range(12)]
    (result,) = results_of(inferencer, film, tmp_path / 'out', 'overlay', 'side-by-side')
    assert (result.error, result.size, result.num_pictures) == (None, '12 frames', 12)
    assert frame_rate(result.files['overlay']) == 3
    written = list(read_frames(result.files['side-by-side']))
    assert len(written) == 12 and written[0].shape == (64, 192, 3)
    for frame, shown in zip(frames, written):
        np.testing.assert_allclose(shown[:, :96].mean(), frame.mean(), atol=3)
        expected = blend(frame, inferencer(frame).labels, inferencer.model.dataset_meta['palette'])
        assert abs(shown[:, 96:].astype(int) - expected).mean() < 12


def test_a_video_is_turned_as_the_camera_noted(tmp_path):
    pytest.importorskip('av')
    left_white = np.zeros((64, 96, 3), np.uint8)
    left_white[:, :48] = 255
    with VideoWriter(tmp_path / 'film.mp4', 3) as writer:
        writer.write(left_white)
    content = (tmp_path / 'film.mp4').read_bytes()
    # The matrix of the track: a quarter to the right instead of the identity.
    one = 1 << 16
    upright, turned = (
        struct.pack('>9i', *rows, 1 << 30)
        for rows in [(one, 0, 0, 0, one, 0, 0, 0), (0, one, 0, -one, 0, 0, 0, 0)]
    )
    start = content.index(upright, content.index(b'tkhd'))
    (tmp_path / 'film.mp4').write_bytes(content[:start] + turned + content[start + 36 :])
    (frame,) = read_frames(tmp_path / 'film.mp4')
    np.testing.assert_allclose(frame, np.rot90(left_white, -1), atol=12)


def test_videos_and_pictures_of_one_pattern(inferencer, film, picture_path, tmp_path):
    """All of them, in spite of a video without its index, which leaves nothing."""
    folder, out = picture_path.parent, tmp_path / 'out'
    for name in ('a.mp4', 'c.mp4'):
        shutil.copy(film, folder / name)
    (folder / 'b.mp4').write_bytes(film.read_bytes()[:900])
    sizes, written = {}, [inferencer.seconds['write']]
    for result in predict_files(inferencer, plan_jobs(folder / '*', out), out):
        sizes[result.image.name] = result.error or result.size
        written.append(inferencer.seconds['write'])
    assert f'{folder}/b.mp4 (900 bytes) cannot be read ' in sizes.pop('b.mp4')
    assert sizes == {'blocks.png': '90x61', 'a.mp4': '12 frames', 'c.mp4': '12 frames'}
    assert sorted(path.name for path in out.iterdir()) == [
        *('a_overlay.mp4', 'blocks_classes.png', 'blocks_overlay.png', 'c_overlay.mp4')
    ]
    assert written[0] < written[1] < written[2] == written[3] < written[4]


def test_a_video_that_is_cut_off_is_predicted_up_to_there(inferencer, film, picture, tmp_path):
    cut, content = tmp_path / 'cut.mkv', film.with_suffix('.mkv').read_bytes()
    cut.write_bytes(content[: len(content) * 4 // 5])
    frames, reasons = [], {}
    for prediction in inferencer.stream(
        [picture, cut, tmp_path / 'none.png', picture], failed=reasons.__setitem__
    ):
        frames.append(prediction.image)
    assert [*reasons] == [str(cut), str(tmp_path / 'none.png')]
    count = len(frames) - 2
    assert 1 <= count < 9
    assert f'{cut} is cut off or damaged: it gives {count} frames, ' in reasons[str(cut)]
    for number, frame in enumerate(frames[1:-1]):
        assert abs(frame.mean() - (20 + 10 * number)) < 3
    np.testing.assert_array_equal(frames[-1], picture)
    with pytest.raises(ValueError, match='is cut off or damaged'):
        inferencer(cut)
