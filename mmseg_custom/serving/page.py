"""The page of ``tools/serve.py``: a picture or a short video, one model or several side by side."""

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmseg_custom.inference.inferencer import Inferencer
from mmseg_custom.inference.prediction import Prediction
from mmseg_custom.inference.prediction_videos import DRAWN
from mmseg_custom.inference.video import (
    VIDEO_SUFFIXES,
    VideoWriter,
    frame_rate,
    frame_size,
    read_frames,
)
from mmseg_custom.serving.limits import KNOWN_FORMATS, Limits, decode_picture
from mmseg_custom.web.pages import import_gradio, new_page
from mmseg_custom.web.results import Results, problem_with, shown_classes
from mmseg_custom.web.upload import upload_field
from mmseg_custom.web.views import EMPTY, segmentation_view

if TYPE_CHECKING:
    import gradio

MAX_VIDEO_SECONDS = 10.0
MAX_FRAME_RATE = 60
# Of requests that wait; more are told to come back.
QUEUE_SIZE = 16
OPACITY = 0.5
TITLE = 'Semantic segmentation'


def build_page(
    models: dict[str, Inferencer],
    limits: Limits | None = None,
    max_video_seconds: float = MAX_VIDEO_SECONDS,
) -> 'gradio.Blocks':
    """Build the page; serve it with :func:`mmseg_custom.web.pages.mount_page` or ``serve_page``.

    Args:
        models: by the names that the page shows; each predicts every upload, beside the others.
        limits: of uploaded pictures and of the frames of videos; default: :class:`Limits`.
        max_video_seconds: longer videos are refused.

    Raises:
        ModuleNotFoundError: gradio is not installed.
        ValueError: there is no model.
    """
    if not models:
        raise ValueError('the page has no model to show; expected at least one')
    gradio = import_gradio()
    segmenting = Segmenting(models, limits or Limits(), max_video_seconds)
    with new_page(TITLE) as page:
        gradio.Markdown(_introduction(models, max_video_seconds))
        upload = upload_field('Picture or short video', ['image', *VIDEO_SUFFIXES])
        with gradio.Row():
            outputs = [field for name in models for field in _column(gradio, segmenting, name)]
        upload.change(
            segmenting.run,
            upload,
            outputs,
            concurrency_limit=1,
            show_progress='full',
            api_visibility='private',
        )
    page.queue(max_size=QUEUE_SIZE)
    return page


def _introduction(models: dict[str, Inferencer], seconds: float) -> str:
    return (
        f'# {TITLE}\n{" beside ".join(f"`{name}`" for name in models)}: upload a picture '
        f'({KNOWN_FORMATS}) or a video of at most {seconds:g} seconds.'
    )


def _column(gradio, segmenting: 'Segmenting', name: str) -> tuple:
    """Where one model shows what it finds."""
    with gradio.Column(min_width=320):
        view = segmentation_view(segmenting.results, elem_classes=['segmentation'])
        video = gradio.Video(visible=False, interactive=False, autoplay=True, loop=True, label=name)
    return view, video


class Segmenting:
    """What the page does with an upload.

    Args:
        models, limits, max_video_seconds: of :func:`build_page`.
    """

    def __init__(
        self, models: dict[str, Inferencer], limits: Limits, max_video_seconds: float
    ) -> None:
        self.models, self.limits = models, limits
        self.max_video_seconds = max_video_seconds
        self.results = Results()

    def run(self, path: str | None) -> list:
        """Predict an upload with each model.

        Args:
            path: of the file in Gradio's upload folder; None where it was taken away.

        Returns:
            The values of view and video of each model.
        """
        gradio = import_gradio()
        if path is None:
            return [dict(empty=EMPTY), gradio.Video(None, visible=False)] * len(self.models)
        show = self._video if Path(path).suffix.lower() in VIDEO_SUFFIXES else self._picture
        try:
            return [value for shown in show(Path(path)) for value in shown]
        except (ValueError, OSError, ModuleNotFoundError) as error:
            problem = problem_with(path, error)
            return [problem, gradio.Video(None, visible=False)] * len(self.models)

    def _picture(self, path: Path) -> Iterator[tuple]:
        gradio = import_gradio()
        picture = decode_picture(path.read_bytes(), self.limits)
        for name, inferencer in self.models.items():
            start = time.perf_counter()
            prediction = _named(inferencer(picture), path.name)
            seconds = time.perf_counter() - start
            height, width = picture.shape[:2]
            note = f'{width}x{height} pixels, {seconds:.2f} s'
            yield self.results.show(prediction, name, note), gradio.Video(None, visible=False)

    def _video(self, path: Path) -> Iterator[tuple]:
        gradio = import_gradio()
        for number, (name, inferencer) in enumerate(self.models.items()):
            out = path.with_name(f'{path.stem}_overlay_{number}.mp4')
            start = time.perf_counter()
            count, shares, palette = self._write_overlay(inferencer, path, out)
            note = f'{count} frames, {count / (time.perf_counter() - start):.1f} per second'
            legend = shown_classes(inferencer.classes, palette, shares, name, note)
            yield legend, gradio.Video(str(out), visible=True)

    def _write_overlay(self, inferencer: Inferencer, path: Path, out: Path):
        """Write the overlay of a video; number of frames, shares of the classes (K,), palette."""
        self._check_size(*frame_size(path))
        rate, count = frame_rate(path), 0
        pixels = np.zeros(len(inferencer.classes), dtype=np.int64)
        with VideoWriter(out, rate) as writer:
            for prediction in inferencer.stream(self._frames(path, rate)):
                count += 1
                pixels += np.bincount(prediction.labels.ravel(), minlength=len(pixels))
                writer.write(DRAWN['overlay'](prediction, OPACITY))
        if not count:
            raise ValueError(f'{path} holds no frame; expected a whole video')
        return count, pixels / pixels.sum(), prediction.palette

    def _frames(self, path: Path, rate: Fraction) -> Iterator[np.ndarray]:
        """The frames of a video, RGB uint8 (H, W, 3), as long as they keep the limits."""
        most = math.ceil(self.max_video_seconds * min(rate, MAX_FRAME_RATE))
        for number, frame in enumerate(read_frames(path)):
            self._check_size(frame.shape[1], frame.shape[0])
            if number >= most:
                raise ValueError(
                    f'the video has more than {most} frames, {self.max_video_seconds:g} seconds at '
                    f'{min(float(rate), MAX_FRAME_RATE):g} a second; cut it'
                )
            yield frame

    def _check_size(self, width: int, height: int) -> None:
        if width * height > self.limits.max_pixels:
            raise ValueError(
                f'the video has frames of {width}x{height}: more than {self.limits.max_pixels} '
                'pixels; scale it down'
            )


def _named(prediction: Prediction, name: str) -> Prediction:
    """The same under the name of the upload."""
    return replace(prediction, name=name)
