"""Files to deploy against the model in PyTorch that they were exported from.

One step goes from images in memory to the class of each of their pixels. The peers are the formats:
a ratio above 1 says that PyTorch, as our tools run it, is faster.
"""

import os
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor, nn

from mmseg_custom.benchmark.named_models import NUM_CLASSES, build, model_config, randomise
from mmseg_custom.benchmark.run import Comparison, Measurement, Options, Result
from mmseg_custom.benchmark.timing import interleave
from mmseg_custom.benchmark.workers import answer, start_workers
from mmseg_custom.compat import ignore_upstream_warnings
from mmseg_custom.deployment.litert import LiteRTModel, write_litert
from mmseg_custom.deployment.onnx_export import export_network, surroundings
from mmseg_custom.deployment.onnx_graph import surround
from mmseg_custom.deployment.picture_network import PictureNetwork
from mmseg_custom.deployment.quantization import convert_to_half, quantize
from mmseg_custom.deployment.torch_export import Pt2Model, write_pt2
from mmseg_custom.host_memory import OPT_OUT, keep_freed_memory
from mmseg_custom.inference.onnx_model import open_session
from mmseg_custom.messages import import_extra

SINGLE_PRECISION = ('onnx', 'pt2', 'litert')
MOST_DIFFERENT = 1e-3


def run_deploy(options: Options, report) -> list[Result]:
    """Measure seconds of a batch.

    Args:
        options: what to measure; ``against`` holds formats.
        report: called with lines that tell how far it is.

    Raises:
        ModuleNotFoundError: a format's extra is missing.
        ValueError: another device or dtype is asked for, or a file in single precision predicts
            something else.
    """
    if options.device != 'cpu' or options.dtype != 'fp32' or options.compile != 'none':
        raise ValueError('--task deploy: on a CPU, in fp32; leave out the rest')
    with tempfile.TemporaryDirectory() as folder:
        return [_run_model(options, name, Path(folder), report) for name in options.models]


def _run_model(options: Options, name: str, folder: Path, report) -> Result:
    size, batch = options.size or (512, 512), options.batch or 1
    model, images = _model(name, size), _images(batch, size)
    names = ('ours', *options.against)
    files = {form: folder / f'{name}.{form}' for form in names}
    found, expected = {}, _stepper(model, 'ours', None, images)()
    for form in options.against:
        report(f'{name}: exporting {form}')
        path = files[form]
        _export(model, form, path, images)
        found[form] = _different(form, expected, _stepper(model, form, path, images)())
        size_mb = path.stat().st_size / 1e6
        report(f'{name}: {form}: {found[form]:.2%} of the labels differ; file {size_mb:.1f} MB')
    # Ours keeps freed memory, as our tools do.
    keeps = {'none': (), 'ours': ('ours',), 'both': names}[options.keep_memory]
    orders = {
        form: dict(
            model=name,
            form=form,
            path=files[form],
            size=size,
            batch=batch,
            keep_memory=form in keeps,
            threads=torch.get_num_threads(),
        )
        for form in names
    }
    with start_workers(orders, serve) as workers:
        timing = interleave(
            {form: worker.step for form, worker in workers.items()},
            options.rounds,
            min_seconds=options.min_seconds,
        )
        states = {form: vars(worker.state()) for form, worker in workers.items()}
    ratios = {form: timing.ratio(form) for form in options.against}
    return Result(
        'deploy',
        name,
        size,
        batch,
        [Measurement(f, timing.seconds[f], timing.median(f), **states[f]) for f in names],
        [
            Comparison(f, r.median, r.minimum, r.maximum, None, True, {'labels': found[f]})
            for f, r in ratios.items()
        ],
    )


def serve(
    connection: Connection,
    *,
    model: str,
    form: str,
    path: Path,
    size: tuple[int, int],
    batch: int,
    keep_memory: bool,
    threads: int,
) -> None:
    """Open one file, or build the network, and answer messages until the other end is closed.

    Args:
        connection: to the process that measures.
        model: its name.
        form: ``ours`` or a format.
        path: of the file.
        size: height and width of the images.
        batch: number of images.
        keep_memory: whether freed memory stays in the process.
        threads: of the runtime.
    """
    ignore_upstream_warnings()
    os.environ.update({'CUDA_VISIBLE_DEVICES': '', OPT_OUT: str(int(keep_memory))})
    kept = keep_freed_memory()
    torch.set_num_threads(threads)
    answer(connection, _stepper(_model(model, size), form, path, _images(batch, size)), kept)


def _model(name: str, size: tuple[int, int]) -> nn.Module:
    """A model with random weights, the same in every process."""
    model = build(model_config(name, size))
    randomise(model)
    model.cfg = Config(dict(model=model_config(name, size)))
    model.dataset_meta = dict(classes=[str(number) for number in range(NUM_CLASSES)])
    return model.eval()


def _images(batch: int, size: tuple[int, int]) -> Tensor:
    """Random pictures, RGB float32 (N, 3, H, W) in 0..255."""
    return torch.randint(0, 256, (batch, 3, *size), generator=torch.Generator()).float()


def _export(model: nn.Module, form: str, path: Path, images: Tensor) -> None:
    """Write the file of a format; those of other precision from an ONNX file beside it."""
    if form == 'pt2':
        write_pt2(PictureNetwork(model), path, model.dataset_meta)
    elif form == 'litert':
        size, batch = tuple(images.shape[2:]), len(images)
        write_litert(PictureNetwork(model), path, size, model.dataset_meta, batch)
    else:
        source = path.with_suffix('.onnx')
        if not source.exists():
            _write_onnx(model, source)
        if form == 'onnx-fp16':
            convert_to_half(source, path)
        elif form == 'onnx-int8':
            quantize(source, path, (one[None] for one in _normalised(model, images).numpy()))


def _write_onnx(model: nn.Module, path: Path) -> None:
    onnx = import_extra('onnx', 'deploy', path)
    onnx.save(surround(export_network(model), surroundings(model, False)), path)


def _normalised(model: nn.Module, images: Tensor) -> Tensor:
    """What the network of a model is given of RGB pictures."""
    return (images - model.data_preprocessor.mean) / model.data_preprocessor.std


def _stepper(
    model: nn.Module, form: str, path: Path | None, images: Tensor
) -> Callable[[], np.ndarray]:
    """What is timed: from images in memory to the class of each pixel, integers (N, H, W)."""
    normalised = _normalised(model, images)
    if form == 'ours':
        step = torch.inference_mode()(lambda: model.predict(normalised))
        return lambda: np.stack([one.pred_sem_seg.data[0].numpy() for one in step()])
    if form in ('pt2', 'litert'):
        run = Pt2Model(path) if form == 'pt2' else LiteRTModel(path)
        return lambda: run(images).argmax(1).numpy()
    session = open_session(path, 'cpu')
    return lambda: session.run(['labels'], {'images': normalised.numpy()})[0]


def _different(form: str, expected: np.ndarray, given: np.ndarray) -> float:
    """Share of the pixels that get another class.

    Raises:
        ValueError: it is too large for a file in single precision.
    """
    share = float((expected != given).mean())
    if form in SINGLE_PRECISION and share > MOST_DIFFERENT:
        raise ValueError(
            f'{form} gives {share:.2%} of the pixels another class; times mean nothing'
        )
    return share
