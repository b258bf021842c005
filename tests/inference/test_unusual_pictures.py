"""Pictures of every sort in one folder: each is predicted as it looks, or named with a reason."""

import numpy as np
import pytest
from PIL import Image

from mmseg_custom.inference.video import VideoWriter, frame_size, read_frames

SEGMENTER = 'segmenter/segmenter_vit-t_mask_1xb8-4k_camvid-360x480.py'
SEGFORMER = 'segformer/segformer_mit-b1_8xb2-160k_ade20k-512x512.py'
RESIZE = "{'type':'Resize','scale':(2048,64),'keep_ratio':True}"


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A photograph-like picture in many forms, and files that are no pictures."""
    folder = tmp_path_factory.mktemp('unusual')
    small = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    picture = Image.fromarray(small).resize((96, 64), Image.Resampling.BICUBIC)
    picture.save(folder / 'plain.png')
    grey = picture.convert('L')
    grey.save(folder / 'grey.png')
    grey.convert('RGB').save(folder / 'grey_as_rgb.png')
    picture.convert('RGBA').save(folder / 'alpha.png')
    picture.quantize(256).save(folder / 'palette.png')
    picture.quantize(256).convert('RGB').save(folder / 'palette_as_rgb.png')
    deep = np.asarray(grey).astype(np.uint16) * 256
    Image.fromarray(deep).save(folder / 'deep.png')
    picture.convert('CMYK').save(folder / 'cmyk.jpg', quality=100, subsampling=0)
    picture.convert('CMYK').convert('RGB').save(folder / 'cmyk_as_rgb.png')
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    picture.save(folder / 'turned.jpg', quality=100, subsampling=0, exif=exif)
    picture.transpose(Image.Transpose.ROTATE_270).save(folder / 'turned_as_seen.png')
    Image.fromarray(np.full((1, 1, 3), 90, np.uint8)).save(folder / 'one.png')
    Image.fromarray(np.full((10, 50_000, 3), 90, np.uint8)).save(folder / 'long.png')
    (folder / 'empty.png').touch()
    (folder / 'text.jpg').write_text('no picture')
    content = (folder / 'turned.jpg').read_bytes()
    (folder / 'cut.jpg').write_bytes(content[:60])
    return folder


@pytest.mark.slow
def test_a_video_cut_in_the_middle_beside_others(run_tool, config_path, checkpoint_path, tmp_path):
    """Its frames before the cut are predicted, it is named at the end, and the status says so."""
    pytest.importorskip('av')
    folder, out = tmp_path / 'films', tmp_path / 'out'
    generator = np.random.default_rng(0)
    with VideoWriter(folder / 'whole.mkv', 8) as writer:
        for _ in range(40):
            writer.write(generator.integers(0, 256, (64, 96, 3), dtype=np.uint8))
    content = (folder / 'whole.mkv').read_bytes()
    (folder / 'cut.mkv').write_bytes(content[: len(content) // 2])
    Image.fromarray(np.zeros((64, 96, 3), np.uint8)).save(folder / 'picture.png')
    call = ('predict.py', config_path, checkpoint_path, folder / '*', '--out-dir', out)
    run = run_tool(*call, '--device', 'cpu', '--batch-size', '4')
    assert run.returncode == 1, run.stderr
    assert '1 of 3 files failed:' in run.stderr and 'Traceback' not in run.stderr
    count = len(list(read_frames(out / 'cut_overlay.mp4')))
    assert 10 <= count < 25
    assert f'{folder}/cut.mkv is cut off or damaged: it gives {count} frames, ' in run.stderr
    assert len(list(read_frames(out / 'whole_overlay.mp4'))) == 40
    assert (out / 'picture_overlay.png').is_file()
    assert f'{40 + count + 1} pictures: ' in run.stdout


@pytest.mark.slow
@pytest.mark.parametrize('config', [SEGMENTER, SEGFORMER])
def test_another_model_than_the_checkpoint_s(run_tool, checkpoint_path, folder, config, tmp_path):
    call = ('predict.py', config, checkpoint_path, folder, '--out-dir', tmp_path / 'out')
    run = run_tool(*call, '--device', 'cpu')
    assert run.returncode == 2 and not (tmp_path / 'out').exists()
    (error,) = run.stderr.splitlines()
    assert error.startswith('error: ') and str(checkpoint_path) in error


def test_a_list_of_videos_is_none(tmp_path):
    """FFmpeg would open the files that it names."""
    pytest.importorskip('av')
    with VideoWriter(tmp_path / 'other.mkv', 8) as writer:
        for _ in range(2):
            writer.write(np.zeros((32, 48, 3), np.uint8))
    assert frame_size(tmp_path / 'other.mkv') == (48, 32)
    (tmp_path / 'list.mp4').write_text('ffconcat version 1.0\nfile other.mkv\n')
    with pytest.raises(ValueError, match=r'list\.mp4 .* cannot be read .*expected a whole file'):
        next(read_frames(tmp_path / 'list.mp4'))


def test_a_batch_of_unusual_pictures(run_tool, config_path, checkpoint_path, folder, tmp_path):
    out = tmp_path / 'out'
    pipeline = f"test_dataloader.dataset.pipeline=[{{'type':'LoadImageFromFile'}},{RESIZE},"
    run = run_tool(
        *('predict.py', config_path, checkpoint_path, folder, '--out-dir', out, '--save', 'mask'),
        *('--device', 'cpu', '--batch-size', '4'),
        *('--cfg-options', pipeline + "{'type':'PackSegInputs'}]"),
    )
    assert run.returncode == 1, run.stderr
    left_out = run.stderr.partition('files failed:')[2]
    for name in ('empty.png (0 bytes)', 'text.jpg (10 bytes)', 'cut.jpg (60 bytes)'):
        assert f'{folder}/{name} is not a readable picture' in left_out
    assert f'{folder}/long.png of 50000x10 pixels does not go through' in left_out
    assert len(left_out.splitlines()) == 5 and 'Traceback' not in run.stderr

    def labels(name):
        return np.asarray(Image.open(out / f'{name}_classes.png'))

    assert labels('one').shape == (1, 1)
    np.testing.assert_array_equal(labels('alpha'), labels('plain'))
    np.testing.assert_array_equal(labels('grey'), labels('grey_as_rgb'))
    np.testing.assert_array_equal(labels('deep'), labels('grey_as_rgb'))
    np.testing.assert_array_equal(labels('palette'), labels('palette_as_rgb'))
    for name in ('cmyk', 'turned'):
        other = {'cmyk': 'cmyk_as_rgb', 'turned': 'turned_as_seen'}[name]
        assert labels(name).shape == labels(other).shape
        assert (labels(name) == labels(other)).mean() > 0.9, name
