"""Pictures of four bands from the files to class maps: train, test, predict."""

import json
import re

import numpy as np
import pytest
import tifffile
import torch
import torch.nn.functional as F
import yaml
from config_leaves import CONFIG_DIR, make_thin
from generated_bands import write_bands
from PIL import Image
from single_prediction import predict_image
from tool_modules import load_tool

from mmseg_custom.engine.config import load_config
from mmseg_custom.engine.launch import test as run_test
from mmseg_custom.engine.launch import train
from mmseg_custom.inference.predictor import load_model, picture_of, read_image

THIN = 'model.backbone.num_layers=[1,1,1,1]'
TEST_SIZE = 'test_dataloader.dataset.pipeline.1.scale=(64,64)'
LEAF = CONFIG_DIR / 'segformer/segformer_mit-b0_folder_bands.py'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """The data set, measured by the tool."""
    root = write_bands(tmp_path_factory.mktemp('bands') / 'data')
    load_tool('analysis_tools/band_statistics.py').main([str(root), '--write'])
    return root


def options(folder, *more: str) -> list[str]:
    """Small crops, pictures at their own size, no worker processes."""
    workers = [f'{split}_dataloader.num_workers=0' for split in ('train', 'val', 'test')]
    return [
        *(f'data_root={folder}', 'crop_size=(64,64)', 'max_iters=60', *workers, *more),
        'train_dataloader.dataset.pipeline.3.scale=(64,64)',
        'val_dataloader.dataset.pipeline.1.scale=(64,64)',
        TEST_SIZE,
        'default_hooks.report.curves=False',
    ]


def test_a_run_takes_its_bands_to_predictions(folder, tmp_path):
    """In one process: a step, the test's pictures, and a prediction computed by hand."""
    few = options(folder, 'max_iters=1', 'bands=[nir,red]')
    config = load_config(str(LEAF), few)
    make_thin(config.model)
    train(config, str(tmp_path))
    saved, checkpoint = str(tmp_path / LEAF.name), str(tmp_path / 'iter_1.pth')
    run_test(load_config(saved), checkpoint, str(tmp_path / 't'), show_dir=tmp_path / 'shown')
    assert len(list((tmp_path / 'shown').glob('*.png'))) == 4

    model = load_model(saved, checkpoint, 'cpu')
    path = folder / 'images/val/0.tif'
    image = read_image(model, path)
    np.testing.assert_array_equal(image, tifffile.imread(path)[..., [3, 2]])
    facts = yaml.safe_load((folder / 'dataset.yaml').read_text())
    mean, std = (np.float32(facts[key])[[3, 2]] for key in ('mean', 'std'))
    inputs = torch.from_numpy((image.astype(np.float32) - mean) / std).permute(2, 0, 1)[None]
    with torch.no_grad():
        logits = model.encode_decode(inputs, [dict(ori_shape=(64, 64), img_shape=(64, 64))])
    expected = F.interpolate(logits, (64, 64), mode='bilinear').argmax(1)[0]
    found = predict_image(model, path)
    assert len(np.unique(found)) > 1 and (found == expected.numpy()).mean() > 0.999
    np.testing.assert_array_equal(predict_image(model, image), found)
    grey = picture_of(model, image)
    assert (grey == grey[..., :1]).all(), 'blue and green are not there: the first band is shown'


@pytest.mark.slow
def test_only_the_fourth_band_tells_the_class(folder, tmp_path, run_tool):
    """Through the tools: four bands learn what red, green and blue cannot show."""

    def run(tool, *arguments):
        result = run_tool(tool, *arguments)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def best(name, *more):
        chosen = options(folder, 'max_iters=80', THIN, *more)
        run('train.py', LEAF, '--work-dir', tmp_path / name, '--cfg-options', *chosen)
        return json.loads((tmp_path / name / 'summary.json').read_text())['best_score']

    assert best('rgb', 'bands=[red,green,blue]') < 35
    assert best('four') > 85

    (checkpoint,) = (tmp_path / 'four').glob('best_*.pth')
    saved = tmp_path / 'four' / LEAF.name
    out = run(
        'test.py', saved, checkpoint, '--work-dir', tmp_path, '--show-dir', tmp_path / 'shown'
    )
    assert float(re.search(r'mIoU ([\d.]+)', out)[1]) > 85
    assert len(list((tmp_path / 'shown').glob('*.png'))) == 4
    # Elsewhere, with the leaf: the checkpoint says what is known of the bands.
    picture = write_bands(tmp_path / 'new', {'test': 1}) / 'images/test'
    mask = np.asarray(Image.open(tmp_path / 'new/masks/test/0.png'))
    call = ['predict.py', LEAF, checkpoint, picture, '--out-dir', tmp_path / 'p']
    run(*call, '--cfg-options', THIN, TEST_SIZE)
    found = np.asarray(Image.open(tmp_path / 'p/0_classes.png'))
    assert (found == mask).mean() > 0.9
