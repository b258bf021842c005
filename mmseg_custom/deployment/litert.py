"""LiteRT (TensorFlow Lite) files and TensorFlow's SavedModel, for pictures of one size.

Converted by Google's litert-torch, which lives in an environment of its own (docs/deployment.md).
A file takes and gives what :mod:`mmseg_custom.deployment.picture_network` says, with the channels
last, as TensorFlow has them: (N, H, W, 3) and (N, H, W, K).
"""

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mmseg_custom.deployment.checked_file import Wanted
from mmseg_custom.deployment.parity import ParityReport, compare
from mmseg_custom.deployment.parity_pictures import Source
from mmseg_custom.deployment.picture_network import PictureNetwork, at_size, describe
from mmseg_custom.messages import import_extra

SUFFIX = '.tflite'
EXTRA = 'litert'
# In a zip archive after the model's own bytes, where TensorFlow's own metadata lie.
METADATA_NAME = 'metadata.json'
# Bytes 4 to 8 of every such file.
IDENTIFIER = b'TFL3'


def export_litert(
    source: Source,
    wanted: Wanted,
    size: tuple[int, int],
    show: Callable[[str], None] = print,
) -> ParityReport:
    """Export a segmentor and compare the file's predictions with the model's.

    Both are given pictures stretched to ``size``.

    Args:
        source: model and pictures.
        wanted: the file; a folder without a suffix becomes a SavedModel.
        size: height and width of the pictures that it takes.
        show: gets what there is to read, piece by piece.

    Raises:
        FileExistsError: the file exists.
        ModuleNotFoundError: the converter is not installed.
        ValueError: the model cannot be exported.
        ParityError: the file predicts something else.
    """
    wanted.check()
    write, open_file = (
        (write_litert, LiteRTModel) if wanted.suffix else (write_saved_model, SavedModel)
    )
    _import_converter(wanted.out)
    inferencer, pictures = source.load(show)
    network, about = PictureNetwork(inferencer.model), describe(inferencer.model)

    def compared(path: Path) -> ParityReport:
        corners = inferencer.model.align_corners
        reference, candidate = (
            at_size(size, run, corners)
            for run in (torch.inference_mode()(network), open_file(path))
        )
        return compare(reference, candidate, pictures, about['threshold'])

    where = f'{pictures.where}; stretched to {size[1]}x{size[0]}'
    return wanted.write(lambda path: write(network, path, size, about), compared, where, show)


class ChannelsLast(nn.Module):
    """A network from images (N, C, H, W) to maps (N, K, H, W), with the channels last."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """From images (N, H, W, C) to maps (N, H, W, K)."""
        return self.network(images.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def write_litert(
    network: nn.Module, path: Path, size: tuple[int, int], metadata: dict, batch: int = 1
) -> None:
    """Write a LiteRT file.

    Args:
        network: from images, float32 (N, 3, H, W), to maps (N, K, H, W).
        path: of the file.
        size: height and width of the images.
        metadata: what the file says of itself, as JSON can hold it.
        batch: number of images N.

    Raises:
        ModuleNotFoundError: litert-torch is not installed.
    """
    converter = _import_converter(path)
    with torch.no_grad():
        converted = converter.convert(ChannelsLast(network).eval(), _example(batch, size))
    converted.export(str(path))
    with zipfile.ZipFile(path, 'a') as archive:
        archive.writestr(METADATA_NAME, json.dumps(metadata))


def write_saved_model(
    network: nn.Module, path: Path, size: tuple[int, int], metadata: dict, batch: int = 1
) -> None:
    """Write a SavedModel with the signature ``serving_default``; arguments as above.

    The network is one operation of TensorFlow that holds XLA's code, so it runs and serves on CPUs
    wherever XLA is part of TensorFlow, but is not made of layers that can be trained.

    Args:
        network: as in :func:`write_litert`.
        path: folder to write.
        size: as there.
        metadata: as there; in ``assets.extra/metadata.json`` of the folder.
        batch: as there.

    Raises:
        ModuleNotFoundError: litert-torch or TensorFlow is not installed.
    """
    _import_converter(path)
    tensorflow = import_extra('tensorflow', EXTRA, path)
    lowering = import_extra('litert_torch.backend.export', EXTRA, path)
    with torch.no_grad():
        program = torch.export.export(ChannelsLast(network).eval(), _example(batch, size))
        function = lowering.exported_program_to_mlir(program).tf_function
    images = tensorflow.TensorSpec((batch, *size, 3), tensorflow.float32, name='images')
    module = tensorflow.Module()
    module.serve = tensorflow.function(
        lambda images: {'logits': function(images)[0]}, input_signature=[images]
    )
    signatures = {'serving_default': module.serve}
    tensorflow.saved_model.save(module, str(path), signatures=signatures)
    about = path / 'assets.extra' / METADATA_NAME
    about.parent.mkdir(exist_ok=True)
    about.write_text(json.dumps(metadata), encoding='utf-8')


class LiteRTModel:
    """A LiteRT file as a function from images to logits.

    Args:
        path: of a file of :func:`write_litert`.
        num_threads: of the interpreter; None takes as many as PyTorch has.

    Attributes:
        metadata: what the file says of itself.
        size: height and width of the images that it takes.

    Raises:
        FileNotFoundError: there is no such file.
        ModuleNotFoundError: ai-edge-litert is not installed.
        ValueError: it is no LiteRT file, or not one of ours.
    """

    def __init__(self, path: str | os.PathLike, num_threads: int | None = None):
        self.metadata = read_metadata(path)
        runtime = import_extra('ai_edge_litert.interpreter', EXTRA, path)
        threads = num_threads or torch.get_num_threads()
        self._interpreter = runtime.Interpreter(str(path), num_threads=threads)
        self._interpreter.allocate_tensors()
        (self._input,) = self._interpreter.get_input_details()
        (self._output,) = self._interpreter.get_output_details()
        self.size = tuple(int(side) for side in self._input['shape'][1:3])

    def __call__(self, images: Tensor) -> Tensor:
        """From images, RGB in 0..255, float32 (N, 3, H, W), to logits (N, K, H, W)."""
        channels_last = np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())
        self._interpreter.set_tensor(self._input['index'], channels_last)
        self._interpreter.invoke()
        logits = self._interpreter.get_tensor(self._output['index'])
        return torch.from_numpy(logits).permute(0, 3, 1, 2)


class SavedModel:
    """A SavedModel as a function from images to logits.

    Args:
        path: folder of :func:`write_saved_model`.
    """

    def __init__(self, path: str | os.PathLike):
        tensorflow = import_extra('tensorflow', EXTRA, path)
        self._loaded = tensorflow.saved_model.load(str(path))
        self._serve = self._loaded.signatures['serving_default']
        self._tensor = tensorflow.constant

    def __call__(self, images: Tensor) -> Tensor:
        """From images, RGB in 0..255, float32 (N, 3, H, W), to logits (N, K, H, W)."""
        logits = self._serve(images=self._tensor(images.permute(0, 2, 3, 1).numpy()))['logits']
        return torch.from_numpy(logits.numpy()).permute(0, 3, 1, 2)


def read_metadata(path: str | os.PathLike) -> dict:
    """Read what a LiteRT file says of itself.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no LiteRT file, or not one of ours.
    """
    with open(path, 'rb') as file:
        if file.read(8)[4:] != IDENTIFIER:
            raise ValueError(f'{path} is not a LiteRT file; expected one of export_litert.py')
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read(METADATA_NAME))
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(
            f'{path} does not name its classes, so it is of another task or tool; expected a file '
            'of export_litert.py'
        ) from error


def _import_converter(needed_by: object):
    os.environ.setdefault('LITERT_TORCH_SHOW_PROGRESS', 'n')
    return import_extra('litert_torch', EXTRA, needed_by)


def _example(batch: int, size: tuple[int, int]) -> tuple[Tensor]:
    return (torch.zeros(batch, *size, 3),)
