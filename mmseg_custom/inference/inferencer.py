"""From a picture to a prediction in two lines: ``Inferencer(checkpoint)(picture)``."""

import copy
import glob
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from PIL import Image

from mmseg_custom.checkpoints.formats.openmmlab import CONFIG_KEYS
from mmseg_custom.checkpoints.loading import open_weights
from mmseg_custom.checkpoints.published import PUBLISHED
from mmseg_custom.checkpoints.recorded_config import read_config
from mmseg_custom.datasets.checks import IMAGE_SUFFIXES, find_by_stem
from mmseg_custom.engine.config import apply_options, load_config
from mmseg_custom.engine.launch import half_precision_inference
from mmseg_custom.inference.georeference import Georeference, read_georeference
from mmseg_custom.inference.prediction import Prediction, RegionOptions
from mmseg_custom.inference.predictor import array_pipeline, load_model, read_image
from mmseg_custom.inference.video import VIDEO_SUFFIXES, read_frames
from mmseg_custom.messages import did_you_mean
from mmseg_custom.visualization.rendering import check_image

Source = str | os.PathLike | np.ndarray | Image.Image
Failed = Callable[[str, str], None]
EVERY_COMPONENT = RegionOptions()
# What a picture, not the program, is to blame for.
UNUSABLE = (ValueError, FileNotFoundError)
TIFF_SUFFIXES = ('.tif', '.tiff')


@dataclass(frozen=True)
class _Loaded:
    """A picture, RGB uint8 (H, W, 3), and what the test pipeline makes of it."""

    name: str
    image: np.ndarray
    packed: dict
    georeference: Georeference | None


class Inferencer:
    """A trained segmentor, called with pictures.

    Args:
        model: path of a config or its path below ``configs/``, with ``weights``; or a checkpoint
            alone, which carries its config, classes and preprocessing; or the name of published
            weights.
        weights: checkpoint of any known source; None for the last two forms of ``model``.
        device: such as ``cpu`` or ``cuda:1``; default: the first GPU if there is one.
        batch_size: pictures that go through the network at once.
        num_readers: threads that read and prepare the next pictures meanwhile.
        half: compute in the half precision that suits the device.
        probs: also give the probabilities of all classes.
        regions: how class maps are cut into regions.
        cfg_options: overrides of the config as on the command line, ``KEY=VALUE``.
        show: gets the report on the weights as text; None shows nothing.

    Attributes:
        seconds: spent so far on ``read``, ``prepare`` (both by all readers together) and
            ``predict``.

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
        probs: bool = False,
        regions: RegionOptions = EVERY_COMPONENT,
        cfg_options: list[str] | None = None,
        show: Callable[[str], None] | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f'batch_size is {batch_size}; expected at least 1')
        config, weights = find_model(model, weights, cfg_options)
        if half:
            half_precision_inference(config)
        self.model = load_model(config, weights, device, show)
        self.model.measures_confidence = True
        self.batch_size, self.probs, self.regions = batch_size, probs, regions
        self.num_readers = num_readers
        self.seconds = dict(read=0.0, prepare=0.0, predict=0.0)
        self._lock = threading.Lock()
        self._prepare = array_pipeline(self.model.cfg)

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
        if _is_picture(source):
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
        pictures = _pictures(source)
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

    @torch.inference_mode()
    def _forward(self, batch: list[_Loaded]) -> list[Prediction]:
        """Run a batch through the network."""
        start = time.perf_counter()
        outputs = self.model.test_step(
            dict(
                inputs=[one.packed['inputs'] for one in batch],
                data_samples=[one.packed['data_samples'] for one in batch],
            )
        )
        predictions = [self._prediction(one, output) for one, output in zip(batch, outputs)]
        self.seconds['predict'] += time.perf_counter() - start
        return predictions

    def _prediction(self, loaded: _Loaded, output) -> Prediction:
        meta = self.model.dataset_meta
        dtype = torch.uint8 if len(meta['classes']) <= 256 else torch.int64
        return Prediction(
            labels=output.pred_sem_seg.data[0].to(dtype).cpu().numpy(),
            confidence=output.confidence.cpu().numpy(),
            classes=meta['classes'],
            palette=meta['palette'],
            name=loaded.name,
            image=loaded.image,
            probs=_probabilities(output.seg_logits.data) if self.probs else None,
            georeference=loaded.georeference,
            options=self.regions,
        )

    def _read(self, name: str, picture: Source, channel_order: str) -> _Loaded:
        """Read a picture and prepare it as the model's test pipeline does."""
        start = time.perf_counter()
        image = self._array(picture, channel_order)
        is_tiff = isinstance(picture, str | os.PathLike) and name.lower().endswith(TIFF_SUFFIXES)
        georeference = read_georeference(picture) if is_tiff else None
        read = time.perf_counter()
        packed = self._prepare({'img': np.ascontiguousarray(image[..., ::-1])})
        with self._lock:
            self.seconds['read'] += read - start
            self.seconds['prepare'] += time.perf_counter() - read
        return _Loaded(name, image, packed, georeference)

    def _array(self, picture: Source, channel_order: str) -> np.ndarray:
        if isinstance(picture, Image.Image):
            return np.asarray(picture.convert('RGB'))
        if not isinstance(picture, np.ndarray):
            return read_image(self.model, picture)
        check_image(picture)
        return picture if channel_order == 'rgb' else np.ascontiguousarray(picture[..., ::-1])


def find_model(
    model: str | os.PathLike | Config,
    weights: str | os.PathLike | None = None,
    cfg_options: list[str] | None = None,
) -> tuple[Config, str | os.PathLike]:
    """Find the config and the weights that a few words mean; see :class:`Inferencer`.

    Raises:
        ValueError: there are no weights, or the checkpoint carries no config.
    """
    if weights is None and (isinstance(model, Config) or str(model).endswith('.py')):
        name = model.filename if isinstance(model, Config) else model
        raise ValueError(
            f'config {name} has no weights; name a checkpoint after it, or give a checkpoint alone'
        )
    published = PUBLISHED.get(str(model)) if weights is None else None
    if published is not None and not published.config:
        raise ValueError(f"'{model}' is an encoder alone; expected the name of a segmentor")
    if weights is None and published is None:
        config, weights = recorded_config(model), model
    else:
        if published is not None:
            model, weights = published.config, str(model)
        config = copy.deepcopy(model) if isinstance(model, Config) else load_config(str(model))
    apply_options(config, cfg_options or [])
    return config, weights


def recorded_config(checkpoint: str | os.PathLike) -> Config:
    """Rebuild the config that a run of this project, or of MMSegmentation 1.x, keeps in its files.

    The text is Python, of which only literals are read; nothing of it runs.

    Raises:
        ValueError: there is none.
    """
    meta = open_weights(checkpoint).meta
    text = next((meta[key] for key in CONFIG_KEYS if isinstance(meta.get(key), str)), '')
    config = read_config(text)
    if not isinstance(config.get('model'), dict):
        raise ValueError(
            f'{checkpoint} carries no config; name its config first: CONFIG {checkpoint}'
        )
    return Config(config)


def _is_picture(source) -> bool:
    if isinstance(source, np.ndarray | Image.Image):
        return True
    if not isinstance(source, str | os.PathLike):
        return False
    path = Path(source)
    return not (path.is_dir() or path.suffix.lower() in VIDEO_SUFFIXES or _is_pattern(path))


def _is_pattern(path: Path) -> bool:
    return not path.exists() and glob.has_magic(str(path))


def _pictures(source) -> Iterator[tuple[str, Source]]:
    """Yield names and pictures of everything that ``source`` may be."""
    if isinstance(source, np.ndarray | Image.Image):
        source = [source]
    if not isinstance(source, str | os.PathLike):
        for number, one in enumerate(source):
            if isinstance(one, np.ndarray | Image.Image):
                yield str(number), one
            else:
                yield from _pictures(one)
        return
    path = Path(source)
    if path.is_dir():
        yield from ((str(path / name),) * 2 for name in find_by_stem(path, IMAGE_SUFFIXES).values())
    elif path.suffix.lower() in VIDEO_SUFFIXES:
        frames = enumerate(read_frames(path))
        yield from ((f'{path}#{number}', Image.fromarray(frame)) for number, frame in frames)
    elif _is_pattern(path):
        found = sorted(glob.glob(str(path), recursive=True))
        if not found:
            raise FileNotFoundError(_nothing_fits(path))
        yield from ((name, name) for name in found)
    else:
        yield str(path), str(path)


def _nothing_fits(path: Path) -> str:
    folder = path.parent
    names = [one.name for one in folder.iterdir()] if folder.is_dir() else []
    hint = did_you_mean(path.name, names)
    return f'no file fits {path}; {folder} has {len(names)} files{hint and f"; {hint}"}'


def _probabilities(logits: torch.Tensor) -> np.ndarray:
    """Softmax over K logits; of one output channel both probabilities, (2, H, W)."""
    if len(logits) == 1:
        return torch.cat([1 - logits, logits]).float().cpu().numpy()
    return logits.float().softmax(dim=0).cpu().numpy()
