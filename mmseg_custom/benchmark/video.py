"""A video from file to file: ``tools/predict.py``'s way against that of mmseg's video demo.

mmseg's side does what its ``demo/video_demo.py`` does with mmseg's own functions: read a frame with
OpenCV, ``inference_model``, ``show_result_pyplot`` (without the names in the picture, which ours
does not write either), write with OpenCV. Both sides have the same weights and threads.
"""

import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmseg_custom.benchmark.named_models import build, model_config, randomise, save_weights
from mmseg_custom.benchmark.run import Comparison, Measurement, Options, Result
from mmseg_custom.benchmark.timing import interleave
from mmseg_custom.inference.inferencer import Inferencer
from mmseg_custom.inference.prediction_videos import predict_video
from mmseg_custom.inference.video import VideoWriter, read_frames

FRAME_SIZE = (360, 640)
PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(2048, 512), keep_ratio=True),
    dict(type='PackSegInputs'),
]
# Share of pixels whose class differs, from rounding and nothing else.
MOST_DIFFERENT = 1e-3


def run_video(options: Options, report) -> list[Result]:
    """Measure seconds per frame, end to end.

    Args:
        options: what to measure; ``pictures`` is the number of frames.
        report: called with lines that tell how far it is.

    Raises:
        ValueError: another peer, device or dtype is asked for, or the predictions differ.
    """
    if options.against != ('mmseg',) or options.device != 'cpu' or options.dtype != 'fp32':
        raise ValueError('--task video: on a CPU, against mmseg, in fp32; leave out the rest')
    with tempfile.TemporaryDirectory() as folder:
        return [_run_model(options, name, Path(folder), report) for name in options.models]


def _run_model(options: Options, name: str, folder: Path, report) -> Result:
    size, film = options.size or FRAME_SIZE, folder / 'film.mp4'
    report(f'{name}: writing {options.pictures} frames of {size[1]}x{size[0]}')
    _write_film(film, size, options.pictures)
    model = model_config(name)
    stock = build(model, 'mmseg').eval()
    randomise(stock)
    weights = folder / f'{name}.pth'
    stock.dataset_meta = save_weights(stock, weights)
    stock.cfg = Config(dict(test_pipeline=PIPELINE))
    config = Config(dict(model=model, test_pipeline=PIPELINE))
    ours = Inferencer(config, weights, 'cpu', batch_size=options.batch or 4)
    difference = _difference(ours, stock, film)
    steps = {
        'ours': lambda: predict_video(ours, film, {'overlay': folder / 'ours.mp4'}),
        'mmseg': lambda: _demo(stock, film, folder / 'mmseg.mp4'),
    }
    report(f'{name}: {options.rounds} rounds')
    timing = interleave(steps, options.rounds, num_warmups=1)
    timing.seconds.update(
        {side: [s / options.pictures for s in found] for side, found in timing.seconds.items()}
    )
    ratio = timing.ratio('mmseg')
    comparison = Comparison(
        'mmseg', ratio.median, ratio.minimum, ratio.maximum, None, True, {'labels': difference}
    )
    measured = [Measurement(s, found, timing.median(s)) for s, found in timing.seconds.items()]
    return Result('video', name, size, ours.batch_size, measured, [comparison])


def _write_film(path: Path, size: tuple[int, int], num_frames: int) -> None:
    """A soft random scene that moves to the left, with grain."""
    height, width = size
    generator = np.random.default_rng(0)
    coarse = generator.integers(20, 236, (24, 64, 3)).astype(np.float32)
    scene = cv2.resize(coarse, (2 * width, height), interpolation=cv2.INTER_CUBIC)
    with VideoWriter(path, 25) as writer:
        for number in range(num_frames):
            left = number * 4 % width
            frame = scene[:, left : left + width] + generator.normal(0, 4, (height, width, 3))
            writer.write(frame.clip(0, 255).astype(np.uint8))


def _demo(model: torch.nn.Module, source: Path, target: Path) -> None:
    from mmseg.apis import inference_model, show_result_pyplot

    capture = cv2.VideoCapture(str(source))
    rate = capture.get(cv2.CAP_PROP_FPS)
    writer = None
    with DefaultScope.overwrite_default_scope('mmseg'):
        while True:
            known, frame = capture.read()
            if not known:
                break
            result = inference_model(model, frame)
            drawn = show_result_pyplot(model, frame, result, show=False, with_labels=False)
            if writer is None:
                size = drawn.shape[1::-1]
                writer = cv2.VideoWriter(str(target), cv2.VideoWriter_fourcc(*'mp4v'), rate, size)
            writer.write(drawn)
    capture.release()
    writer.release()


def _difference(ours: Inferencer, stock: torch.nn.Module, film: Path) -> float:
    """Share of the first frame's pixels that get another class.

    Raises:
        ValueError: it is too large for rounding.
    """
    from mmseg.apis import inference_model

    frame = next(read_frames(film))
    with DefaultScope.overwrite_default_scope('mmseg'):
        result = inference_model(stock, np.ascontiguousarray(frame[..., ::-1]))
    theirs = result.pred_sem_seg.data[0].numpy()
    different = float((ours(frame).labels != theirs).mean())
    if different > MOST_DIFFERENT:
        raise ValueError(f'{different:.2%} of the pixels get another class; times mean nothing')
    return different
