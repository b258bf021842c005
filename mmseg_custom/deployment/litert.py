"""LiteRT (TensorFlow Lite) files and TensorFlow's SavedModel, for pictures of one size.

Converted by Google's litert-torch, which lives in an environment of its own (docs/deployment.md).
As TensorFlow has it, channels come last: a file takes pictures (N, H, W, 3), RGB in 0..255, and
gives probabilities (N, H, W, K).
"""

import json
import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from mmseg_custom.messages import import_extra
from mmseg_custom.writing import replace

EXTRA = 'litert'
# Files in a zip archive after the model's own bytes, as TensorFlow's metadata are.
METADATA_NAME = 'metadata.json'
IDENTIFIER = slice(4, 8), b'TFL3'


class ChannelsLast(nn.Module):
    """A network from images (N, C, H, W) to maps (N, K, H, W), with the channels last.

    Args:
        network: what computes the maps.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """From images (N, H, W, C) to maps (N, H, W, K)."""
        return self.network(images.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def export_litert(
    network: nn.Module, target: Path, size: tuple[int, int], metadata: dict, batch: int = 1
) -> None:
    """Write a LiteRT file.

    Args:
        network: from images, float32 (N, 3, H, W), to probabilities (N, K, H, W).
        target: ``.tflite`` file to write.
        size: height and width of the images.
        metadata: what the file says of itself, as JSON can hold it.
        batch: number of images N.

    Raises:
        ModuleNotFoundError: litert-torch is missing.
    """
    converter = import_extra('litert_torch', EXTRA, target)
    with torch.no_grad():
        converted = converter.convert(ChannelsLast(network).eval(), _example(batch, size))
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f'.{target.name}.partial')
    converted.export(str(partial))
    with zipfile.ZipFile(partial, 'a') as archive:
        archive.writestr(METADATA_NAME, json.dumps(metadata))
    replace(partial, target)


def export_saved_model(
    network: nn.Module, target: Path, size: tuple[int, int], metadata: dict, batch: int = 1
) -> None:
    """Write a SavedModel with the signature ``serving_default``; arguments as above.

    Args:
        network: as in :func:`export_litert`.
        target: folder to write, which must be new or empty.
        size: as there.
        metadata: as there; in ``assets.extra/metadata.json`` of the folder.
        batch: as there.

    Raises:
        FileExistsError: the folder holds something.
        ModuleNotFoundError: litert-torch or TensorFlow is missing.
    """
    if target.exists() and any(target.iterdir()):
        raise FileExistsError(f'{target} is not empty; name a new folder')
    tensorflow = import_extra('tensorflow', EXTRA, target)
    lowering = import_extra('litert_torch.backend.export', EXTRA, target)
    with torch.no_grad():
        program = torch.export.export(ChannelsLast(network).eval(), _example(batch, size))
        function = lowering.exported_program_to_mlir(program).tf_function
    module = tensorflow.Module()

    @tensorflow.function(input_signature=function.input_signature)
    def serve(images):
        return {'probabilities': function(images)[0]}

    module.serve = serve
    tensorflow.saved_model.save(module, str(target), signatures={'serving_default': serve})
    extra = target / 'assets.extra' / METADATA_NAME
    extra.parent.mkdir(exist_ok=True)
    extra.write_text(json.dumps(metadata), encoding='utf-8')


class LiteRTModel:
    """A LiteRT file as a function from a picture to probabilities.

    Args:
        path: of a file of :func:`export_litert`.
        num_threads: of the interpreter; None leaves the choice to it.

    Attributes:
        metadata: what the file says of itself.
        size: height and width of the pictures that it takes.

    Raises:
        FileNotFoundError: there is no such file.
        ModuleNotFoundError: ai-edge-litert is missing.
        ValueError: it is no LiteRT file, or not one of ours.
    """

    def __init__(self, path: str | os.PathLike, num_threads: int | None = None):
        self.metadata = read_metadata(path)
        interpreter = import_extra('ai_edge_litert.interpreter', EXTRA, path)
        self._interpreter = interpreter.Interpreter(str(path), num_threads=num_threads)
        self._interpreter.allocate_tensors()
        (self._input,) = self._interpreter.get_input_details()
        (self._output,) = self._interpreter.get_output_details()
        self.size = tuple(int(side) for side in self._input['shape'][1:3])

    def run(self, images: np.ndarray) -> np.ndarray:
        """From images, float32 (N, H, W, 3), to probabilities (N, H, W, K) of the file's size."""
        self._interpreter.set_tensor(self._input['index'], images)
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output['index'])

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """From a picture, RGB uint8 (H, W, 3) of any size, to probabilities (K, H, W)."""
        return at_size(lambda images: self.run(images), picture, self.size)


def at_size(
    run: Callable[[np.ndarray], np.ndarray], picture: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    """Predict a picture of any size with what takes one size.

    Args:
        run: from images, float32 (1, H, W, 3), to maps (1, H, W, K).
        picture: RGB uint8 (H, W, 3).
        size: height and width of the images.

    Returns:
        Maps (K, H, W) of the picture's size.
    """
    resized = cv2.resize(picture, size[::-1], interpolation=cv2.INTER_LINEAR)
    maps = torch.from_numpy(run(resized[None].astype(np.float32))).permute(0, 3, 1, 2)
    maps = nn.functional.interpolate(maps, picture.shape[:2], mode='bilinear', align_corners=False)
    return maps[0].numpy()


def read_metadata(path: str | os.PathLike) -> dict:
    """Read what a LiteRT file says of itself.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no LiteRT file, or not one of ours.
    """
    with open(path, 'rb') as file:
        where, expected = IDENTIFIER
        if file.read(where.stop)[where] != expected:
            raise ValueError(f'{path} is not a LiteRT file; expected one of export_litert.py')
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read(METADATA_NAME))
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(
            f'{path} does not name its classes, so it is of another task or tool; expected a file '
            'of export_litert.py'
        ) from error


def _example(batch: int, size: tuple[int, int]) -> tuple[Tensor]:
    return (torch.zeros(batch, *size, 3),)
