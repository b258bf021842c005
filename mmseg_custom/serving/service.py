"""A request's way: admitted, read, decoded, predicted in a batch, written out; or dropped."""

import asyncio
import math
import os
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
from fastapi import Request

from mmseg_custom.inference.inferencer import Inferencer
from mmseg_custom.messages import did_you_mean
from mmseg_custom.serving.answers import write_answer
from mmseg_custom.serving.batching import Batcher
from mmseg_custom.serving.bodies import picture_of, read_body
from mmseg_custom.serving.limits import Limits, RefusedError, decode_picture
from mmseg_custom.serving.metrics import Metrics
from mmseg_custom.serving.schema import SegmentOptions

# Threads that decode pictures and write answers.
MOST_THREADS = 4


class Service:
    """Models, and the requests in work.

    Args:
        models: by name; the first one is the default.
        limits: of requests.

    Attributes:
        batchers: by name of the model.
        metrics: of all requests.
    """

    def __init__(self, models: Mapping[str, Inferencer], limits: Limits) -> None:
        self.limits, self.metrics = limits, Metrics()
        self.batchers = {
            name: Batcher(inferencer, limits, self._observer(name))
            for name, inferencer in models.items()
        }
        self._threads = ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1))
        self._in_work = 0

    @property
    def alive(self) -> bool:
        """Whether all models predict."""
        return all(batcher.alive for batcher in self.batchers.values())

    def stop(self) -> None:
        """End all threads, after what they have to do."""
        self._threads.shutdown()
        for batcher in self.batchers.values():
            batcher.stop()

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Count a request while it is in work.

        Raises:
            RefusedError: 429 there are too many.
        """
        if self._in_work >= self.limits.max_requests:
            seconds = sum(batcher.seconds_per_picture for batcher in self.batchers.values())
            wait = max(1, math.ceil(seconds * self._in_work))
            raise RefusedError(
                429,
                f'{self._in_work} requests are in work; try again in {wait} s',
                {'Retry-After': str(wait)},
            )
        self._in_work += 1
        self.metrics.in_work.set(self._in_work)
        try:
            yield
        finally:
            self._in_work -= 1
            self.metrics.in_work.set(self._in_work)

    async def segment(self, request: Request, options: SegmentOptions) -> bytes:
        """Answer a request whose head has been checked.

        Returns:
            JSON of :class:`mmseg_custom.serving.schema.Segmented`.

        Raises:
            RefusedError: with the status that says why.
        """
        name = self._model_name(options.model)
        body = await read_body(request, self.limits)
        content_type = request.headers.get('content-type', '')
        seconds = self.limits.max_seconds
        try:
            async with asyncio.timeout(seconds):
                answer = self._answer(name, content_type, body, options, time.monotonic() + seconds)
                return await _while_connected(request, answer)
        except TimeoutError as error:
            raise RefusedError(
                504, f'no answer within {seconds:g} s; the picture was dropped, try a smaller one'
            ) from error

    async def _answer(
        self, name: str, content_type: str, body: bytes, options: SegmentOptions, deadline: float
    ) -> bytes:
        batcher = self.batchers[name]

        def decode() -> np.ndarray:
            return decode_picture(picture_of(content_type, body, deadline), self.limits)

        async with batcher.places:
            prediction = await batcher.predict(self._in_thread(decode))
            return await self._in_thread(
                write_answer, prediction, name, options, self.limits.max_regions, deadline
            )

    async def _in_thread(self, function: Callable, *arguments):
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, function, *arguments)

    def _model_name(self, asked: str | None) -> str:
        if asked is None:
            return next(iter(self.batchers))
        if asked not in self.batchers:
            hint = did_you_mean(asked, [*self.batchers]) or f'expected {", ".join(self.batchers)}'
            raise RefusedError(404, f'there is no model {asked!r}; {hint}')
        return asked

    def _observer(self, name: str) -> Callable[[int, float], None]:
        pictures = self.metrics.batches.labels(name)
        spent = self.metrics.batch_seconds.labels(name)

        def observe(num_pictures: int, seconds: float) -> None:
            pictures.observe(num_pictures)
            spent.observe(seconds)

        return observe


async def _while_connected(request: Request, work: Coroutine) -> bytes:
    """Await ``work``, and drop it when the client leaves or this is cancelled."""
    task = asyncio.ensure_future(work)
    # After the whole body the next message is that the client left.
    gone = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise RefusedError(400, 'the client left')
        return task.result()
    finally:
        for one in (task, gone):
            one.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)
