"""OpenMMLab's own config files run through our tools, with one option and our classes."""

import json
from pathlib import Path

import mmseg
import pytest
import torch
from generated_data import write_dataset
from mmengine.config import Config

from mmseg_custom.engine.class_count import heads
from mmseg_custom.engine.config import drop_pretrained, load_config
from mmseg_custom.engine.launch import LOADERS
from mmseg_custom.registry import DATASETS, METRICS, MODELS, register_all

OFFICIAL = Path(mmseg.__file__).parent / '.mim/configs'
CONFIGS = sorted((OFFICIAL / 'segformer').glob('*.py')) + sorted((OFFICIAL / 'segmenter').glob('*'))
CONFIGS = [path for path in CONFIGS if path.suffix == '.py']
RUN = (
    'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py',
    'segmenter/segmenter_vit-t_mask_8xb1-160k_ade20k-512x512.py',
)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_every_part_that_we_have_is_ours(path):
    register_all()
    config = load_config(str(path), ['default_scope=mmseg_custom'])
    drop_pretrained(config)
    with torch.device('meta'):
        model = MODELS.build({**config.model, 'data_preprocessor': None})
    parts = [model, model.backbone, model.decode_head, model.decode_head.loss_decode]
    parts += [MODELS.get(config.model.data_preprocessor.type)]
    parts += [METRICS.get(config.test_evaluator.type)]
    parts += [DATASETS.get(config.train_dataloader.dataset.type)]
    classes = [part if isinstance(part, type) else type(part) for part in parts]
    assert [c for c in classes if not c.__module__.startswith('mmseg_custom.')] == []


@pytest.mark.slow
@pytest.mark.parametrize('name', RUN, ids=lambda name: Path(name).parent.name)
def test_training_and_test_from_the_command_line(name, run_tool, tmp_path):
    path = OFFICIAL / name
    official = Config.fromfile(path)
    count = next(head for _, head in heads(official.model))['num_classes']
    for loader in ('train_dataloader', 'val_dataloader'):
        write_dataset(official[loader].dataset, tmp_path / 'data', count)
    small = ['crop_size=(64,64)']
    small += [f'{loader}.dataset.data_root={tmp_path / "data"}' for loader in LOADERS]
    small += [f'{loader}.num_workers=0' for loader in LOADERS]
    small += [f'{loader}.dataset.indices=2' for loader in LOADERS]
    scope = 'default_scope=mmseg_custom'
    short = ['max_iters=2', 'train_dataloader.batch_size=2']
    trained = run_tool(
        *('train.py', path, '--from-scratch', '--work-dir', tmp_path / 'run'),
        *('--cfg-options', scope, *small, *short),
    )
    assert trained.returncode == 0, trained.stdout + trained.stderr
    tested = run_tool(
        *('test.py', path, tmp_path / 'run/iter_2.pth', '--work-dir', tmp_path / 'test'),
        *('--cfg-options', scope, *small),
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr
    report = json.loads((tmp_path / 'test/report/metrics.json').read_text())
    assert len(report['per_class']) == count
    assert report['num_pictures'] == 2
