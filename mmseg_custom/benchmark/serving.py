"""The service under load on loopback: with dynamic batching against one picture at a time.

Both servers have the same model and run in this process, one idle while the other one works; the
clients, as many as twice a batch, send their next picture as soon as they have an answer.
"""

import base64
import http.client
import io
import json
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import quantiles

import numpy as np
from mmengine.config import Config
from PIL import Image

from mmseg_custom.benchmark.named_models import build, model_config, randomise, save_weights
from mmseg_custom.benchmark.photographs import JPEG_QUALITY, paint_photograph
from mmseg_custom.benchmark.run import Comparison, Measurement, Options, Result
from mmseg_custom.benchmark.timing import Timing, interleave
from mmseg_custom.inference.inferencer import Inferencer
from mmseg_custom.messages import import_extra
from mmseg_custom.serving.limits import Limits

SIZE, BATCH = (512, 512), 4
PIPELINE = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
# Random weights find regions everywhere; with classes and labels alone the model is what is timed.
ADDRESS = '/v1/segment?whole_classes=true&masks=false&labels=true'
ROUGHNESS = 0.3
# Share of pixels whose class differs, from rounding and nothing else.
MOST_DIFFERENT = 1e-3
OURS, SINGLE = 'ours', 'one at a time'
PERCENTILES = {'p50': 50, 'p95': 95}


def run_serving(options: Options, report) -> list[Result]:
    """Measure seconds per picture under load, and the median and 95th percentile of an answer.

    Args:
        options: what to measure; ``pictures`` are sent in a round, ``batch`` is that of ours.
        report: called with lines that tell how far it is.

    Raises:
        ModuleNotFoundError: the service's packages are not installed.
        ValueError: a peer or half precision is asked for, or the answers differ.
    """
    if options.against != ('mmseg',) or options.dtype != 'fp32':
        raise ValueError('--task serve: against itself, in fp32; leave out the rest')
    import_extra('fastapi', 'web', '--task serve')
    with tempfile.TemporaryDirectory() as folder:
        return [
            result
            for name in options.models
            for result in _run_model(options, name, Path(folder), report)
        ]


def _run_model(options: Options, name: str, folder: Path, report) -> list[Result]:
    from mmseg_custom.serving.app import create_app
    from mmseg_custom.serving.server import running

    size, batch = options.size or SIZE, options.batch or BATCH
    config = Config(dict(model=model_config(name, size), test_pipeline=PIPELINE))
    model, weights = build(config.model), folder / f'{name}.pth'
    randomise(model)
    save_weights(model, weights)
    pictures = [_picture(seed, size) for seed in range(2 * batch)]
    seconds: dict[str, list[list[float]]] = {OURS: [], SINGLE: []}
    with ExitStack() as stack:
        steps, labels = {}, {}
        for side, batch_size in ((OURS, batch), (SINGLE, 1)):
            limits = Limits(batch_size=batch_size, max_seconds=300)
            inferencer = Inferencer(config, weights, options.device, batch_size=batch_size)
            app = create_app({name: inferencer}, limits, page=False)
            port = stack.enter_context(running(app, limits))
            labels[side] = _labels(port, pictures[0])
            steps[side] = _load(port, pictures, options.pictures, seconds[side].append)
        difference = _difference(labels)
        report(f'{name}: {options.rounds} rounds of {options.pictures} pictures')
        timing = interleave(steps, options.rounds, num_warmups=1)
    for found in timing.seconds.values():
        found[:] = [second / options.pictures for second in found]
    timings = {'serve': timing}
    for key, percent in PERCENTILES.items():
        # The first round warms up.
        timings[f'serve {key}'] = Timing(
            {
                side: [quantiles(one, n=100, method='inclusive')[percent - 1] for one in rounds[1:]]
                for side, rounds in seconds.items()
            }
        )
    return [_result(task, name, size, batch, one, difference) for task, one in timings.items()]


def _result(
    task: str, name: str, size: tuple[int, int], batch: int, timing: Timing, difference: float
) -> Result:
    ratio = timing.ratio(SINGLE)
    comparison = Comparison(
        SINGLE, ratio.median, ratio.minimum, ratio.maximum, None, True, {'labels': difference}
    )
    measured = [Measurement(s, found, timing.median(s)) for s, found in timing.seconds.items()]
    return Result(task, name, size, batch, measured, [comparison])


def _picture(seed: int, size: tuple[int, int]) -> bytes:
    file = io.BytesIO()
    image = paint_photograph(np.random.default_rng(seed), size, ROUGHNESS)
    Image.fromarray(image).save(file, 'JPEG', quality=JPEG_QUALITY)
    return file.getvalue()


def _load(
    port: int, pictures: list[bytes], count: int, keep: Callable[[list[float]], None]
) -> Callable[[], None]:
    """Return a step: one client for each of ``pictures``, ``count`` requests by all together."""

    def send(client: int) -> list[float]:
        seconds = []
        connection = http.client.HTTPConnection('127.0.0.1', port)
        for _ in range(client, count, len(pictures)):
            start = time.perf_counter()
            _segment(connection, pictures[client])
            seconds.append(time.perf_counter() - start)
        connection.close()
        return seconds

    def step() -> None:
        with ThreadPoolExecutor(len(pictures)) as clients:
            answers = list(clients.map(send, range(len(pictures))))
        keep([second for one in answers for second in one])

    return step


def _segment(connection: http.client.HTTPConnection, picture: bytes) -> bytes:
    connection.request('POST', ADDRESS, picture, {'Content-Type': 'image/jpeg'})
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise ValueError(f'status {answer.status}: {content.decode()}')
    return content


def _labels(port: int, picture: bytes) -> np.ndarray:
    connection = http.client.HTTPConnection('127.0.0.1', port)
    encoded = json.loads(_segment(connection, picture))['labels']['base64']
    connection.close()
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))


def _difference(labels: dict[str, np.ndarray]) -> float:
    """Share of the pixels that get another class.

    Raises:
        ValueError: it is too large for rounding.
    """
    difference = float((labels[OURS] != labels[SINGLE]).mean())
    if difference > MOST_DIFFERENT:
        raise ValueError(f'{difference:.2%} of the pixels get another class; times mean nothing')
    return difference
