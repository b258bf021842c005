"""From a trained model to an ONNX file that is right for every size of picture."""

import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor, nn

import mmseg_custom
from mmseg_custom.deployment.checked_file import Wanted
from mmseg_custom.deployment.onnx_graph import (
    NETWORK_INPUT,
    NETWORK_OUTPUT,
    OPSET,
    Resize,
    Surroundings,
    Windows,
    surround,
)
from mmseg_custom.deployment.parity import ParityReport, compare, probabilities_of
from mmseg_custom.deployment.parity_pictures import ParityPictures, Source
from mmseg_custom.deployment.quantization import Variants
from mmseg_custom.inference.inferencer import Inferencer, probabilities
from mmseg_custom.inference.onnx_model import METADATA_KEY, TASK, OnnxSegmentor
from mmseg_custom.inference.predictor import array_pipeline, pipeline_input, pipeline_steps
from mmseg_custom.messages import import_extra

# What one file of protobuf can hold.
MAX_BYTES = 2**31
# Least height and width while tracing, in strides or patches: far from the sizes of maps that torch
# treats in another way, such as 1. The file takes smaller ones.
_LEAST_CELLS, _TRACED_CELLS = 3, (5, 7)


def export_onnx(
    source: Source,
    wanted: Wanted,
    *,
    with_preprocessing: bool = False,
    variants: Variants | None = None,
    show: Callable[[str], None] = print,
) -> ParityReport:
    """Export a segmentor and compare the file's predictions with the model's.

    Args:
        source: model and pictures.
        wanted: the file, ``.onnx``.
        with_preprocessing: let the file take pictures, uint8 RGB of any size: the test pipeline's
            resizing and the normalisation go into it.
        variants: smaller files to write of it, compared with it.
        show: gets what there is to read, piece by piece.

    Raises:
        FileExistsError: a file exists.
        ValueError: model or pipeline cannot be exported; the message names the part.
        ParityError: the file predicts something else.
    """
    onnx = import_extra('onnx', 'deploy', wanted.out)
    import_extra('onnxruntime', 'deploy', wanted.out)
    import_extra('onnxscript', 'deploy', wanted.out)
    wanted.check()
    if variants is not None:
        variants.check()
    inferencer, pictures = source.load(show)
    around = surroundings(inferencer.model, with_preprocessing)

    def write(path: Path) -> None:
        proto = surround(export_network(inferencer.model), around)
        metadata = describe(inferencer.model, around)
        onnx.helper.set_model_props(proto, {METADATA_KEY: json.dumps(metadata)})
        onnx.checker.check_model(proto)
        onnx.save(proto, path)

    def compared(path: Path) -> ParityReport:
        return compare_file(inferencer, path, pictures)

    report = wanted.write(write, compared, pictures.where, show)
    if variants is not None:
        variants.export(wanted.out, pictures, show)
    return report


class _Network(nn.Module):
    """From normalised images (N, C, H, W) to the head's logits (N, K, h, w)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model.decode_head(self.model.extract_feat(images))


def export_network(model: nn.Module):
    """Trace backbone and head for every batch, height and width.

    Args:
        model: a segmentor of ours in evaluation mode, on the CPU.

    Returns:
        An ``onnx.ModelProto`` from ``network_images`` to ``head_logits``.

    Raises:
        ValueError: its weights do not fit into one file.
    """
    size = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    if size > MAX_BYTES:
        raise ValueError(f'{size / 2**30:.1f} GiB of weights; an ONNX file holds less than 2 GiB')
    images, dynamic_shapes = traced_input(model)
    with torch.no_grad(), _quiet():
        # Guards on sizes that concern memory layouts only become checks that ONNX leaves out.
        program = torch.export.export(
            _Network(model).eval(),
            (images,),
            dynamic_shapes=dynamic_shapes,
            strict=False,
            prefer_deferred_runtime_asserts_over_guards=True,
        )
        exported = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=[NETWORK_INPUT],
            output_names=[NETWORK_OUTPUT],
            verbose=False,
        )
    return exported.model_proto


def traced_input(model: nn.Module) -> tuple[Tensor, dict]:
    """Images to trace with, (2, C, H, W), and which of their sides are free."""
    backbone = model.backbone
    cell = max(32, getattr(backbone, 'patch_size', 0))
    sides = [number * cell + 7 for number in _TRACED_CELLS]
    channels = model.cfg.model.backbone.get('in_channels', 3)
    least = _LEAST_CELLS * cell + 1
    free = {
        0: torch.export.Dim('batch', min=2),
        2: torch.export.Dim('height', min=least, max=2**16),
        3: torch.export.Dim('width', min=least, max=2**16),
    }
    return torch.zeros(2, channels, *sides), {'images': free}


def surroundings(model: nn.Module, with_preprocessing: bool) -> Surroundings:
    """What a file has to do before and after the network, from the model and its config.

    Raises:
        ValueError: a step of the test pipeline cannot go into a file.
    """
    config, head = model.cfg, model.decode_head
    test_cfg, preprocessor = config.model.get('test_cfg') or {}, model.data_preprocessor
    windows = None
    if test_cfg.get('mode') == 'slide':
        windows = Windows(tuple(test_cfg['crop_size']), tuple(test_cfg['stride']))
    is_binary = head.out_channels == 1
    normalises = hasattr(preprocessor, 'mean')
    return Surroundings(
        in_channels=config.model.backbone.get('in_channels', 3),
        num_classes=len(model.dataset_meta['classes']),
        threshold=float(head.threshold) if is_binary else None,
        align_corners=bool(model.align_corners),
        windows=windows,
        preprocessing=with_preprocessing,
        resize=_resize_of_pipeline(config) if with_preprocessing else None,
        mean=preprocessor.mean.flatten().tolist() if normalises else None,
        std=preprocessor.std.flatten().tolist() if normalises else None,
        takes_bgr=not preprocessor.swaps_colours,
    )


def _resize_of_pipeline(config: Config) -> Resize | None:
    """The resizing of a test pipeline that loads pictures, resizes them at most, and packs them.

    Raises:
        ValueError: it does something else.
    """
    loader, *steps, _ = [dict(step) for step in pipeline_steps(config)]
    pads = (config.model.get('data_preprocessor') or {}).get('test_cfg')
    others = [str(step) for step in steps if step['type'] != 'Resize' or not _is_plain(step)]
    if loader['type'] != 'LoadImageFromFile':
        others.insert(0, str(loader))
    if pads:
        others.append(f'data_preprocessor.test_cfg={pads}')
    if others or len(steps) > 1:
        raise ValueError(
            'only loading and one bilinear Resize to a scale can go into a file, the test pipeline '
            f'has {", ".join(others or map(str, steps))}; export without --with-preprocessing'
        )
    if not steps:
        return None
    return Resize(tuple(steps[0]['scale']), bool(steps[0].get('keep_ratio', False)))


def _is_plain(resize: dict) -> bool:
    known = {'type', 'scale', 'keep_ratio'}
    defaults = {'backend': 'cv2', 'interpolation': 'bilinear'}
    return isinstance(resize.get('scale'), list | tuple) and all(
        key in known or value == defaults.get(key) for key, value in resize.items()
    )


def describe(model: nn.Module, around: Surroundings) -> dict:
    """The metadata of a file; see :data:`mmseg_custom.inference.onnx_model.METADATA_KEYS`."""
    config, preprocessor = model.cfg, dict(model.cfg.model.data_preprocessor)
    pipeline = [dict(step) for step in pipeline_steps(config)]
    channel_order = 'bands' if around.in_channels != 3 else 'BGR' if around.takes_bgr else 'RGB'
    try:
        resize, where = _resize_of_pipeline(config), 'outside'
    except ValueError:
        resize, where = None, 'other'
    if around.preprocessing:
        where, pipeline = 'inside', [pipeline[0], pipeline[-1]]
        preprocessor = dict(type='SegDataPreProcessor', bgr_to_rgb=True)
        channel_order = 'RGB'
    kept = dict(
        default_scope=config.get('default_scope') or 'mmseg_custom',
        test_pipeline=pipeline,
        model=dict(data_preprocessor=preprocessor, test_cfg=config.model.get('test_cfg')),
    )
    return dict(
        task=TASK,
        kind='multiclass' if around.threshold is None else 'binary',
        classes=list(model.dataset_meta['classes']),
        palette=[list(colour) for colour in model.dataset_meta['palette']],
        threshold=around.threshold,
        preprocessing=where,
        channel_order=channel_order,
        mean=around.mean,
        std=around.std,
        resize=_as_dict(resize),
        windows=_as_dict(around.windows),
        align_corners=around.align_corners,
        config=Config(kept).pretty_text,
        versions={'mmseg_custom': mmseg_custom.__version__, 'torch': torch.__version__},
    )


def _as_dict(value) -> dict | None:
    return None if value is None else asdict(value)


def compare_file(
    inferencer: Inferencer, path: str | os.PathLike, pictures: ParityPictures
) -> ParityReport:
    """Compare the predictions of a file with those of the model.

    Args:
        inferencer: of the model, with ``probs``.
        path: of the ONNX file.
        pictures: to predict.

    Raises:
        ParityError: an output that the inferencer does not read differs.
    """
    candidate = Inferencer(path, device='cpu', probs=True)
    model, threshold = inferencer.model, candidate.model.metadata['threshold']
    first = next(iter(pictures))
    _check_outputs(model, candidate.model, first[0] if isinstance(first, tuple) else first)
    return compare(probabilities_of(inferencer), probabilities_of(candidate), pictures, threshold)


@torch.inference_mode()
def _check_outputs(model: nn.Module, file: OnnxSegmentor, picture: np.ndarray) -> None:
    """Check on one picture the outputs that an inferencer does not read.

    Raises:
        ParityError: ``probabilities`` or ``labels`` are not those of the logits.
    """
    if file.takes_pictures:
        inputs = picture[None]
        logits = torch.from_numpy(file.run('logits', inputs)[0])
    else:
        packed = array_pipeline(model.cfg)({'img': pipeline_input(model, picture)})
        images = model.data_preprocessor({'inputs': [packed['inputs']]})['inputs']
        inputs, logits = images.numpy(), model.inference(images, [None])[0]
    threshold = file.metadata['threshold']
    # One output channel is told by its probability.
    wanted = probabilities(logits if threshold is None else logits.sigmoid()).numpy()
    report = compare(
        lambda _: wanted, lambda _: file.run('probabilities', inputs)[0], [picture], threshold
    )
    report.check()
    labels = wanted.argmax(axis=0) if threshold is None else wanted[1] > threshold
    agreement = float((file.run('labels', inputs)[0] == labels).mean())
    replace(report, label_agreement=agreement).check()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the exporter says of itself off the screen."""
    loggers = [logging.getLogger(name) for name in ('torch.onnx', 'onnxscript', 'onnx_ir')]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
