"""From a picture to a prediction in two lines: ``Inferencer(checkpoint)(picture)``."""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
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
from mmseg_custom.engine.config import load_config
from mmseg_custom.inference.georeference import read_georeference
from mmseg_custom.inference.prediction import Prediction, RegionOptions
from mmseg_custom.inference.predictor import array_pipeline, in_scope, load_model, read_image
from mmseg_custom.inference.video import VIDEO_SUFFIXES, read_frames
from mmseg_custom.messages import did_you_mean
from mmseg_custom.visualization.rendering import check_image

Source = str | os.PathLike | np.ndarray | Image.Image
EVERY_COMPONENT = RegionOptions()
TIFF_SUFFIXES = ('.tif', '.tiff')


class Inferencer:
    """A trained segmentor, called with pictures.

    Args:
        model: path of a config or its path below ``configs/``, with ``weights``; or a checkpoint
            alone, which carries its config, classes and preprocessing; or the name of published
            weights.
        weights: checkpoint of any known source; None for the last two forms of ``model``.
        device: such as ``cpu`` or ``cuda:1``; default: the first GPU if there is one.
        batch_size: pictures that go through the network at once.
        probs: also give the probabilities of all classes.
        regions: how class maps are cut into regions.

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
        probs: bool = False,
        regions: RegionOptions = EVERY_COMPONENT,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f'batch_size is {batch_size}; expected at least 1')
        config, weights = find_model(model, weights)
        self.model = load_model(config, weights, device)
        self.model.measures_confidence = True
        self.batch_size, self.probs, self.regions = batch_size, probs, regions
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
        self, source: Source | Iterable[Source], *, channel_order: str = 'rgb'
    ) -> Iterator[Prediction]:
        """Predict pictures one batch after another, in memory that does not grow with their number.

        Args:
            source: as in :meth:`__call__`; also any iterable of pictures.
            channel_order: as in :meth:`__call__`.
        """
        if channel_order not in ('rgb', 'bgr'):
            raise ValueError(f"channel_order is {channel_order!r}; expected 'rgb' or 'bgr'")
        pictures = _pictures(source)
        with ThreadPoolExecutor(max_workers=1) as ahead:
            pending = None
            while batch := list(islice(pictures, self.batch_size)):
                following = ahead.submit(self._read, batch, channel_order)
                if pending is not None:
                    yield from self.predict(*pending.result())
                pending = following
            if pending is not None:
                yield from self.predict(*pending.result())

    @torch.inference_mode()
    def predict(
        self, names: Sequence[str], images: Sequence[np.ndarray], packed: Sequence[dict]
    ) -> list[Prediction]:
        """Run a batch through the network."""
        outputs = self.model.test_step(
            dict(
                inputs=[one['inputs'] for one in packed],
                data_samples=[one['data_samples'] for one in packed],
            )
        )
        return [
            self._prediction(name, image, output)
            for name, image, output in zip(names, images, outputs)
        ]

    def _prediction(self, name: str, image: np.ndarray, output) -> Prediction:
        meta = self.model.dataset_meta
        dtype = torch.uint8 if len(meta['classes']) <= 256 else torch.int64
        georeference = None
        if name.lower().endswith(TIFF_SUFFIXES) and os.path.isfile(name):
            georeference = read_georeference(name)
        return Prediction(
            labels=output.pred_sem_seg.data[0].to(dtype).cpu().numpy(),
            confidence=output.confidence.cpu().numpy(),
            classes=meta['classes'],
            palette=meta['palette'],
            name=name,
            image=image,
            probs=_probabilities(output.seg_logits.data) if self.probs else None,
            georeference=georeference,
            options=self.regions,
        )

    def _read(self, batch: Sequence[tuple[str, Source]], channel_order: str) -> tuple:
        """Names, RGB pictures and what the pipeline makes of them."""
        images = [self._array(picture, channel_order) for _, picture in batch]
        with in_scope(self.model.cfg):
            packed = [
                self._prepare({'img': np.ascontiguousarray(image[..., ::-1])}) for image in images
            ]
        return [name for name, _ in batch], images, packed

    def _array(self, picture: Source, channel_order: str) -> np.ndarray:
        if isinstance(picture, Image.Image):
            return np.asarray(picture.convert('RGB'))
        if not isinstance(picture, np.ndarray):
            return read_image(self.model, picture)
        check_image(picture)
        return picture if channel_order == 'rgb' else np.ascontiguousarray(picture[..., ::-1])


def find_model(
    model: str | os.PathLike | Config, weights: str | os.PathLike | None = None
) -> tuple[Config | str, str | os.PathLike]:
    """Find the config and the weights that a few words mean; see :class:`Inferencer`.

    Returns:
        The config, or its path, and the weights.

    Raises:
        ValueError: there are no weights, or the checkpoint carries no config.
    """
    if weights is not None:
        return (model if isinstance(model, Config) else str(model)), weights
    if isinstance(model, Config) or str(model).endswith('.py'):
        raise ValueError(
            f'config {getattr(model, "filename", model)} has no weights; pass weights=..., or a '
            'checkpoint alone'
        )
    entry = PUBLISHED.get(str(model))
    if entry is not None:
        if not entry.config:
            raise ValueError(f"'{model}' is an encoder alone; expected the name of a segmentor")
        return load_config(entry.config), str(model)
    return recorded_config(model), model


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
            f'checkpoint {checkpoint} carries no config; pass the config as model and the '
            'checkpoint as weights'
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
