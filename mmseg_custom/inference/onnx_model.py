"""An exported ONNX file as a segmentor, for :class:`~mmseg_custom.inference.inferencer.Inferencer`.

Such a file says in its metadata, under the key ``mmseg_custom``, what it needs to be used: a JSON
object with the keys of ``METADATA_KEYS``.
"""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from mmengine.config import Config
from mmseg.models.segmentors import BaseSegmentor
from torch import Tensor

from mmseg_custom.checkpoints.recorded_config import read_config
from mmseg_custom.messages import import_extra
from mmseg_custom.models.segmentors.block_prediction import LogitMap
from mmseg_custom.models.segmentors.children import scoped
from mmseg_custom.models.segmentors.encoder_decoder import EncoderDecoder
from mmseg_custom.registry import register_all

SUFFIX = '.onnx'
METADATA_KEY = 'mmseg_custom'
TASK = 'semantic segmentation'
METADATA_KEYS = {
    'task': f"'{TASK}'",
    'kind': "'multiclass' or 'binary'",
    'classes': 'names',
    'palette': '[red, green, blue] of each class, 0..255',
    'threshold': 'of a binary model, 0..1, else null',
    'preprocessing': "'inside' (the file takes pictures), 'outside' (resize, mean and std say all "
    "of it), or 'other' (only config does)",
    'channel_order': "of the input: 'RGB', 'BGR', or 'bands'",
    'mean': 'one per channel, or null',
    'std': 'one per channel, or null',
    'resize': '{"scale": [width, height], "keep_ratio": ...} of the test pipeline, or null',
    'windows': '{"size": [height, width], "stride": [height, width]} inside the file, or null',
    'align_corners': 'how logits are resized',
    'config': 'the parts of the config that prepare pictures, as Python',
    'versions': 'of what wrote the file',
}


def is_onnx(model: object) -> bool:
    """Whether a model is named by an ONNX file."""
    return isinstance(model, str | os.PathLike) and str(model).lower().endswith(SUFFIX)


class OnnxSegmentor(EncoderDecoder):
    """An ONNX file in the place of backbone and head; all else is ``EncoderDecoder``'s.

    Attributes:
        cfg: with ``test_pipeline`` and ``model`` as far as they prepare pictures.
        dataset_meta: ``classes`` and ``palette``.
        metadata: of the file; see ``METADATA_KEYS``.

    Args:
        path: file that ``tools/deployment/export_onnx.py`` wrote.
        device: ``cpu``, or ``cuda:1`` where onnxruntime has its CUDA provider; None takes a GPU
            that it sees.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no ONNX file, or not one of a segmentor with the metadata; or onnxruntime
            does not see the device.
        ModuleNotFoundError: onnxruntime is not installed.
    """

    def __init__(self, path: str | os.PathLike, device: str | torch.device | None = None) -> None:
        register_all()
        self._path = str(path)
        metadata = read_metadata(open_session(path, device), path)
        config = _read_config(metadata, path)
        BaseSegmentor.__init__(self, data_preprocessor=scoped(config.model.data_preprocessor))
        self.cfg, self.metadata, self._device = config, metadata, device
        # Opened here, so that the first picture takes no longer than others.
        needed = 'logits' if self.takes_pictures else 'head_logits'
        self._sessions = {needed: open_session(path, device, needed)}
        self.dataset_meta = {
            'classes': tuple(metadata['classes']),
            'palette': [tuple(colour) for colour in metadata['palette']],
        }
        self.num_classes = len(metadata['classes'])
        self.out_channels = 1 if metadata['kind'] == 'binary' else self.num_classes
        self.align_corners = metadata['align_corners']
        self.decode_head = SimpleNamespace(
            out_channels=self.out_channels, threshold=metadata['threshold']
        )
        self.test_cfg = config.model.get('test_cfg') or {}
        self.eval()

    @property
    def takes_pictures(self) -> bool:
        """Whether preprocessing is inside the file."""
        return self.metadata['preprocessing'] == 'inside'

    def run(self, output: str, inputs: np.ndarray) -> np.ndarray:
        """Compute one output of the file.

        Args:
            output: ``'logits'``, ``'probabilities'``, ``'labels'`` ...
            inputs: ``pictures`` uint8 (N, H, W, 3), RGB, of a file with preprocessing inside, else
                ``images`` float32 (N, C, H, W), normalised.

        Raises:
            ValueError: onnxruntime refuses, such as images smaller than a patch.
        """
        options = import_extra('onnxruntime', 'deploy').RunOptions()
        options.log_severity_level = 4
        if output not in self._sessions:
            self._sessions[output] = open_session(self._path, self._device, output)
        session = self._sessions[output]
        name = session.get_inputs()[0].name
        try:
            return session.run([output], {name: np.ascontiguousarray(inputs)}, options)[0]
        except _runtime_errors() as error:
            raise ValueError(
                f'{self._path} cannot predict an input of shape {inputs.shape}: '
                f'{_first_line(error)}'
            ) from error

    def logit_maps(self, inputs: Tensor, metas: list[dict | None]) -> list[LogitMap]:
        """Compute logits, as :meth:`EncoderDecoder.logit_maps`.

        A file with preprocessing inside gets pictures, float RGB 0..255 of shape (N, 3, H, W), and
        gives logits of their size.
        """
        if not self.takes_pictures:
            return super().logit_maps(inputs, metas)
        if self.metadata['resize'] and None in metas:
            raise ValueError(
                f'{self._path} resizes what it gets, so tiles would not keep their scale; export '
                'it without --with-preprocessing'
            )
        pictures = inputs.permute(0, 2, 3, 1).to(torch.uint8).numpy()
        logits = torch.from_numpy(self.run('logits', pictures))
        self._check_logits(logits, metas)
        size = tuple(inputs.shape[2:])
        return [LogitMap.from_logits(one, size, self.align_corners) for one in logits]

    def _head_logits(self, images: Tensor, metas: list[dict]) -> tuple[Tensor, tuple[int, int]]:
        logits = torch.from_numpy(self.run('head_logits', images.numpy()))
        return logits, self._size_of_input(metas)


def open_onnx(
    path: str | os.PathLike,
    weights: object = None,
    device: str | torch.device | None = None,
    **refused: object,
) -> OnnxSegmentor:
    """Open an ONNX file in place of config and checkpoint.

    Args:
        path: of the file.
        weights: must be None; the file has them.
        device: as in :class:`OnnxSegmentor`.
        refused: options that a file cannot follow, by their names on the command line.

    Raises:
        ValueError: weights or an option are given; or as :class:`OnnxSegmentor`.
    """
    if weights is not None:
        raise ValueError(f'{path} carries its weights; leave {weights} out')
    for option, value in refused.items():
        if value:
            raise ValueError(
                f'{path} is exported and cannot follow {option}; leave it out, or predict with the '
                'checkpoint'
            )
    return OnnxSegmentor(path, device)


def open_session(
    path: str | os.PathLike, device: str | torch.device | None = None, output: str | None = None
):
    """Open an ``onnxruntime.InferenceSession`` with as many threads as PyTorch has.

    Args:
        path: of the file.
        device: as in :class:`OnnxSegmentor`.
        output: compute this one alone; onnxruntime runs all nodes of a file, whatever it is asked
            for. None keeps all.

    Raises:
        FileNotFoundError, ValueError, ModuleNotFoundError: as :class:`OnnxSegmentor`.
    """
    runtime = import_extra('onnxruntime', 'deploy', Path(path).name)
    if not os.path.isfile(path):
        raise FileNotFoundError(f'model {path} does not exist')
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    providers = _providers(runtime.get_available_providers(), device)
    try:
        source = os.fspath(path) if output is None else _part_for(path, output)
        return runtime.InferenceSession(source, options, providers=providers)
    except _runtime_errors() as error:
        raise ValueError(
            f'{path} ({os.path.getsize(path)} bytes) is not an ONNX file that onnxruntime '
            f'{runtime.__version__} opens: {_first_line(error)}'
        ) from error


def _part_for(path: str | os.PathLike, output: str) -> bytes:
    """The file without the nodes that an output does not need."""
    onnx = import_extra('onnx', 'deploy')
    model = onnx.load(path)
    inputs = [one.name for one in model.graph.input]
    return onnx.utils.Extractor(model).extract_model(inputs, [output]).SerializeToString()


def read_metadata(session, path: str | os.PathLike) -> dict:
    """Read what the export wrote into a file.

    Args:
        session: an ``onnxruntime.InferenceSession`` of it.
        path: its name, for messages.

    Raises:
        ValueError: it is missing, of another task, or not whole.
    """
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        inputs = ', '.join(f'{one.name} {one.shape}' for one in session.get_inputs())
        raise ValueError(
            f"{path} (input {inputs}) has no metadata '{METADATA_KEY}', which says classes and "
            'preprocessing; write it with tools/deployment/export_onnx.py'
        )
    try:
        metadata = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"metadata '{METADATA_KEY}' of {path} is no JSON: {error}") from error
    metadata = metadata if isinstance(metadata, dict) else {}
    if metadata.get('task', TASK) != TASK:
        raise ValueError(f"{path} is of the task '{metadata['task']}'; expected '{TASK}'")
    missing = [key for key in METADATA_KEYS if key not in metadata]
    if missing:
        raise ValueError(
            f"metadata '{METADATA_KEY}' of {path} lacks {', '.join(missing)}; export the file again"
        )
    return metadata


def _read_config(metadata: dict, path: str | os.PathLike) -> Config:
    """Read how pictures are prepared.

    Raises:
        ValueError: the metadata do not say it.
    """
    found = read_config(str(metadata['config']))
    model = found.get('model')
    if not (isinstance(model, dict) and isinstance(model.get('data_preprocessor'), dict)):
        raise ValueError(
            f"metadata '{METADATA_KEY}' of {path} have no config with model.data_preprocessor; "
            'export the file again'
        )
    return Config(found)


def _providers(available: list[str], device: str | torch.device | None) -> list:
    """What runs the nodes, the first that can."""
    cuda, cpu = 'CUDAExecutionProvider', 'CPUExecutionProvider'
    wanted = torch.device(device) if device is not None else None
    if wanted is None:
        return [one for one in (cuda, cpu) if one in available]
    if wanted.type == 'cpu':
        return [cpu]
    if wanted.type != 'cuda' or cuda not in available:
        raise ValueError(
            f"device='{device}', but onnxruntime has {', '.join(available)}; use cpu, or install "
            'onnxruntime-gpu for cuda'
        )
    return [(cuda, {'device_id': wanted.index or 0}), cpu]


def _runtime_errors() -> tuple[type[Exception], ...]:
    """The errors of onnxruntime, which have no base class of their own."""
    state = import_extra('onnxruntime.capi.onnxruntime_pybind11_state', 'deploy')
    names = ('Fail', 'InvalidProtobuf', 'InvalidGraph', 'InvalidArgument', 'NotImplemented')
    return *(getattr(state, name) for name in (*names, 'RuntimeException', 'EPFail')), RuntimeError


def _first_line(error: Exception) -> str:
    return str(error).strip().partition('\n')[0]
