"""One thread for each model, which takes the pictures of several requests at once."""

import asyncio
import queue
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future

import numpy as np

from mmseg_custom.inference.inferencer import Inferencer
from mmseg_custom.inference.prediction import Prediction
from mmseg_custom.serving.limits import Limits, RefusedError

# Pictures in memory for each that goes through the network: decoded, predicted, and written out.
STAGES = 3
# Weight of the newest batch in the mean time of a picture.
NEWEST = 0.2

Job = tuple[np.ndarray, Future]


class Batcher:
    """Collects pictures that are there at the same time, and predicts them together.

    A batch waits at most ``limits.batch_wait_ms``, and only while other pictures are on their way.
    What was cancelled meanwhile is left out.

    Args:
        inferencer: of the model.
        limits: ``batch_size`` and ``batch_wait_ms``.
        observe: called with the number of pictures and the seconds of each batch.

    Attributes:
        places: to be held while a picture is in memory, in any form.
        seconds_per_picture: a moving mean.
    """

    def __init__(
        self, inferencer: Inferencer, limits: Limits, observe: Callable[[int, float], None]
    ) -> None:
        self.inferencer, self.limits, self.observe = inferencer, limits, observe
        self.seconds_per_picture = 0.0
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self.places = asyncio.Semaphore(STAGES * limits.batch_size)
        self._coming = 0
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether pictures are predicted."""
        return self._thread.is_alive()

    async def predict(self, image: Awaitable[np.ndarray]) -> Prediction:
        """Predict a picture that is RGB uint8 (H, W, 3) once it is there.

        Raises:
            RefusedError: 422 it does not go through the test pipeline.
        """
        future = Future()
        self._coming += 1
        try:
            self._jobs.put((await image, future))
        finally:
            self._coming -= 1
        return await asyncio.wrap_future(future)

    def stop(self) -> None:
        """End the thread after what is in the queue."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            batch, ends = self._collect(job)
            waiting = [job for job in batch if job[1].set_running_or_notify_cancel()]
            by_shape: dict[tuple, list[Job]] = {}
            for job in waiting:
                by_shape.setdefault(job[0].shape, []).append(job)
            for jobs in by_shape.values():
                self._predict(jobs)
            if ends:
                return

    def _collect(self, job: Job) -> tuple[list[Job], bool]:
        """The jobs of the next batch, and whether it is the last one."""
        batch = [job]
        until = time.monotonic() + self.limits.batch_wait_ms / 1000
        while len(batch) < self.limits.batch_size:
            patience = until - time.monotonic() if self._coming else 0
            try:
                job = self._jobs.get(timeout=max(0, patience))
            except queue.Empty:
                break
            if job is None:
                return batch, True
            batch.append(job)
        return batch, False

    def _predict(self, jobs: list[Job]) -> None:
        """Predict pictures of one size, and hand out predictions and reasons."""
        start = time.monotonic()
        futures = {str(number): future for number, (_, future) in enumerate(jobs)}

        def refuse(name: str, reason: str) -> None:
            futures.pop(name).set_exception(RefusedError(422, reason))

        try:
            images = [image for image, _ in jobs]
            for prediction in self.inferencer.stream(images, failed=refuse):
                futures.pop(prediction.name).set_result(prediction)
        # A defect or a full memory: the requests fail, the thread goes on.
        except Exception as error:
            for future in futures.values():
                future.set_exception(error)
        seconds = time.monotonic() - start
        mean = self.seconds_per_picture or seconds / len(jobs)
        self.seconds_per_picture = mean + NEWEST * (seconds / len(jobs) - mean)
        self.observe(len(jobs), seconds)
