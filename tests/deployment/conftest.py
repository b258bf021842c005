"""Small ONNX files around a network of one convolution, written in a few milliseconds."""

import json
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from mmengine.config import Config
from onnx import helper, numpy_helper

from mmseg_custom.deployment.onnx_export import describe
from mmseg_custom.deployment.onnx_graph import (
    NETWORK_INPUT,
    NETWORK_OUTPUT,
    OPSET,
    Resize,
    Surroundings,
    Windows,
    surround,
)
from mmseg_custom.inference.onnx_model import METADATA_KEY
from mmseg_custom.registry import SCOPE

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
CLASSES = ('sky', 'road', 'tree', 'car')
PALETTE = [[128, 128, 128], [128, 64, 128], [128, 128, 0], [64, 0, 128]]


def one_convolution(channels: int) -> onnx.ModelProto:
    """A network whose map has a quarter of the sides, rounded up."""
    generator = np.random.default_rng(0)
    weight = generator.normal(size=(channels, 3, 3, 3)).astype(np.float32)
    node = helper.make_node(
        'Conv', [NETWORK_INPUT, 'weight'], [NETWORK_OUTPUT], strides=[4, 4], pads=[1, 1, 1, 1]
    )
    graph = helper.make_graph(
        [node], 'network', [], [], [numpy_helper.from_array(weight, 'weight')]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', OPSET)], ir_version=10)


def config(resize: dict | None, windows: Windows | None, takes_bgr: bool) -> Config:
    """The parts of a config that prepare pictures."""
    steps = [dict(type='LoadImageFromFile'), resize, dict(type='PackSegInputs')]
    mode = dict(mode='whole')
    if windows:
        mode = dict(mode='slide', crop_size=windows.size, stride=windows.stride)
    preprocessor = dict(type='SegDataPreProcessor', mean=MEAN, std=STD, bgr_to_rgb=not takes_bgr)
    return Config(
        dict(
            default_scope=SCOPE,
            test_pipeline=[step for step in steps if step],
            model=dict(data_preprocessor=preprocessor, test_cfg=mode),
        )
    )


@pytest.fixture
def write_onnx(tmp_path):
    """Write a file: ``write_onnx(name, resize=..., preprocessing=...)``; its path."""

    def write(
        name: str = 'model',
        *,
        resize: dict | None = None,
        threshold: float | None = None,
        align_corners: bool = False,
        change=lambda metadata: None,
        **options,
    ):
        classes = CLASSES if threshold is None else CLASSES[:2]
        if resize and options.get('preprocessing'):
            options['resize'] = Resize(resize['scale'], resize['keep_ratio'])
        around = Surroundings(
            3, len(classes), threshold, align_corners, mean=MEAN, std=STD, **options
        )
        proto = surround(one_convolution(4 if threshold is None else 1), around)
        model = SimpleNamespace(
            cfg=config(resize, around.windows, around.takes_bgr),
            dataset_meta={'classes': classes, 'palette': PALETTE[: len(classes)]},
        )
        metadata = describe(model, around)
        change(metadata)
        helper.set_model_props(proto, {METADATA_KEY: json.dumps(metadata)})
        onnx.checker.check_model(proto)
        path = tmp_path / f'{name}.onnx'
        onnx.save(proto, path)
        return path

    return write
