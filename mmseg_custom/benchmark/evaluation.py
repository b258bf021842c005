"""Evaluation end to end: ``tools/test.py`` with our classes against the same tool with mmseg's.

Both sides run the same runner, data loader and pipeline on the same pictures with the same weights;
only model and metric are ours or the stock ones. Each run is a process of its own.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config

from mmseg_custom.benchmark.named_models import NUM_CLASSES, build, model_config, randomise
from mmseg_custom.benchmark.run import Comparison, Measurement, Options, Result
from mmseg_custom.benchmark.timing import Timing, interleave
from mmseg_custom.benchmark.workers import peak_resident_bytes
from mmseg_custom.engine.config import CONFIG_FOLDERS, load_config
from mmseg_custom.host_memory import OPT_OUT

PICTURE_SIZE = (512, 683)
DATASET_CONFIG = '_base_/datasets/ade20k.py'
# Both sides sum the same label maps; only rounding in the logits can move single pixels.
MIOU_TOLERANCE = 0.02


def run_evaluation(options: Options, report) -> list[Result]:
    """Measure the whole process and the evaluation loop of each model.

    Args:
        options: what to measure; ``against`` must be ``('mmseg',)``.
        report: called with lines that tell how far it is.

    Returns:
        Two results for each model: ``eval process`` in seconds, from start to exit, and ``eval
        loop`` in seconds per picture, loading and metric included, start-up left out.

    Raises:
        ValueError: another peer or device is asked for, or both sides' mIoU differ.
        RuntimeError: the tool failed; the message holds the end of its output.
    """
    if options.against != ('mmseg',) or options.dtype != 'fp32' or options.compile != 'none':
        raise ValueError(
            '--task eval compares with mmseg in fp32, uncompiled; leave out --dtype and --compile '
            'and use --against mmseg'
        )
    results = []
    for name in options.models:
        with tempfile.TemporaryDirectory() as folder:
            results += _run_model(options, name, Path(folder), report)
    return results


def _run_model(options: Options, name: str, folder: Path, report) -> list[Result]:
    size = options.size or PICTURE_SIZE
    report(f'{name}: writing {options.pictures} pictures of {size[0]}x{size[1]}')
    write_pictures(folder / 'data', options.pictures, size)
    config = model_config(name)
    model = build(config, 'mmseg')
    randomise(model)
    torch.save(dict(state_dict=model.state_dict()), folder / 'weights.pth')
    runs: dict[str, list[ToolRun]] = {'ours': [], 'mmseg': []}

    def step(side: str):
        write_config(folder / f'{side}.py', config, folder / 'data', stock=side == 'mmseg')
        return lambda: runs[side].append(run_tool(folder, side, options))

    steps = {side: step(side) for side in runs}
    report(f'{name}: running tools/test.py {2 * options.rounds + 2} times')
    processes = interleave(steps, options.rounds, num_warmups=1)
    scores = {side: found[0].miou for side, found in runs.items()}
    difference = abs(scores['ours'] - scores['mmseg'])
    if difference > MIOU_TOLERANCE:
        raise ValueError(
            f'mIoU of ours {scores["ours"]} and of mmseg {scores["mmseg"]} differ; times of models '
            'that compute different things mean nothing'
        )
    report(f'{name}: mIoU of both sides differs by {difference:.1e} points')
    # The first run of each side is the warm-up.
    loops = Timing({side: [r.loop_seconds for r in found[1:]] for side, found in runs.items()})
    peaks = {side: max(r.peak_bytes for r in found[1:]) for side, found in runs.items()}
    parameters = sum(p.numel() for p in model.parameters())
    return [
        _result(f'eval {what}', name, size, timing, peaks, parameters, {'mIoU': difference})
        for what, timing in (('process', processes), ('loop', loops))
    ]


def _result(task, name, size, timing: Timing, peaks, parameters, difference) -> Result:
    measurements = [
        Measurement(side, seconds, timing.median(side), peaks[side], parameters=parameters)
        for side, seconds in timing.seconds.items()
    ]
    ratio = timing.ratio('mmseg')
    memory = peaks['mmseg'] / peaks['ours']
    comparison = Comparison(
        'mmseg', ratio.median, ratio.minimum, ratio.maximum, memory, True, difference
    )
    return Result(task, name, size, 1, measurements, [comparison])


def write_pictures(root: Path, count: int, size: tuple[int, int]) -> None:
    """Write soft random pictures (JPEG) and label maps (PNG) in ADE20K's layout.

    Args:
        root: becomes the data set's ``data_root``.
        count: number of pictures.
        size: height and width.
    """
    height, width = size
    generator = np.random.default_rng(0)
    for kind in ('images', 'annotations'):
        (root / kind / 'validation').mkdir(parents=True, exist_ok=True)
    for index in range(count):
        name = f'ADE_val_{index + 1:08d}'
        coarse = generator.integers(20, 236, (24, 32, 3)).astype(np.float32)
        picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        # Grain, without which the file is far smaller than a photograph's.
        picture += generator.normal(0, 6, picture.shape).astype(np.float32)
        label = generator.integers(0, NUM_CLASSES + 1, (8, 11)).astype(np.uint8)
        label = cv2.resize(label, (width, height), interpolation=cv2.INTER_NEAREST)
        image_file = root / f'images/validation/{name}.jpg'
        cv2.imwrite(str(image_file), picture.clip(0, 255).astype(np.uint8))
        cv2.imwrite(str(root / f'annotations/validation/{name}.png'), label)


def write_config(path: Path, model: dict, data_root: Path, stock: bool) -> None:
    """Write the config of one side: ours, or mmseg's model and metric in our runner.

    Args:
        path: the new file.
        model: config of the segmentor.
        data_root: folder in ADE20K's layout.
        stock: whether model and metric are mmseg's.
    """
    runtime = load_config('_base_/default_runtime.py')
    data = load_config(DATASET_CONFIG, [f'data_root={data_root}'])
    evaluator = data.test_evaluator
    model = Config(dict(model=model)).model
    if stock:
        model = {**model, '_scope_': 'mmseg'}
        evaluator = {**evaluator, 'type': f'mmseg.{evaluator.type}'}
    loader = data.test_dataloader
    # The processes of the loader would fight with the model for few cores.
    loader.num_workers = min(2, loader.num_workers)
    scale = (4 * PICTURE_SIZE[0], PICTURE_SIZE[0])
    for transform in loader.dataset.pipeline:
        if transform['type'] == 'Resize':
            assert tuple(transform['scale']) == scale, 'pictures of 512x683 keep their size'
    Config(
        dict(
            runtime._cfg_dict.to_dict(),
            model=model,
            test_dataloader=loader,
            test_evaluator=evaluator,
            test_cfg=dict(type='TestLoop'),
        )
    ).dump(path)


class ToolRun:
    """What one run of ``tools/test.py`` gave.

    Attributes:
        loop_seconds: mean seconds per picture in the evaluation loop.
        miou: percent.
        peak_bytes: largest resident memory of the process.
    """

    def __init__(self, log: dict, peak_bytes: int):
        self.loop_seconds, self.miou = log['time'], log['mIoU']
        self.peak_bytes = peak_bytes


def run_tool(folder: Path, side: str, options: Options) -> ToolRun:
    """Run ``tools/test.py`` in a process of its own and read what it logged."""
    work_dir = folder / f'{side}_{time.monotonic_ns()}'
    words = [tool_path('test.py'), folder / f'{side}.py', folder / 'weights.pth']
    command = [sys.executable, *map(str, [*words, '--work-dir', work_dir])]
    environment = {**os.environ, 'OMP_NUM_THREADS': str(options.threads or torch.get_num_threads())}
    if options.device == 'cpu':
        environment['CUDA_VISIBLE_DEVICES'] = ''
    keeps = options.keep_memory == 'both' or (options.keep_memory, side) == ('ours', 'ours')
    environment[OPT_OUT] = str(int(keeps))
    output = folder / 'output.txt'
    with output.open('w') as stream:
        process = subprocess.Popen(
            command, stdout=stream, stderr=subprocess.STDOUT, env=environment
        )
        peak = 0
        while process.poll() is None:
            peak = max(peak, peak_resident_bytes(process.pid))
            time.sleep(0.05)
    if process.returncode:
        raise RuntimeError(f'{" ".join(command)} failed: {output.read_text()[-2000:]}')
    # In the folder of the run's time; the metric's report lies beside it.
    log = json.loads(next(work_dir.glob('[0-9]*/*.json')).read_text())
    return ToolRun(log, peak)


def tool_path(name: str) -> Path:
    """Find a tool in the checkout or in the installed package.

    Raises:
        FileNotFoundError: it is in neither.
    """
    for configs in CONFIG_FOLDERS:
        path = configs.parent / 'tools' / name
        if path.is_file():
            return path
    raise FileNotFoundError(f'tools/{name} lies neither in the package nor beside it')
