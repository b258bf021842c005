"""Files to deploy against the network in PyTorch that they were exported from.

One step goes from pixels, float32 RGB, to the probabilities of all classes at their size. The
peers are the formats; a ratio above 1 says that PyTorch, as our tools run it, is faster.
"""

import os
import tempfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch

from mmseg_custom.benchmark.named_models import NUM_CLASSES, build, model_config, randomise
from mmseg_custom.benchmark.run import Comparison, Measurement, Options, Result
from mmseg_custom.benchmark.timing import interleave
from mmseg_custom.benchmark.workers import answer, start_workers
from mmseg_custom.compat import ignore_upstream_warnings
from mmseg_custom.deployment.litert import LiteRTModel, export_litert
from mmseg_custom.deployment.picture_network import PictureNetwork
from mmseg_custom.deployment.quantization import convert_to_half, quantize
from mmseg_custom.deployment.torch_export import Pt2Model, export_pt2
from mmseg_custom.host_memory import OPT_OUT, keep_freed_memory

SINGLE_PRECISION = ('onnx', 'pt2', 'litert')
MOST_DIFFERENT = 1e-3
NUM_CALIBRATION = 4


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
    network, images = _network(name, size), _images(batch, size)
    names = ('ours', *options.against)
    files = {form: folder / f'{name}-{form}.{form[:4]}' for form in names}
    found, expected = {}, _stepper('ours', network, images, 1)()
    for form in options.against:
        report(f'{name}: exporting {form}')
        _export(network, form, files[form], images)
        found[form] = _differences(form, expected, _stepper(form, files[form], images, 1)())
        listed = ', '.join(f'{key} {value:.1e}' for key, value in found[form].items())
        report(f'{name}: ours against {form}: {listed}; {files[form].stat().st_size / 1e6:.1f} MB')
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
            Comparison(f, r.median, r.minimum, r.maximum, None, True, found[f])
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
    source = _network(model, size) if form == 'ours' else path
    answer(connection, _stepper(form, source, _images(batch, size), threads), kept)


def _network(name: str, size: tuple[int, int]) -> PictureNetwork:
    """The network of a model with random weights, the same in every process."""
    model = build(model_config(name, size))
    randomise(model)
    return PictureNetwork(model)


def _images(batch: int, size: tuple[int, int]) -> np.ndarray:
    """Random pictures, RGB float32 (N, 3, H, W) in 0..255."""
    values = np.random.default_rng(0).integers(0, 256, (batch, 3, *size))
    return values.astype(np.float32)


def _export(network: PictureNetwork, form: str, path: Path, images: np.ndarray) -> None:
    """Write the file of a format; those of other precision from an ONNX file beside it."""
    about = {'classes': [str(number) for number in range(NUM_CLASSES)]}
    if form == 'pt2':
        export_pt2(network, path, about)
    elif form == 'litert':
        export_litert(network, path, images.shape[2:], about, len(images))
    elif form == 'onnx':
        export_onnx(network, path, about)
    else:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / 'source.onnx'
            export_onnx(network, source, about)
            if form == 'onnx-fp16':
                convert_to_half(source, path)
            else:
                quantize(source, path, (images[:1] for _ in range(NUM_CALIBRATION)))


def _stepper(form: str, source, images: np.ndarray, threads: int) -> Callable[[], np.ndarray]:
    """What is timed: from images to probabilities (N, K, H, W)."""
    if form in ('ours', 'pt2'):
        network = source if form == 'ours' else Pt2Model(source)
        tensor = torch.from_numpy(images)

        @torch.inference_mode()
        def step() -> np.ndarray:
            return network(tensor).numpy()

        return step
    if form == 'litert':
        model = LiteRTModel(source, threads)
        last = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
        return lambda: model.run(last).transpose(0, 3, 1, 2)
    session = open_session(source, threads)
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: images})[0]


def _differences(form: str, expected: np.ndarray, given: np.ndarray) -> dict[str, float]:
    """Largest difference of probabilities, and the share of pixels with another class.

    Raises:
        ValueError: a file in single precision differs.
    """
    largest = float(np.abs(expected - given).max())
    if form in SINGLE_PRECISION and not largest <= MOST_DIFFERENT:
        raise ValueError(
            f'{form} differs by {largest:.1e}, allowed is {MOST_DIFFERENT:.0e}; times of models '
            'that compute different things mean nothing'
        )
    return {
        'probabilities': largest,
        'labels': float((expected.argmax(1) != given.argmax(1)).mean()),
    }
