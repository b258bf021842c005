"""``device`` of a config."""

import pytest
import torch
from mmengine.device import get_device
from training_runs import configured, pictures

from mmseg_custom.engine.device import check_device, use_device
from mmseg_custom.engine.launch import train

HAS_GPU = torch.cuda.is_available()


@pytest.fixture(autouse=True)
def restored():
    yield
    use_device(None)


def test_the_cpu_is_taken_until_another_run_says_otherwise():
    found = get_device()
    use_device('cpu')
    assert get_device() == 'cpu'
    use_device('auto')
    assert get_device() == found == ('cuda' if HAS_GPU else 'cpu')


@pytest.mark.parametrize('name', ['cuda:99', 'gpu', 'cuda:-1'])
def test_what_the_machine_does_not_have_is_named(name):
    with pytest.raises(ValueError, match=rf"device is '{name}', but this machine has auto, cpu"):
        check_device(name)


def test_float16_needs_a_gpu():
    with pytest.raises(ValueError, match='float16 needs a GPU'):
        check_device('cpu', 'float16')
    check_device('cpu', 'bfloat16')


def test_a_training_goes_where_its_config_says(tmp_path):
    config = configured(pictures(tmp_path / 'data'), '+device=cuda:99')
    with pytest.raises(ValueError, match="device is 'cuda:99'"):
        train(config, str(tmp_path / 'run'))
    assert not (tmp_path / 'run').exists()


@pytest.mark.gpu
def test_a_run_with_a_gpu_can_be_on_the_cpu(tmp_path):
    config = configured(pictures(tmp_path / 'data'), 'device=cpu', 'max_iters=1')
    runner = train(config, str(tmp_path / 'run'), from_scratch=True)
    assert next(runner.model.parameters()).device.type == 'cpu'
