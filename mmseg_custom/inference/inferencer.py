"""From a picture to a prediction in two lines: ``Inferencer(checkpoint)(picture)``."""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from PIL import Image
from torch import Tensor

from mmseg_custom.engine.launch import half_precision_inference
from mmseg_custom.inference.finding import find_model
from mmseg_custom.inference.onnx_model import is_onnx, open_onnx
from mmseg_custom.inference.pictures import (
    UNUSABLE,
    Source,
    is_picture,
    list_pictures,
    rgb_of,
)
from mmseg_custom.inference.prediction import Prediction, RegionOptions
from mmseg_custom.inference.predictor import (
    array_pipeline,
    load_model,
    picture_of,
    pipeline_input,
    read_image,
)

Failed = Callable[[str, str], None]
EVERY_COMPONENT = RegionOptions()


@dataclass(frozen=True)
class _Loaded:
    """A picture, RGB uint8 (H, W, 3), and what the test pipeline makes of it."""

    name: str
    image: np.ndarray
    packed: dict
    source: Path | None


class Inferencer:
    """A trained segmentor, called with pictures.

    Args:
        model: path of a config or its path below ``configs/``, with ``weights``; or a checkpoint
            alone, which carries its config, classes and preprocessing; or the name of published
            weights; or an ONNX file of ``tools/deployment/export_onnx.py``.
        weights: checkpoint of any known source; None for the last two forms of ``model``.
        device: such as ``cpu`` or ``cuda:1``; default: the first GPU if there is one.
        batch_size: pictures that go through the network at once.
        num_readers: threads that read and prepare the next pictures meanwhile.
        half: compute in the half precision that suits the device.
        tta: average the probabilities of the config's ``tta_pipeline``: scales and flips.
        probs: also give the probabilities of all classes.
        confidence: give the probability of each pixel's class, which regions need.
        regions: how class maps are cut into regions.
        cfg_options: overrides of the config as on the command line, ``KEY=VALUE``.
        show: gets the report on the weights as text; None shows nothing.

    Attributes:
        seconds: spent so far on ``read``, ``prepare`` (both by all readers together), ``predict``
            and, where files are written, ``write`` (by all writers together).
        doing: how far the last video or picture in tiles is, for a progress bar.

    Raises:
        FileNotFoundError: there is no such config or checkpoint.
        ValueError: config and checkpoint do not belong together, or the checkpoint has no config.

    Example:
        >>> prediction = Inferencer('work_dirs/run/iter_4000.pth')('street.jpg')
        >>> [(region.name, region.value, region.area) for region in prediction.regions]
    """

    def __init__(
        self,
        model: str | os.PathLike | Config,
        weights: str | os.PathLike | None = None,
        device: str | torch.device | None = None,
        *,
        batch_size: int = 1,
        num_readers: int = 2,
        half: bool = False,
        tta: bool = False,
        probs: bool = False,
        confidence: bool = True,
        regions: RegionOptions = EVERY_COMPONENT,
        cfg_options: list[str] | None = None,
        show: Callable[[str], None] | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f'batch_size is {batch_size}; expected at least 1')
        if is_onnx(model):
            refused = {'--amp': half, '--tta': tta, '--cfg-options': cfg_options}
            self.model = open_onnx(model, weights, device, **refused)
        else:
            config, weights = find_model(model, weights, cfg_options)
            if half:
                half_precision_inference(config)
            self.model = load_model(config, weights, device, show)
        self.model.measures_confidence = self.confidence = confidence
        self.batch_size, self.probs, self.regions = batch_size, probs, regions
        self.num_readers = num_readers
        self.seconds = dict(read=0.0, prepare=0.0, predict=0.0, write=0.0)
        self.doing = ''
        self._lock = threading.Lock()
        self.tta = tta
        self._prepare = array_pipeline(self.model.cfg, tta)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.model.dataset_meta['classes']

    def __call__(
        self, source: Source | Sequence[Source], *, channel_order: str = 'rgb'
    ) -> Prediction | list[Prediction]:
        """Predict a picture, or several.

        Args:
            source: a path, an array uint8 (H, W, 3), a PIL image; or a list of them, a folder, a
                pattern such as ``'shots/*.jpg'``, or a video, of which each frame is a picture.
            channel_order: of arrays, ``'rgb'`` or ``'bgr'``.

        Returns:
            A prediction for a picture, else a list in the order of the pictures.

        Raises:
            FileNotFoundError: there is no such picture.
            ValueError: a picture cannot be read, or an array does not fit.
        """
        if is_picture(source):
            (prediction,) = self.stream([source], channel_order=channel_order)
            return prediction
        return list(self.stream(source, channel_order=channel_order))

    def stream(
        self,
        source: Source | Iterable[Source],
        *,
        channel_order: str = 'rgb',
        failed: Failed | None = None,
    ) -> Iterator[Prediction]:
        """Predict pictures one batch after another, in memory that does not grow with their number.

        Args:
            source: as in :meth:`__call__`; also any iterable of pictures.
            channel_order: as in :meth:`__call__`.
            failed: called with name and reason of each picture that cannot be read or predicted,
                which is left out; None raises the error.
        """
        if channel_order not in ('rgb', 'bgr'):
            raise ValueError(f"channel_order is {channel_order!r}; expected 'rgb' or 'bgr'")
        pictures = list_pictures(source)
        with ThreadPoolExecutor(self.num_readers) as readers:
            ahead = deque()
            while True:
                for name, picture in islice(pictures, 2 * self.batch_size - len(ahead)):
                    ahead.append((name, readers.submit(self._read, name, picture, channel_order)))
                if not ahead:
                    return
                loaded = []
                for name, future in [
                    ahead.popleft() for _ in range(min(self.batch_size, len(ahead)))
                ]:
                    try:
                        loaded.append(future.result())
                    except UNUSABLE as error:
                        self._report(failed, name, error)
                yield from self._predict(loaded, failed)

    def _predict(self, batch: list[_Loaded], failed: Failed | None) -> Iterator[Prediction]:
        """Predict a batch; where that fails, each of its pictures by itself."""
        if not batch:
            return
        try:
            yield from self._forward(batch)
        except UNUSABLE as error:
            if failed is None or len(batch) == 1:
                self._report(failed, batch[0].name, error)
                return
            for one in batch:
                yield from self._predict([one], failed)

    @staticmethod
    def _report(failed: Failed | None, name: str, error: Exception) -> None:
        if failed is None:
            raise error
        failed(name, ' '.join(str(error).split()))

    def _forward(self, batch: list[_Loaded]) -> list[Prediction]:
        """Run a batch through the network."""
        start = time.perf_counter()
        try:
            results = self.forward_packed([one.packed for one in batch])
        except torch.OutOfMemoryError as error:
            height, width = max(one.image.shape[:2] for one in batch)
            raise ValueError(
                f'{len(batch)} pictures of up to {width}x{height} pixels at once need more memory '
                'than the device has; take a smaller batch_size, or tools/predict.py --tile'
            ) from error
        predictions = [self._prediction(one, *found) for one, found in zip(batch, results)]
        self.seconds['predict'] += time.perf_counter() - start
        return predictions

    @torch.inference_mode()
    def forward_packed(
        self, batch: Sequence[dict]
    ) -> list[tuple[Tensor, Tensor | None, Tensor | None]]:
        """Predict what the test pipeline made of pictures.

        Args:
            batch: dicts with ``inputs`` and ``data_samples``.

        Returns:
            Labels, int64 (H, W), and, where they are wanted, confidence (H, W) and probabilities
            (K, H, W) of each picture.
        """
        if self.tta:
            return [self._average(one) for one in batch]
        outputs = self.model.test_step(
            dict(
                inputs=[one['inputs'] for one in batch],
                data_samples=[one['data_samples'] for one in batch],
            )
        )
        return [
            (
                output.pred_sem_seg.data[0].long(),
                output.get('confidence'),
                probabilities(output.seg_logits.data) if self.probs else None,
            )
            for output in outputs
        ]

    def _average(self, packed: dict) -> tuple[Tensor, Tensor, Tensor]:
        """The same from the mean probabilities of all augmented forms of a picture."""
        forms = list(zip(packed['inputs'], packed['data_samples']))
        total = 0
        for image, sample in forms:
            (output,) = self.model.test_step(dict(inputs=[image], data_samples=[sample]))
            total = total + probabilities(output.seg_logits.data)
        mean = total / len(forms)
        confidence, labels = mean.max(dim=0)
        if self.model.decode_head.out_channels == 1:
            labels = (mean[1] > self.model.decode_head.threshold).long()
            confidence = mean.gather(0, labels[None])[0]
        return labels, confidence, mean

    def _prediction(
        self, loaded: _Loaded, labels: Tensor, confidence: Tensor | None, probs: Tensor | None
    ) -> Prediction:
        meta = self.model.dataset_meta
        dtype = torch.uint8 if len(meta['classes']) <= 256 else torch.int64
        return Prediction(
            labels=labels.to(dtype).cpu().numpy(),
            confidence=confidence.cpu().numpy() if self.confidence else None,
            classes=meta['classes'],
            palette=meta['palette'],
            name=loaded.name,
            image=loaded.image,
            probs=probs.cpu().numpy() if self.probs else None,
            source=loaded.source,
            options=self.regions,
        )

    def _read(self, name: str, picture: Source | Exception, channel_order: str) -> _Loaded:
        """Read a picture and prepare it as the model's test pipeline does."""
        if isinstance(picture, Exception):
            raise picture
        start = time.perf_counter()
        image = self._array(picture, channel_order)
        read = time.perf_counter()
        packed = self._prepared(name, image)
        with self._lock:
            self.seconds['read'] += read - start
            self.seconds['prepare'] += time.perf_counter() - read
        source = Path(picture) if isinstance(picture, str | os.PathLike) else None
        return _Loaded(name, picture_of(self.model, image), packed, source)

    def _prepared(self, name: str, image: np.ndarray) -> dict:
        try:
            return self._prepare({'img': pipeline_input(self.model, image)})
        except (cv2.error, AssertionError, ZeroDivisionError) as error:
            height, width = image.shape[:2]
            raise ValueError(
                f'{name} of {width}x{height} pixels does not go through the test pipeline '
                f'({type(error).__name__}: {error}); pad it or cut it first'
            ) from error

    def _array(self, picture: Source, channel_order: str) -> np.ndarray:
        if isinstance(picture, Image.Image):
            return rgb_of(picture)
        if not isinstance(picture, np.ndarray):
            return read_image(self.model, picture)
        return picture if channel_order == 'rgb' else np.ascontiguousarray(picture[..., ::-1])


def probabilities(logits: Tensor) -> Tensor:
    """Softmax over K logits; of one output channel, a probability, both classes: (2, H, W)."""
    if len(logits) == 1:
        return torch.cat([1 - logits, logits]).float()
    return logits.float().softmax(dim=0)
