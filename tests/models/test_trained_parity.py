"""Trained checkpoints: stock mmseg loads them strictly and computes the same numbers."""

import copy

import cv2
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn

from mmseg_custom.checkpoints.reading import load_from_local
from mmseg_custom.registry import MODELS

pytestmark = pytest.mark.slow

CONFIGS = {
    'segformer': 'quickstart/segformer_mit-b0_quickstart.py',
    'segmenter': 'quickstart/segmenter_vit-t_quickstart.py',
    'camvid_segformer': 'segformer/segformer_mit-b0_1xb8-4k_camvid-360x480.py',
    'camvid_segmenter': 'segmenter/segmenter_vit-t_mask_1xb8-4k_camvid-360x480.py',
}
SIZES = [(512, 512), (97, 131), (480, 360)]


@pytest.fixture(scope='module', params=CONFIGS)
def trained(request, tmp_path_factory, run_tool):
    """Config, checkpoint, and a picture (H, W, 3) of what it was trained on."""
    work_dir = tmp_path_factory.mktemp(request.param)
    options = {'train_dataloader.num_workers': 0}
    options['train_dataloader.persistent_workers'] = False
    if request.param.startswith('camvid'):
        shared_data = request.getfixturevalue('shared_data')
        options |= {'data_root': shared_data / 'camvid', 'max_iters': 20}
        picture = min((shared_data / 'camvid/images/val').glob('*.jpg'))
    else:
        options |= {'data_root': work_dir / 'data', 'max_iters': 80}
        picture = work_dir / 'data/images/val/val_000.jpg'
    run = run_tool(
        *('train.py', CONFIGS[request.param], '--work-dir', work_dir / 'run', '--cfg-options'),
        *(f'{key}={value}' for key, value in options.items()),
    )
    assert run.returncode == 0, run.stdout + run.stderr
    config = Config.fromfile(next((work_dir / 'run').glob('*.py')))
    checkpoint = next((work_dir / 'run').glob('iter_*.pth'))
    return config, checkpoint, cv2.imread(str(picture))


def build_pair(config, checkpoint) -> tuple[nn.Module, nn.Module]:
    """Ours and stock mmseg's in float64, with the weights of the checkpoint, loaded strictly."""
    state = load_from_local(str(checkpoint))['state_dict']
    pair = []
    for scope in ('mmseg_custom', 'mmseg'):
        model = MODELS.build({**copy.deepcopy(config.model.to_dict()), '_scope_': scope})
        assert type(model.backbone).__module__.startswith(f'{scope}.')
        model.load_state_dict(state, strict=True)
        pair.append(model.double())
    return pair[0], pair[1]


def batch(picture, size) -> tuple[torch.Tensor, list[SegDataSample]]:
    """Two normalised pictures, one of them mirrored, and labels with ignored pixels."""
    height, width = size
    pixels = torch.from_numpy(cv2.resize(picture, (width, height))).permute(2, 0, 1)
    images = ((pixels.double() - 120) / 60).flip(0)
    labels = (pixels[0].long() // 50).clamp(max=5)
    labels[:7, :9] = 255
    samples = []
    for label in (labels, labels.flip(1)):
        sample = SegDataSample(metainfo=dict(img_shape=size, ori_shape=size, pad_shape=size))
        sample.gt_sem_seg = PixelData(data=label[None])
        samples.append(sample)
    return torch.stack((images, images.flip(2))), samples


@pytest.mark.parametrize('size', SIZES, ids=lambda size: f'{size[0]}x{size[1]}')
def test_same_logits_losses_and_gradients(trained, size):
    config, checkpoint, picture = trained
    images, samples = batch(picture, size)
    results = []
    for model in build_pair(config, checkpoint):
        model.eval()
        with torch.no_grad():
            logits = model(images, mode='tensor')
        model.train()
        torch.manual_seed(1)  # the same dropout and stochastic depth
        losses = model.loss(images, samples)
        sum(value for name, value in losses.items() if 'loss' in name).backward()
        gradients = {name: p.grad for name, p in model.named_parameters()}
        results.append((logits, losses, gradients))
    (logits, losses, gradients), (want_logits, want_losses, want_gradients) = results
    assert want_logits.std() > 0.1, 'the checkpoint has not learned anything to compare'
    assert (logits - want_logits).abs().max() <= 1e-9 * want_logits.abs().max()
    assert losses.keys() == want_losses.keys()
    for name, want in want_losses.items():
        tolerance = 1e-9 if 'loss' in name else 1e-6  # the accuracy is a share in single precision
        torch.testing.assert_close(losses[name].double(), want.double(), rtol=tolerance, atol=0)
    largest = max(gradient.norm() for gradient in want_gradients.values())
    for name, want in want_gradients.items():
        assert (gradients[name] - want).norm() <= 1e-9 * largest, name
