"""Predict the frames of a video and write them as videos, in memory that does not grow."""

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from mmseg_custom.inference.inferencer import Inferencer
from mmseg_custom.inference.prediction import Prediction
from mmseg_custom.inference.video import VideoWriter, frame_rate
from mmseg_custom.visualization.rendering import blend

# Frames that wait for the encoder.
MOST_WAITING = 8


def predict_video(
    inferencer: Inferencer, video: Path, files: dict[str, Path], opacity: float = 0.5
) -> tuple[int, np.ndarray, str | None]:
    """Predict each frame and write videos with its rate and size.

    Args:
        inferencer: predicts ``batch_size`` frames at once.
        video: path of a file that FFmpeg reads.
        files: paths to write, by ``color``, ``overlay`` or ``side-by-side``.
        opacity: weight of the class colours, 0..1.

    Returns:
        Number of frames; the share of all pixels per class, (K,); and why frames are missing, or
        None. Of a video that breaks off the frames before are written.

    Raises:
        ValueError: nothing of the video can be read; nothing is written then.
    """
    rate, num_frames = frame_rate(video), 0
    pixels = np.zeros(len(inferencer.classes), dtype=np.int64)
    errors = []
    with ExitStack() as stack:
        writers = {
            kind: stack.enter_context(VideoWriter(path, rate)) for kind, path in files.items()
        }
        encoder = stack.enter_context(ThreadPoolExecutor(1))

        def write(prediction: Prediction) -> None:
            start = time.perf_counter()
            for kind, writer in writers.items():
                writer.write(DRAWN[kind](prediction, opacity))
            inferencer.seconds['write'] += time.perf_counter() - start

        waiting = deque()
        for prediction in inferencer.stream(video, failed=lambda _, why: errors.append(why)):
            num_frames += 1
            inferencer.doing = f'{num_frames} frames of {video.name}'
            pixels += np.bincount(prediction.labels.ravel(), minlength=len(pixels))
            waiting.append(encoder.submit(write, prediction))
            if len(waiting) > MOST_WAITING:
                waiting.popleft().result()
        for future in waiting:
            future.result()
        if not num_frames:
            raise ValueError(errors[0] if errors else f'{video} holds no frames')
    return num_frames, pixels / pixels.sum(), errors[0] if errors else None


def draw_color(prediction: Prediction, opacity: float = 1.0) -> np.ndarray:
    """The class colours, RGB uint8 (H, W, 3)."""
    return np.asarray(prediction.palette, dtype=np.uint8)[prediction.labels]


def draw_side_by_side(prediction: Prediction, opacity: float) -> np.ndarray:
    """The picture beside itself under the class colours, RGB uint8 (H, 2 W, 3)."""
    return np.concatenate([prediction.image, _draw_blend(prediction, opacity)], axis=1)


def _draw_blend(prediction: Prediction, opacity: float) -> np.ndarray:
    return blend(prediction.image, prediction.labels, prediction.palette, opacity, 0, None)


DRAWN = {'color': draw_color, 'overlay': _draw_blend, 'side-by-side': draw_side_by_side}
