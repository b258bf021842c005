"""A user's mistake, through the real tool: one line with what came and the fix, exit status 2."""

import os
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

QUICKSTART = 'configs/quickstart/segformer_mit-b0_quickstart.py'
FOLDER = 'configs/segformer/segformer_mit-b0_folder.py'
NEVER_READ = 'work_dirs/none.pth'


class _RunsCode:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f'touch {self.marker}',)


def _folder(root: Path, images=('a', 'b'), masks=('a', 'b')) -> Path:
    (root / 'dataset.yaml').parent.mkdir(parents=True, exist_ok=True)
    (root / 'dataset.yaml').write_text('classes: [background, thing]\n')
    for split in ('train', 'val', 'test'):
        for kind, names in (('images', images), ('masks', masks)):
            (root / kind / split).mkdir(parents=True, exist_ok=True)
            for name in names:
                shape = (64, 64, 3) if kind == 'images' else (64, 64)
                cv2.imwrite(str(root / kind / split / f'{name}.png'), np.zeros(shape, np.uint8))
    return root


def missing_config(tmp_path):
    arguments = ['train.py', 'configs/segformer/segformer_mit-b0_camvid.py']
    return arguments, ['segformer_mit-b0_camvid.py does not exist', 'did you mean segformer/']


def unknown_registry_name(tmp_path):
    arguments = ['train.py', QUICKSTART, '--cfg-options', 'model.backbone.type=MixVisonTransformer']
    return arguments, ['MixVisonTransformer', 'did you mean MixVisionTransformer']


def no_images(tmp_path):
    root = _folder(tmp_path / 'data', images=())
    arguments = ['train.py', FOLDER, '--cfg-options', f'data_root={root}']
    return arguments, ['0 images in', 'images/train', '.jpg']


def image_without_mask(tmp_path):
    root = _folder(tmp_path / 'data', masks=('a',))
    arguments = ['train.py', FOLDER, '--cfg-options', f'data_root={root}']
    return arguments, ['b.png', 'mask']


def checkpoint_of_another_model(tmp_path):
    torch.save(
        {'state_dict': {'backbone.conv1.weight': torch.zeros(8, 3, 7, 7)}}, tmp_path / 'o.pth'
    )
    arguments = ['test.py', QUICKSTART, tmp_path / 'o.pth']
    return arguments, ['o.pth does not fit', 'backbone.conv1.weight', 'config it was trained with']


def hostile_pickle(tmp_path):
    with open(tmp_path / 'evil.pth', 'wb') as file:
        pickle.dump({'state_dict': _RunsCode(tmp_path / 'ran')}, file, protocol=2)
    arguments = ['test.py', QUICKSTART, tmp_path / 'evil.pth']
    return arguments, ['evil.pth was refused', 'posix.system', 'state_dict']


def wrong_num_classes(tmp_path):
    arguments = ['train.py', QUICKSTART, '--cfg-options', 'model.decode_head.num_classes=19']
    return arguments, ['num_classes=19 but the data set has', 'set model.decode_head.num_classes=']


def no_write_permission(tmp_path):
    # A file where a folder should be: also root cannot write below it.
    (tmp_path / 'file').write_text('kept')
    arguments = ['train.py', QUICKSTART, '--work-dir', tmp_path / 'file/run']
    return arguments, ['cannot write to the folder', '--work-dir']


def unknown_option(tmp_path):
    arguments = ['train.py', QUICKSTART, '--cfg-options', 'train_dataloader.batchsize=4']
    return arguments, ['train_dataloader.batchsize', 'did you mean batch_size', '+train_dataloader']


def module_that_is_not_found(tmp_path):
    config = tmp_path / 'own.py'
    imports = "custom_imports = dict(imports=['my_head'])"
    config.write_text(f"_base_ = '{Path(QUICKSTART).resolve()}'\n{imports}\n")
    return ['train.py', config], ["No module named 'my_head'", 'PYTHONPATH=']


def option_without_value(tmp_path):
    return ['train.py', QUICKSTART, '--cfg-options', 'max_iters'], ['KEY=VALUE', "'max_iters'"]


def work_dir_with_checkpoints(tmp_path):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run/iter_10.pth').write_text('precious')
    arguments = ['train.py', QUICKSTART, '--work-dir', tmp_path / 'run']
    return arguments, ['already holds iter_10.pth', '--resume', '--overwrite']


def missing_checkpoint(tmp_path):
    return ['test.py', QUICKSTART, NEVER_READ], [NEVER_READ, 'does not exist']


def truncated_checkpoint(tmp_path):
    torch.save({'state_dict': {'a': torch.zeros(9999)}}, tmp_path / 'whole.pth')
    content = (tmp_path / 'whole.pth').read_bytes()
    (tmp_path / 'cut.pth').write_bytes(content[: len(content) // 2])
    return ['test.py', QUICKSTART, tmp_path / 'cut.pth'], ['cut.pth', 'truncated']


def checkpoint_that_is_a_tensor(tmp_path):
    torch.save(torch.zeros(3), tmp_path / 'tensor.pth')
    expected = ['tensor.pth holds a Tensor', 'expected a checkpoint', 'state_dict']
    return ['test.py', QUICKSTART, tmp_path / 'tensor.pth'], expected


def resume_from_weights(tmp_path):
    torch.save({'state_dict': {'a': torch.zeros(1)}}, tmp_path / 'weights.pth')
    arguments = ['train.py', QUICKSTART, '--resume', tmp_path / 'weights.pth']
    return arguments, ['weights.pth holds weights only', 'meta.iter', 'load_from=']


def launcher_without_torchrun(tmp_path):
    arguments = ['train.py', QUICKSTART, '--launcher', 'pytorch']
    return arguments, ['--launcher pytorch', 'dist_train.sh']


def unreachable_weights(tmp_path):
    # Port 9 of this machine: nobody listens there.
    url = 'http://127.0.0.1:9/mit_b0.pth'
    prefix = '+model.backbone.init_cfg'
    options = [f'{prefix}.type=Pretrained', f'{prefix}.checkpoint={url}']
    arguments = ['train.py', QUICKSTART, '--cfg-options', *options]
    return arguments, ['mit_b0.pth', '--from-scratch', 'cache']


def unknown_weights(tmp_path):
    arguments = ['train.py', QUICKSTART, '--cfg-options', 'load_from=segformer_mit-b0_ade2k']
    return arguments, [
        "'segformer_mit-b0_ade2k' is neither",
        'did you mean segformer_mit-b0_ade20k',
    ]


CASES = [
    missing_config,
    unknown_registry_name,
    image_without_mask,
    checkpoint_of_another_model,
    hostile_pickle,
    wrong_num_classes,
    unknown_option,
    work_dir_with_checkpoints,
]
SLOW_CASES = [
    no_images,
    no_write_permission,
    module_that_is_not_found,
    option_without_value,
    missing_checkpoint,
    truncated_checkpoint,
    checkpoint_that_is_a_tensor,
    resume_from_weights,
    launcher_without_torchrun,
    unreachable_weights,
    unknown_weights,
]
CASES += [pytest.param(case, marks=pytest.mark.slow) for case in SLOW_CASES]


@pytest.mark.parametrize('case', CASES, ids=lambda case: case.__name__)
def test_one_line_with_value_and_fix(case, tmp_path, run_tool):
    arguments, expected = case(tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob('*') if p.is_file()}
    if '--work-dir' not in arguments:
        arguments[2:2] = ['--work-dir', tmp_path / 'run'] if arguments[0] == 'train.py' else []
        if arguments[0] == 'test.py':
            arguments += ['--work-dir', tmp_path / 'run']
    result = run_tool(*arguments, TORCH_HOME=str(tmp_path / 'cache'))
    assert result.returncode == 2, result.stdout + result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith('error')]
    assert len(lines) == 1, result.stderr
    for text in expected:
        assert text in lines[0]
    assert 'Traceback' not in result.stdout + result.stderr
    assert {p: p.read_bytes() for p in before} == before, 'a file was lost or overwritten'
    assert not (tmp_path / 'ran').exists(), 'the pickle ran code'


def test_traceback_on_request(run_tool):
    result = run_tool('test.py', QUICKSTART, NEVER_READ, '--traceback')
    assert result.returncode == 1
    assert 'Traceback' in result.stderr


@pytest.mark.slow
def test_a_resumed_checkpoint_cannot_run_code(tmp_path, run_tool):
    """mmengine runs the text ``meta.config`` of a checkpoint that it resumes from as Python."""
    options = ['max_iters=1', f'data_root={tmp_path}/data', 'default_hooks.logger.interval=1']
    arguments = ['train.py', QUICKSTART, '--work-dir', tmp_path / 'run', '--cfg-options', *options]
    result = run_tool(*arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    checkpoint = torch.load(tmp_path / 'run/iter_1.pth', weights_only=False)
    checkpoint['meta']['config'] = f'open({str(tmp_path / "ran")!r}, "w").close()'
    torch.save(checkpoint, tmp_path / 'evil.pth')
    arguments[4:4] = ['--resume', tmp_path / 'evil.pth']
    options[0] = 'max_iters=2'
    result = run_tool(*arguments[:7], *options)
    assert result.returncode == 0, result.stdout + result.stderr
    assert 'train 2/2' in result.stdout
    assert not (tmp_path / 'ran').exists(), 'the checkpoint ran code'
