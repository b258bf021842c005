"""Everything that is broken upstream, mended in one place.

Each function decorated with ``@_fix`` looks for one defect itself (never at a version or at a
distribution's name), mends it when it is there, and returns whether it had to. The two that make
reading checkpoints safe do not look and always mend: whether upstream's readers run code changes
with environment variables. ``apply()`` runs all of them once; ``python -m mmseg_custom.doctor``
prints the result.
"""

import importlib
import importlib.machinery
import importlib.util
import os
import pickle
import re
import sys
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

INSTALL_HINTS = {
    'torch': 'pip install "torch>=2.6"',
    'mmengine': 'pip install "mmengine>=0.10.7"',
    'mmcv': 'pip install "mmcv-lite>=2.1,<2.2"',
    'mmsegmentation': 'pip install "mmsegmentation==1.2.2"',
}


# What upstream says at every start and no user can act on: kept off the console.
UPSTREAM_WARNINGS = (
    '``build_loss`` would be deprecated',
    'Default ``avg_non_ignore`` is False',
    'Detected pickle protocol',
    # MKL follows OMP_NUM_THREADS, which tools/torchrun.sh sets.
    'Setting MKL_NUM_THREADS',
    'Fail to import ``MultiScaleDeformableAttention``',
)
UPSTREAM_LOG_LINES = (
    'The prefix is not set in metric class',
    '"FileClient" will be deprecated',
    '"HardDiskBackend" is the alias',
    'Exp name: ',
    'paramwise_options -- ',
)
UPSTREAM_LOG_ENDS = (' is skipped since its requires_grad=False',)


def ignore_upstream_warnings() -> None:
    """Silence warnings about what a user cannot change."""
    for message in UPSTREAM_WARNINGS:
        warnings.filterwarnings('ignore', message=re.escape(message))


# What each launcher sets in every process, and what to start where nothing did.
LAUNCHERS = {
    'pytorch': ('RANK', 'bash tools/dist_train.sh CONFIG GPUS (or torchrun)'),
    'slurm': ('SLURM_PROCID', 'bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG'),
    'mpi': ('OMPI_COMM_WORLD_LOCAL_RANK', 'mpirun -n GPUS python tools/train.py CONFIG'),
}


@dataclass(frozen=True)
class Fix:
    """One defect upstream: what it is, when the mend can go, and whether it was needed here."""

    name: str
    reason: str
    until: str
    applied: bool


_FIXES: list[tuple[Callable[[], bool], str, str]] = []
_RESULTS: list[Fix] = []


def _fix(reason: str, until: str):
    def register(function: Callable[[], bool]):
        _FIXES.append((function, reason, until))
        return function

    return register


def apply() -> list[Fix]:
    """Mend what is broken in the installed OpenMMLab modules; later calls do nothing.

    Returns:
        One entry per known defect, in the order they were looked at.

    Raises:
        ModuleNotFoundError: no ``mmcv``, ``mmengine`` or ``mmsegmentation`` is installed; the
            message is the line to run.
    """
    if not _RESULTS:
        require_openmmlab()
        for function, reason, until in _FIXES:
            _RESULTS.append(Fix(function.__name__.strip('_'), reason, until, function()))
    return list(_RESULTS)


def require_openmmlab() -> None:
    """Raise ``ModuleNotFoundError`` with the install line for the first module that is missing."""
    modules = {'mmsegmentation': 'mmseg'}
    for distribution, hint in INSTALL_HINTS.items():
        module = modules.get(distribution, distribution)
        if importlib.util.find_spec(module) is None:
            raise ModuleNotFoundError(f'{module} is not installed; run: {hint}', name=module)


def has_compiled_mmcv() -> bool:
    """Whether the installed mmcv brings its compiled operators (``mmcv._ext``)."""
    spec = importlib.util.find_spec('mmcv._ext')
    return spec is not None and spec.loader is not None


def _mmseg_needs_operators() -> bool:
    """Whether a module of ``mmseg.models`` imports ``mmcv.ops`` unguarded, from its source."""
    package = Path(importlib.util.find_spec('mmseg').submodule_search_locations[0])
    files = (package / 'models').rglob('*.py')
    return any(re.search(r'^from mmcv\.ops', file.read_text('utf-8'), re.M) for file in files)


@_fix(
    reason='mmcv-lite has no compiled operators, and mmseg.models imports modules that want them',
    until='mmseg imports mmcv.ops only where it is used',
)
def _mmcv_ext() -> bool:
    if has_compiled_mmcv() or not _mmseg_needs_operators():
        return False
    stand_in = types.ModuleType('mmcv._ext')
    # mmengine asks find_spec() whether operators exist: a spec without a loader answers no.
    stand_in.__spec__ = importlib.machinery.ModuleSpec('mmcv._ext', None)

    def missing_operator(name: str):
        if name.startswith('__'):
            raise AttributeError(name)

        def call(*args, **kwargs):
            raise RuntimeError(
                f'mmcv operator {name} needs the compiled mmcv, but mmcv-lite is installed; '
                'SegFormer and Segmenter do not use it. For models that do, build mmcv from source.'
            )

        return call

    stand_in.__getattr__ = missing_operator
    sys.modules['mmcv._ext'] = stand_in
    return True


def only_statistics(owner, name):
    """Stand in for ``getattr`` while mmengine's ``HistoryBuffer`` is unpickled.

    Its pickles ask for ``builtins.getattr`` to find four statistics methods. Allow-listing the real
    one would let a pickle reach any module's globals, so this returns those methods only.

    Raises:
        pickle.UnpicklingError: anything but a statistics method of ``HistoryBuffer`` is asked for.
    """
    from mmengine.logging import HistoryBuffer

    if owner is HistoryBuffer and name in ('min', 'max', 'mean', 'current'):
        return getattr(HistoryBuffer, name)
    raise pickle.UnpicklingError(f'getattr({owner!r}, {name!r}) is not allowed in a checkpoint')


@_fix(
    reason='mmengine checkpoints hold HistoryBuffer and numpy arrays, which '
    'torch.load(weights_only=True) refuses: what was saved cannot be resumed or tested',
    until='mmengine saves plain tensors and numbers',
)
def _safe_globals() -> bool:
    import numpy as np
    import torch
    from mmengine.logging import HistoryBuffer

    reconstruct = np.array(0.0).__reduce__()[0]
    scalar = np.float64(0.0).__reduce__()[0]
    kinds = ('Float64', 'Float32', 'Int64', 'Int32', 'Bool')
    torch.serialization.add_safe_globals(
        [
            HistoryBuffer,
            (only_statistics, 'builtins.getattr'),
            np.ndarray,
            np.dtype,
            *(getattr(np.dtypes, f'{kind}DType') for kind in kinds),
            *((reconstruct, f'numpy.{core}.multiarray._reconstruct') for core in ('core', '_core')),
            *((scalar, f'numpy.{core}.multiarray.scalar') for core in ('core', '_core')),
        ]
    )
    return True


@_fix(
    reason='mmengine reads http checkpoints through torch.hub with weights_only=False, and its '
    'maintained fork falls back to it for local files: a pickle could run code',
    until='both load with weights_only=True and nothing else',
)
def _safe_loader() -> bool:
    from mmengine.runner.checkpoint import CheckpointLoader

    from mmseg_custom.checkpoints.reading import load_from_http, load_from_local

    CheckpointLoader.register_scheme(prefixes='', loader=load_from_local, force=True)
    CheckpointLoader.register_scheme(
        prefixes=('http://', 'https://'), loader=load_from_http, force=True
    )
    return True


@_fix(
    reason='loaders of addresses such as open-mmlab:// call the unsafe ones past the registry of '
    'loaders; those of the maintained fork share a function that falls back to weights_only=False',
    until='all of them load with weights_only=True and nothing else',
)
def _safe_inner_loaders() -> bool:
    import torch
    from mmengine.runner import checkpoint

    registered = checkpoint.CheckpointLoader._schemes
    checkpoint.load_from_local, checkpoint.load_from_http = registered[''], registered['https://']

    def safe_torch_load(file, map_location=None, weights_only=True):
        return torch.load(file, map_location=map_location, weights_only=True)

    if hasattr(checkpoint, '_safe_torch_load'):
        checkpoint._safe_torch_load = safe_torch_load
    return True


@_fix(
    reason="init_cfg=dict(type='Pretrained') of a module leaves parameters that the file lacks "
    'random, with a warning in the log',
    until='mmengine fails where a pretrained file does not fill the module',
)
def _pretrained() -> bool:
    from mmengine.registry import WEIGHT_INITIALIZERS

    from mmseg_custom.checkpoints.initialising import Pretrained

    WEIGHT_INITIALIZERS.register_module('Pretrained', module=Pretrained, force=True)
    return True


@_fix(
    reason='init_dist calls torch.cuda.set_device and asks for nccl, also where there is no GPU; '
    "without torchrun, srun or mpirun it ends in KeyError: 'RANK' and the like",
    until='mmengine initialises gloo on a CPU and says what has to start the processes',
)
def _init_dist() -> bool:
    import mmengine.dist
    import mmengine.runner.runner
    import torch

    on_cpu = not torch.cuda.is_available()
    if not on_cpu and any(variable in os.environ for variable, _ in LAUNCHERS.values()):
        return False
    upstream = mmengine.dist.utils.init_dist

    def init_dist(launcher, backend='nccl', **kwargs):
        variable, fix = LAUNCHERS.get(launcher, (None, None))
        if variable is not None and variable not in os.environ:
            raise ValueError(
                f'--launcher {launcher} expects the environment variable {variable}, which is not '
                f'set; start with {fix}, or leave --launcher out for one process'
            )
        if on_cpu and launcher == 'pytorch' and torch.distributed.is_available():
            return _init_gloo(**kwargs)
        return upstream(launcher, backend=backend, **kwargs)

    for module in (mmengine.dist.utils, mmengine.dist, mmengine.runner.runner):
        module.init_dist = init_dist
    return True


def _init_gloo(init_backend: str = 'torch', timeout: float | None = None, **kwargs) -> None:
    """Start gloo with the arguments of mmengine's ``init_dist``; ``timeout`` in seconds."""
    from datetime import timedelta

    from torch.distributed import init_process_group

    if timeout is not None:
        kwargs['timeout'] = timedelta(seconds=timeout)
    os.environ.setdefault('LOCAL_RANK', os.environ['RANK'])
    init_process_group('gloo', **kwargs)


@_fix(
    reason='Runner.wrap_model passes device_ids=[LOCAL_RANK], which DDP refuses for a model on the '
    'CPU, and SyncBN raises there',
    until='mmengine wraps CPU models without device_ids',
)
def _data_parallel_on_cpu() -> bool:
    import torch
    from mmengine.model import MMDistributedDataParallel, revert_sync_batchnorm

    if torch.cuda.is_available():
        return False
    upstream = MMDistributedDataParallel.__init__

    def __init__(self, module, *args, **kwargs):
        if next(module.parameters()).device.type == 'cpu':
            module = revert_sync_batchnorm(module)
            kwargs.update(device_ids=None, output_device=None)
        upstream(self, module, *args, **kwargs)

    MMDistributedDataParallel.__init__ = __init__
    return True


@_fix(
    reason="after torchrun --max-restarts the processes find the dead ones' addresses in the store "
    'that they share, and connect to those: most restarts fail',
    until='the static rendezvous makes a new store, or torch a prefix, for each restart',
)
def _store_of_a_restart() -> bool:
    restart = os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')
    if restart == '0':
        return False
    from torch.distributed import PrefixStore

    # The package has a function of this name.
    rendezvous = importlib.import_module('torch.distributed.rendezvous')
    upstream = rendezvous._create_c10d_store

    def create_store(*args, **kwargs):
        return PrefixStore(f'restart_{restart}', upstream(*args, **kwargs))

    rendezvous._create_c10d_store = create_store
    return True
