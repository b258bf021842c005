"""``torch.export`` programs (``.pt2``): graph and weights in one file that PyTorch alone runs.

Batch, height and width stay free. The file needs neither this project nor OpenMMLab's modules.
"""

import io
import json
import os
import zipfile
from pathlib import Path

import torch
from torch import Tensor, nn

from mmseg_custom.writing import write_atomically

METADATA_NAME = 'metadata.json'
# Batch, height and width; a batch of one would be taken for a constant.
SAMPLE_SHAPE = (2, 3, 256, 320)


def export_pt2(
    network: nn.Module,
    target: Path,
    metadata: dict,
    shape: tuple[int, int, int, int] = SAMPLE_SHAPE,
) -> None:
    """Write a program that takes batches of any number and size.

    Args:
        network: from images, float32 (N, C, H, W), to maps (N, K, H, W), in evaluation mode.
        target: ``.pt2`` file to write.
        metadata: what the file says of itself, as JSON can hold it.
        shape: of the images that the network is traced with; each side but C at least 2.

    Raises:
        ValueError: the network is not for every size: it decides by the size of its input.
    """
    free = torch.export.Dim.DYNAMIC
    with torch.no_grad():
        try:
            program = torch.export.export(
                network.eval(), (torch.zeros(shape),), dynamic_shapes=({0: free, 2: free, 3: free},)
            )
        except torch._dynamo.exc.UserError as error:
            reason = str(error).strip().partition('\n')[0]
            raise ValueError(f'the network cannot be exported for every size: {reason}') from error
    written = io.BytesIO()
    torch.export.save(program, written, extra_files={METADATA_NAME: json.dumps(metadata)})
    write_atomically(target, written.getvalue())


class Pt2Model:
    """A ``.pt2`` file as a function from images to maps.

    Args:
        path: of a file of :func:`export_pt2`. It holds no code, but graphs and tensors; still, open
            only files that you trust.

    Attributes:
        metadata: what the file says of itself.
        network: from images, float32 (N, C, H, W), to maps (N, K, H, W).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not such a file.
    """

    def __init__(self, path: str | os.PathLike):
        self.metadata = _metadata(path)
        self.network = torch.export.load(str(path)).module()

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """From images, float32 (N, C, H, W), to maps (N, K, H, W)."""
        return self.network(images)


def _metadata(path: str | os.PathLike) -> dict:
    """What a file says of itself, read before PyTorch opens it."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(f'/{METADATA_NAME}')]
            return json.loads(archive.read(names[0]))
    except zipfile.BadZipFile as error:
        raise ValueError(f'{path} is not a file of export_pt2.py') from error
    except IndexError as error:
        raise ValueError(
            f'{path} does not name its classes, so it is of another task or tool; expected a file '
            'of export_pt2.py'
        ) from error
