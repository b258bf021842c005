"""``torch.export`` programs (``.pt2``): graph and weights in one file that PyTorch alone runs.

Batch, height and width stay free, from sides of about 64 pixels on: the program relies on no map
having a side of one. The file needs neither this project nor OpenMMLab's modules; see
:class:`~mmseg_custom.deployment.picture_network.PictureNetwork` for what it takes and gives.
"""

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from mmseg_custom.deployment.checked_file import Wanted
from mmseg_custom.deployment.onnx_export import traced_input
from mmseg_custom.deployment.parity import ParityReport, compare, probabilities_of
from mmseg_custom.deployment.parity_pictures import Source
from mmseg_custom.deployment.picture_network import PictureNetwork, describe, through_pipeline

SUFFIX = '.pt2'
METADATA_NAME = 'metadata.json'


def export_pt2(
    source: Source,
    wanted: Wanted,
    show: Callable[[str], None] = print,
) -> ParityReport:
    """Export a segmentor and compare the file's predictions with the model's.

    Args:
        source: model and pictures.
        wanted: the file.
        show: gets what there is to read, piece by piece.

    Raises:
        FileExistsError: the file exists.
        ValueError: the model cannot be exported.
        ParityError: the file predicts something else.
    """
    wanted.check()
    inferencer, pictures = source.load(show)
    network, about = PictureNetwork(inferencer.model), describe(inferencer.model)

    def compared(path: Path) -> ParityReport:
        candidate = through_pipeline(inferencer.model, Pt2Model(path))
        return compare(probabilities_of(inferencer), candidate, pictures, about['threshold'])

    def write(path: Path) -> None:
        write_pt2(network, path, about)

    return wanted.write(write, compared, pictures.where, show)


def write_pt2(network: PictureNetwork, path: Path, metadata: dict) -> None:
    """Write a program that takes batches of any number and size.

    Args:
        network: what is written.
        path: of the file.
        metadata: what the file says of itself, as JSON can hold it.
    """
    images, _ = traced_input(network.model)
    free = torch.export.Dim.DYNAMIC
    with torch.no_grad():
        program = torch.export.export(
            network.eval(),
            (images,),
            dynamic_shapes=({0: free, 2: free, 3: free},),
            prefer_deferred_runtime_asserts_over_guards=True,
        )
    torch.export.save(program, str(path), extra_files={METADATA_NAME: json.dumps(metadata)})


class Pt2Model:
    """A ``.pt2`` file as a function from images to logits.

    Args:
        path: of a file of :func:`write_pt2`.

    Attributes:
        metadata: what the file says of itself.
        network: from images, RGB in 0..255, float32 (N, 3, H, W), to logits (N, K, H, W).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not such a file.
    """

    def __init__(self, path: str | os.PathLike):
        self.metadata = read_metadata(path)
        self.network = torch.export.load(str(path)).module()

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """Predict a batch.

        Raises:
            ValueError: the images are so small that a map has a side of one, or no RGB.
        """
        try:
            return self.network(images)
        except AssertionError as error:
            raise ValueError(
                f'the file does not take images of shape {tuple(images.shape)} ({error}); enlarge '
                'or pad them to sides of at least 64 pixels'
            ) from error


def read_metadata(path: str | os.PathLike) -> dict:
    """Read what a file says of itself, without opening it in PyTorch.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not one of :func:`write_pt2`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (name,) = [one for one in archive.namelist() if one.endswith(f'/{METADATA_NAME}')]
            return json.loads(archive.read(name))
    except zipfile.BadZipFile as error:
        raise ValueError(f'{path} is not a .pt2 file; expected one of export_pt2.py') from error
    except ValueError as error:
        raise ValueError(
            f'{path} does not name its classes, so it is of another task or tool; expected a file '
            'of export_pt2.py'
        ) from error
