"""Compilation reaches every part of a segmentor, in training and in prediction."""

import json

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmseg_custom.engine.compiling import compile_parts
from mmseg_custom.registry import MODELS

HEAD = dict(
    type='FCNHead',
    in_channels=16,
    channels=16,
    num_convs=0,
    concat_input=False,
    dropout_ratio=0.0,
    num_classes=3,
    norm_cfg=None,
)
MODEL = dict(
    type='EncoderDecoder',
    _scope_='mmseg_custom',
    backbone=dict(
        type='VisionTransformer',
        img_size=(32, 32),
        embed_dims=16,
        num_layers=1,
        num_heads=2,
        mlp_ratio=2,
    ),
    decode_head=dict(
        type='SegmenterMaskTransformerHead',
        in_channels=16,
        channels=16,
        embed_dims=16,
        num_layers=1,
        num_heads=2,
        num_classes=3,
        dropout_ratio=0.0,
    ),
    auxiliary_head=HEAD,
    test_cfg=dict(mode='whole'),
)


def test_backbone_and_all_heads_are_compiled():
    graphs = []

    def count(graph, example_inputs):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    model = MODELS.build(MODEL)
    compile_parts(model, backend=count)
    sample = SegDataSample(metainfo=dict(img_shape=(32, 32), ori_shape=(32, 32)))
    sample.gt_sem_seg = PixelData(data=torch.zeros(1, 32, 32, dtype=torch.long))
    losses = model.loss(torch.rand(1, 3, 32, 32), [sample])
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    assert len(graphs) == 3, 'backbone, decode head, auxiliary head'
    assert all(p.grad is not None for p in model.auxiliary_head.parameters())
    with torch.no_grad():
        model.eval().predict(torch.rand(1, 3, 32, 32), [sample])
    assert len(graphs) == 5, 'backbone and decode head once more, for eval mode'


@pytest.mark.slow
def test_a_compiled_run_is_the_same_run(run_tool, tmp_path):
    """With random choices off: a compiler draws other numbers."""
    config = 'quickstart/segformer_mit-b0_quickstart.py'
    options = (
        *('--cfg-options', f'data_root={tmp_path / "data"}', 'max_iters=6', 'crop_size=(64,64)'),
        *('train_dataloader.batch_size=2', 'train_dataloader.num_workers=0'),
        *('model.backbone.drop_path_rate=0.0', 'model.decode_head.dropout_ratio=0.0'),
        *('default_hooks.logger.interval=1', 'randomness.seed=1'),
    )
    losses, scores = {}, {}
    for name, flags in (('eager', []), ('compiled', ['--compile'])):
        run = tmp_path / name
        done = run_tool('train.py', config, '--work-dir', run, *flags, *options, timeout=900)
        assert done.returncode == 0, done.stdout + done.stderr
        log = next(run.glob('*/vis_data/scalars.json')).read_text().splitlines()
        losses[name] = [entry['loss'] for entry in map(json.loads, log) if 'loss' in entry]
        checkpoint = tmp_path / 'eager/iter_6.pth'
        out = run_tool(
            *('test.py', config, checkpoint, '--work-dir', tmp_path / f'test_{name}', *flags),
            *('--cfg-options', f'data_root={tmp_path / "data"}'),
            timeout=900,
        )
        assert out.returncode == 0, out.stdout + out.stderr
        report = json.loads((tmp_path / f'test_{name}/report/metrics.json').read_text())
        scores[name] = report['summary']['mIoU']
    assert len(losses['eager']) == 6
    assert losses['compiled'] == pytest.approx(losses['eager'], rel=1e-3)
    assert scores['compiled'] == pytest.approx(scores['eager'], abs=0.1)
