"""One benchmark: build, compare, count, time, and collect the results."""

import importlib
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import torch

from mmseg_custom.benchmark.counting import count_cost, peak_bytes, total_bytes
from mmseg_custom.benchmark.named_models import model_config
from mmseg_custom.benchmark.networks import Network, autocast_for, build_networks, can_compare
from mmseg_custom.benchmark.profiling import operator_shares
from mmseg_custom.benchmark.tasks import (
    DEFAULT_BATCH,
    DEFAULT_SIZE,
    Contender,
    differences,
    make_batch,
    make_contender,
)
from mmseg_custom.benchmark.timing import (
    Ceilings,
    Timing,
    interleave,
    measure_ceilings,
    synchronizer,
)
from mmseg_custom.benchmark.workers import WorkerState, start_workers

PEERS = ('mmseg', 'hf', 'smp')
# Tasks that are measured in a way of their own, by ``run_MODULE``.
OWN_MODULES = {
    'eval': 'evaluation',
    'hooks': 'hooks',
    'data': 'data',
    'video': 'video',
    'serve': 'serving',
    'deploy': 'deploy',
}
TASKS = (*DEFAULT_BATCH, *OWN_MODULES)
# Of the task `deploy`; LiteRT's converter lives in an environment of its own.
DEFAULT_FORMATS = ('onnx', 'onnx-fp16', 'onnx-int8', 'pt2')
FORMATS = (*DEFAULT_FORMATS, 'litert')
DTYPES = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}
# Largest difference of the contenders' results at which they still count as the same, in fp32.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Options:
    """What to measure.

    Attributes:
        task: one of ``TASKS``.
        models: names, see :mod:`mmseg_custom.benchmark.named_models`; for the task ``data`` those
            of data sets, by default all.
        against: some of ``PEERS``, for the task ``deploy`` of ``FORMATS``.
        device: ``cpu`` or ``cuda``.
        dtype: a key of ``DTYPES``: that of autocast.
        compile: which side is compiled: ``none``, ``ours`` or ``both``.
        size: height and width of the images; ``None`` is 512x512, for windows 1024x2048.
        batch: images at once; ``None`` is the task's default.
        rounds: measurements of each contender.
        min_seconds: how long a measurement lasts at least, about.
        threads: of PyTorch on a CPU; ``None`` leaves them as they are.
        pictures: how many pictures the tasks ``eval``, ``video`` and ``serve`` have.
        keep_memory: whose process keeps freed memory on a CPU: ``none``, ``ours`` (as our tools
            do and others do not) or ``both``.
        profile: report which operators take the time.
        data_root: folder of real pictures for the task ``data``; None generates some.
    """

    task: str
    models: tuple[str, ...] = ()
    against: tuple[str, ...] = ('mmseg',)
    device: str = 'cpu'
    dtype: str = 'fp32'
    compile: str = 'none'
    size: tuple[int, int] | None = None
    batch: int | None = None
    rounds: int = 10
    min_seconds: float = 0.1
    threads: int | None = None
    pictures: int = 24
    keep_memory: str = 'ours'
    profile: bool = False
    data_root: str | None = None


@dataclass(frozen=True)
class Measurement:
    """What one contender takes.

    Attributes:
        name: ``ours`` or the peer's.
        seconds: of one step, one number per round.
        median_seconds: of ``seconds``.
        peak_bytes: weights, optimiser state and inputs, plus the most that the step holds beyond
            them at one time, gradients included.
        step_bytes: the latter alone.
        parameters: number of the model's parameters.
        flops: of one step, as executed.
        moved_bytes: that the step's operators read and write.
        matmul_share: FLOP/s reached, over that of a large matrix product.
        copy_share: bytes moved per second, over that of a large copy; above 1 where data stays in
            a cache or operators are fused.
        compiled: whether ``torch.compile`` was used.
        keeps_memory: whether the process kept freed memory.
        resident_bytes: the most memory that its process had, Python and modules included; 0 on a
            GPU.
    """

    name: str
    seconds: list[float]
    median_seconds: float
    peak_bytes: int | None = None
    step_bytes: int | None = None
    parameters: int | None = None
    flops: int | None = None
    moved_bytes: int | None = None
    matmul_share: float | None = None
    copy_share: float | None = None
    compiled: bool = False
    keeps_memory: bool = False
    resident_bytes: int = 0


@dataclass(frozen=True)
class Comparison:
    """A peer against ours: ratios above 1 say that ours is faster or smaller.

    Attributes:
        against: the peer.
        ratio: of the medians of the times.
        ratio_min: smallest ratio within one round.
        ratio_max: largest.
        memory_ratio: of the peaks of memory.
        same_weights: whether both compute the same function.
        differences: of their results before timing, largest over largest value; empty for a peer
            with weights of its own.
    """

    against: str
    ratio: float
    ratio_min: float
    ratio_max: float
    memory_ratio: float | None
    same_weights: bool
    differences: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """All contenders of one model at one task."""

    task: str
    model: str
    size: tuple[int, int]
    batch: int
    measurements: list[Measurement]
    comparisons: list[Comparison]


def run(options: Options, report=lambda text: None) -> tuple[Ceilings, list[Result]]:
    """Measure every model of ``options``.

    Args:
        options: what to measure.
        report: called with lines that tell how far it is.

    Raises:
        ValueError: an option is wrong, or two implementations with the same weights disagree.
        ModuleNotFoundError: a peer is not installed.
    """
    check_options(options)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    device, dtype = torch.device(options.device), DTYPES[options.dtype]
    # As the configs set it for training and testing; it changes nothing on a CPU.
    torch.backends.cudnn.benchmark = True
    report('measuring the machine: matrix product and copy')
    ceilings = measure_ceilings(device, dtype)
    if options.task in OWN_MODULES:
        name = OWN_MODULES[options.task]
        module = importlib.import_module(f'mmseg_custom.benchmark.{name}')
        return ceilings, getattr(module, f'run_{name}')(options, report)
    return ceilings, [_run_model(options, name, ceilings, report) for name in options.models]


def check_options(options: Options) -> None:
    """Raise ``ValueError`` for options that do not fit together."""
    for what, given, known in (
        ('--task', (options.task,), TASKS),
        ('--against', options.against, FORMATS if options.task == 'deploy' else PEERS),
        ('--dtype', (options.dtype,), DTYPES),
    ):
        wrong = [name for name in given if name not in known]
        if wrong:
            raise ValueError(f'{what} {wrong[0]}: expected one of {", ".join(known)}')
    if options.device.startswith('cuda') and not torch.cuda.is_available():
        raise ValueError('--device cuda, but PyTorch sees no GPU; use --device cpu')
    if options.task == 'loss' and options.compile != 'none':
        raise ValueError('--task loss starts from given logits: leave out --compile')
    for name in options.models if options.task != 'data' else ():
        model_config(name)
        if options.task != 'deploy' and not _peers(options, name):
            raise ValueError(
                f'{name} has no counterpart in {", ".join(options.against)} for --task '
                f'{options.task}; hf and smp have SegFormer for infer and train, mmseg has all '
                'but segformer_mlp_*'
            )


def _peers(options: Options, name: str) -> list[str]:
    return [peer for peer in options.against if can_compare(name, options.task, peer)]


def _run_model(options: Options, name: str, ceilings: Ceilings, report) -> Result:
    device = torch.device(options.device)
    size, batch_size = _size(options), _batch(options)
    config = model_config(name, size, slide=options.task == 'slide')
    peers = _peers(options, name)
    report(f'{name}: building ours and {", ".join(peers)}')
    networks = build_networks(name, config, peers, device)
    batch = make_batch(batch_size, size, device)
    contenders = [make_contender(options.task, n, batch, DTYPES[options.dtype]) for n in networks]
    with full_precision():
        found = compare(contenders)
    costs = [count_cost(contender.countable_step) for contender in contenders]
    compiled = {'none': [], 'ours': networks[:1], 'both': networks}[options.compile]
    for network in compiled:
        network.compile()
    # A compiled training step would be compiled once more, without dropout, to be compared.
    if (compiled or options.dtype != 'fp32') and options.task != 'train':
        autocast = autocast_for(device, DTYPES[options.dtype])
        as_timed = compare(contenders, autocast, refuse=options.dtype == 'fp32')
        for peer, values in as_timed.items():
            found[peer] |= {f'{key} as timed': value for key, value in values.items()}
    for peer, values in found.items():
        listed = ', '.join(f'{key} {value:.1e}' for key, value in sorted(values.items()))
        listed = f'largest relative difference: {listed}' if listed else 'it has its own weights'
        report(f'{name}: ours against {peer}: {listed}')
    if options.profile:
        _report_profiles(name, contenders, device, report)
    timing, states = _time(options, name, contenders, compiled)
    measurements = [
        _measure(contender, cost, timing, ceilings, contender.network in compiled, device, states)
        for contender, cost in zip(contenders, costs, strict=True)
    ]
    comparisons = [
        _compare_times(timing, measurements, network, found[network.name])
        for network in networks[1:]
    ]
    return Result(options.task, name, size, batch_size, measurements, comparisons)


def _report_profiles(name: str, contenders: list[Contender], device, report) -> None:
    for contender in contenders:
        shares = operator_shares(contender.step, device)
        listed = ', '.join(f'{op} {share:.0%}' for op, share in shares.items() if share >= 0.01)
        report(f'{name}: {contender.network.name} spends its time in {listed}')


def _time(
    options: Options, model: str, contenders: list[Contender], compiled: list[Network]
) -> tuple[Timing, dict[str, WorkerState]]:
    """Time the contenders: on a CPU each in a process of its own, on a GPU in this one."""
    settings = dict(
        rounds=options.rounds,
        min_seconds=options.min_seconds,
        synchronize=synchronizer(torch.device(options.device)),
    )
    if options.device != 'cpu':
        return interleave({c.network.name: c.step for c in contenders}, **settings), {}
    keeps = {'none': (), 'ours': ('ours',), 'both': ('ours', *options.against)}
    orders = {
        contender.network.name: dict(
            task=options.task,
            model=model,
            contender=contender.network.name,
            size=_size(options),
            batch=_batch(options),
            dtype=DTYPES[options.dtype],
            compiled=contender.network in compiled,
            keep_memory=contender.network.name in keeps[options.keep_memory],
            threads=torch.get_num_threads(),
        )
        for contender in contenders
    }
    with start_workers(orders) as workers:
        timing = interleave({name: worker.step for name, worker in workers.items()}, **settings)
        return timing, {name: worker.state() for name, worker in workers.items()}


def _size(options: Options) -> tuple[int, int]:
    return options.size or DEFAULT_SIZE.get(options.task, (512, 512))


def _batch(options: Options) -> int:
    return options.batch or DEFAULT_BATCH[options.task]


@contextmanager
def full_precision():
    """Switch TF32 off, so that single precision means it on a GPU too."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def compare(
    contenders: list[Contender], autocast=nullcontext, refuse: bool = True
) -> dict[str, dict[str, float]]:
    """Compare what the first contender computes with what each other one does.

    Args:
        contenders: ours first.
        autocast: opens the block of half precision; full precision by default.
        refuse: whether a difference above ``TOLERANCE`` is an error.

    Returns:
        Differences by peer; empty where a peer has weights of its own.

    Raises:
        ValueError: one with the same weights differs.
    """
    ours = contenders[0].result(autocast)
    found = {}
    for contender in contenders[1:]:
        name = contender.network.name
        found[name] = {}
        if not contender.network.same_weights:
            continue
        found[name] = differences(ours, contender.result(autocast))
        for key, value in found[name].items():
            if refuse and not value <= TOLERANCE:
                raise ValueError(
                    f'ours and {name} disagree: {key} differs by {value:.1e}, allowed is '
                    f'{TOLERANCE:.0e}; times of models that compute different things mean nothing'
                )
    return found


def _measure(
    contender, cost, timing: Timing, ceilings, compiled: bool, device, states
) -> Measurement:
    network = contender.network
    seconds = timing.median(network.name)
    resident = total_bytes(contender.resident())
    step_bytes = peak_bytes(contender.step, device)
    return Measurement(
        name=network.name,
        seconds=timing.seconds[network.name],
        median_seconds=seconds,
        peak_bytes=resident + step_bytes,
        step_bytes=step_bytes,
        parameters=sum(p.numel() for p in network.model.parameters()),
        flops=cost.flops,
        moved_bytes=cost.num_bytes,
        matmul_share=cost.flops / seconds / ceilings.matmul_flops,
        copy_share=cost.num_bytes / seconds / ceilings.copy_bytes,
        compiled=compiled,
        **vars(states.get(network.name, WorkerState(False, 0))),
    )


def _compare_times(timing: Timing, measurements, peer: Network, found: dict) -> Comparison:
    ratio = timing.ratio(peer.name)
    peaks = {measured.name: measured.peak_bytes for measured in measurements}
    return Comparison(
        against=peer.name,
        ratio=ratio.median,
        ratio_min=ratio.minimum,
        ratio_max=ratio.maximum,
        memory_ratio=peaks[peer.name] / peaks['ours'],
        same_weights=peer.same_weights,
        differences=found,
    )
