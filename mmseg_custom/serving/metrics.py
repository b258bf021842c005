"""What ``GET /metrics`` shows, in Prometheus' format."""

import time

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Counters of one application, process memory and CPU time included.

    Attributes:
        requests: to ``/v1/segment``, by ``status``.
        seconds: of a request, from its head to the end of its answer.
        in_work: requests that are admitted and not answered.
        batches: pictures of a batch, by ``model``.
        batch_seconds: of a batch, by ``model``.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        kept = dict(registry=self.registry)
        self.requests = Counter('mmseg_requests', 'Requests by status', ['status'], **kept)
        self.seconds = Histogram(
            'mmseg_request_seconds', 'From head to answer', buckets=SECONDS, **kept
        )
        self.in_work = Gauge('mmseg_requests_in_work', 'Admitted and not answered', **kept)
        self.batches = Histogram(
            'mmseg_batch_pictures',
            'Pictures of a batch',
            ['model'],
            buckets=(1, 2, 4, 8, 16, 32),
            **kept,
        )
        self.batch_seconds = Histogram(
            'mmseg_batch_seconds', 'Seconds of a batch', ['model'], buckets=SECONDS, **kept
        )
        ProcessCollector(**kept)

    def text(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)


class Counting:
    """ASGI middleware that counts the requests of one path.

    Args:
        app: the ASGI application.
        metrics: get status and seconds.
        path: whose requests count.
    """

    def __init__(self, app, metrics: Metrics, path: str) -> None:
        self.app, self.metrics, self.path = app, metrics, path

    async def __call__(self, scope, receive, send) -> None:
        """Pass a request on."""
        if scope['type'] != 'http' or scope['path'] != self.path:
            await self.app(scope, receive, send)
            return
        start = time.monotonic()

        async def counting_send(message) -> None:
            if message['type'] == 'http.response.start':
                self.metrics.requests.labels(message['status']).inc()
            await send(message)

        try:
            await self.app(scope, receive, counting_send)
        finally:
            self.metrics.seconds.observe(time.monotonic() - start)
