import numpy as np
import pytest
from PIL import Image

from mmseg_custom.inference.prediction_files import plan_jobs, predict_files
from mmseg_custom.inference.predictor import load_model, predict_image
from mmseg_custom.visualization.rendering import blend


@pytest.fixture(scope='module')
def model(config_path, checkpoint_path):
    return load_model(config_path, checkpoint_path, 'cpu')


def test_class_map_and_overlay_of_a_picture(model, picture, picture_path, tmp_path):
    (job,) = plan_jobs(picture_path, tmp_path / 'out')
    (result,) = predict_files(model, [job], opacity=0.3)
    class_map = predict_image(model, picture)
    written = Image.open(tmp_path / 'out' / 'blocks_classes.png')
    np.testing.assert_array_equal(np.asarray(written), class_map)
    palette = np.array(model.dataset_meta['palette'])
    np.testing.assert_array_equal(np.asarray(written.convert('RGB')), palette[class_map])

    overlay = np.asarray(Image.open(tmp_path / 'out' / 'blocks_overlay.png'))
    enlarged = [array.repeat(6, 0).repeat(6, 1) for array in (picture, class_map)]
    expected = blend(*enlarged, model.dataset_meta['palette'], 0.3)
    np.testing.assert_array_equal(overlay[: 61 * 6, : 90 * 6], expected)

    assert result.error is None
    assert result.size == (90, 61)
    np.testing.assert_allclose(
        result.shares, [(class_map == i).mean() for i in range(4)], atol=1e-12
    )


def test_a_folder_is_searched_with_its_sub_folders(picture_path, tmp_path):
    folder = picture_path.parent
    for name in ('b/two.JPG', 'a.webp', '.hidden/three.png', 'notes.txt'):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    jobs = plan_jobs(folder, tmp_path / 'out')
    images = [job.image.relative_to(folder).as_posix() for job in jobs]
    assert images == ['a.webp', 'b/two.JPG', 'blocks.png']
    assert jobs[1].class_map == tmp_path / 'out' / 'b' / 'two_classes.png'
    assert jobs[1].overlay == tmp_path / 'out' / 'b' / 'two_overlay.png'
    assert not (tmp_path / 'out').exists()


def test_unreadable_pictures_do_not_stop_the_others(model, picture_path, tmp_path):
    (picture_path.parent / 'a.jpg').write_text('broken')
    jobs = plan_jobs(picture_path.parent, tmp_path / 'out')
    broken, done = predict_files(model, jobs)
    assert 'a.jpg (6 bytes) is not a readable picture' in broken.error
    assert done.error is None
    names = sorted(path.name for path in (tmp_path / 'out').iterdir())
    assert names == ['blocks_classes.png', 'blocks_overlay.png']


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
    (folder / 'blocks.jpg').touch()
    with pytest.raises(ValueError, match=r"stem 'blocks'.*blocks.jpg and blocks.png"):
        plan_jobs(folder, tmp_path / 'out')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match='0 images'):
        plan_jobs(tmp_path / 'empty', tmp_path / 'out')
