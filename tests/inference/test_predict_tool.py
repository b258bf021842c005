import numpy as np
import pytest
from PIL import Image
from single_prediction import predict_image
from tool_modules import load_tool

from mmseg_custom import cli
from mmseg_custom.inference.predictor import load_model


@pytest.fixture(scope='module')
def tool():
    """The tool as a module, for what needs no process of its own."""
    return load_tool('predict.py')


def test_folder_with_an_unreadable_picture(
    run_tool, config_path, checkpoint_path, picture, picture_path, tmp_path
):
    (picture_path.parent / 'a_broken.jpg').write_text('no picture')
    out = tmp_path / 'out'
    call = ('predict.py', config_path, checkpoint_path, picture_path.parent, '--out-dir', out)
    run = run_tool(*call, '--device', 'cpu')
    assert run.returncode == 1, run.stderr
    line, speeds, written = run.stdout.splitlines()
    assert line.startswith(f'{picture_path}  90x61  ')
    assert line.endswith(f'-> {out}/blocks_overlay.png')
    assert speeds.startswith('1 pictures: ') and 'images/s end to end' in speeds
    assert written == f'written to {out}'
    assert '1 of 2 files failed:' in run.stderr
    assert 'a_broken.jpg (10 bytes) is not a readable picture' in run.stderr
    model = load_model(config_path, checkpoint_path, 'cpu')
    class_map = predict_image(model, picture)
    np.testing.assert_array_equal(np.asarray(Image.open(out / 'blocks_classes.png')), class_map)
    largest = np.bincount(class_map.ravel(), minlength=4).argmax()
    share = 100 * (class_map == largest).mean()
    assert f'  {model.dataset_meta["classes"][largest]} {share:.1f} %' in line

    times = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    assert len(times) == 2
    refused = run_tool(*call)
    assert refused.returncode == 2
    assert refused.stderr.startswith('error: 2 of 4 files exist already')
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == times


def test_overwriting_one_picture_in_half_precision(
    tool, config_path, checkpoint_path, picture_path, tmp_path
):
    stale = tmp_path / 'blocks_classes.png'
    stale.write_text('old')
    call = [config_path, checkpoint_path, picture_path, '--out-dir', tmp_path, '--overwrite']
    whole = ['--cfg-options', 'model.test_cfg.mode=whole']
    tool.main([*map(str, call), '--amp', '--opacity', '1', *whole])
    model = load_model(config_path, checkpoint_path, 'cpu')
    model.test_cfg.update(mode='whole', dtype='bfloat16')
    class_map = predict_image(model, picture_path)
    np.testing.assert_array_equal(np.asarray(Image.open(stale)), class_map)


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        ({'source': 'nothing'}, 'nothing does not exist; '),
        ({'checkpoint': 'none.pth'}, 'checkpoint none.pth does not exist'),
        ({'--opacity': '7'}, '--opacity 7.0: expected 0'),
        ({'--device': 'cuda:99'}, "device='cuda:99', but PyTorch sees"),
        ({'--cfg-options': 'model.decode_head.channels=8'}, 'set model.decode_head.channels=16'),
        ({'--out-dir': __file__}, f'cannot write to the folder {__file__}'),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else '',
)
def test_mistakes_are_one_line_and_write_nothing(
    tool, config_path, checkpoint_path, picture_path, tmp_path, changed, message, capsys
):
    positional = {'config': config_path, 'checkpoint': checkpoint_path, 'source': picture_path}
    options = {'--out-dir': tmp_path / 'out', '--device': 'cpu'}
    positional.update((key, value) for key, value in changed.items() if key in positional)
    options.update((key, value) for key, value in changed.items() if key.startswith('--'))
    flags = [word for pair in options.items() for word in pair]
    with pytest.raises(SystemExit) as ended:
        cli.run(tool.main, [str(word) for word in (*positional.values(), *flags)])
    assert ended.value.code == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith('error: ')
    assert message in error
    assert not (tmp_path / 'out').exists()


def test_help_is_there_without_loading_anything(run_tool):
    run = run_tool('predict.py', '--help')
    assert run.returncode == 0
    assert '--save' in run.stdout
    imports = run_tool('predict.py', '--help', PYTHONPROFILEIMPORTTIME='1').stderr
    assert '| torch' not in imports
