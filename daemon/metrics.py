"""Numbers for Prometheus: what handlers count, and what residency shows at the moment of a scrape.

Labels are bounded: endpoints come from the route table, models only from names that exist, and past a limit both
become `other`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import process_memory
from .memory_pressure import LEVELS, Level

if TYPE_CHECKING:
    from .residency.lease import Queue, Resident

_MAX_ENDPOINTS = 64
_MAX_MODELS = 256
_REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_FIRST_TOKEN_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


@dataclass(frozen=True)
class Sample:
    """What the daemon looks like at the moment of a scrape. `started` is a Unix time; `deaths` are by model;
    `tokenizers` are the processes that count tokens for models that are not loaded."""

    version: str
    started: float
    draining: bool
    residents: Sequence[Resident]
    queue: Queue
    deaths: Mapping[str, int]
    quarantined: int
    pressure: Level
    tokenizers: int = 0


class _Bounded:
    """Passes at most so many different label values; the rest are `other`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen: set[str] = set()

    def __call__(self, value: str) -> str:
        if value not in self._seen:
            if len(self._seen) >= self._limit:
                return "other"
            self._seen.add(value)
        return value


class Metrics:
    """Counts and renders nothing when not enabled."""

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = enabled
        self._endpoint = _Bounded(_MAX_ENDPOINTS)
        self._model = _Bounded(_MAX_MODELS)
        if not enabled:
            return
        # Imported here: 40 ms and 2 MB that a daemon without metrics does not spend.
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "mlx_serve_requests_total", "Requests answered.", ["endpoint", "status"], registry=registry
        )
        self._in_flight = Gauge("mlx_serve_requests_in_flight", "Requests now open.", ["endpoint"], registry=registry)
        self._seconds = Histogram(
            "mlx_serve_request_seconds",
            "Time from a request's head to the end of its answer.",
            ["endpoint"],
            buckets=_REQUEST_SECONDS,
            registry=registry,
        )
        self._prompt = Counter("mlx_serve_prompt_tokens_total", "Prompt tokens.", ["model"], registry=registry)
        self._completion = Counter(
            "mlx_serve_completion_tokens_total", "Generated tokens.", ["model"], registry=registry
        )
        self._first_token = Histogram(
            "mlx_serve_time_to_first_token_seconds",
            "Time from a request's admission to its first token.",
            ["model"],
            buckets=_FIRST_TOKEN_SECONDS,
            registry=registry,
        )
        self._cancelled = Counter(
            "mlx_serve_cancelled_total", "Generations that the client cancelled.", ["model"], registry=registry
        )

    def request_started(self, endpoint: str) -> None:
        if self.enabled:
            self._in_flight.labels(self._endpoint(endpoint)).inc()

    def request_finished(self, endpoint: str, status: int, seconds: float) -> None:
        if self.enabled:
            endpoint = self._endpoint(endpoint)
            self._in_flight.labels(endpoint).dec()
            self._requests.labels(endpoint, str(status) if 100 <= status <= 599 else "other").inc()
            self._seconds.labels(endpoint).observe(seconds)

    def generated(self, model: str, prompt_tokens: int, completion_tokens: int) -> None:
        if self.enabled:
            model = self._model(model)
            self._prompt.labels(model).inc(max(0, prompt_tokens))
            self._completion.labels(model).inc(max(0, completion_tokens))

    def first_token(self, model: str, seconds: float) -> None:
        if self.enabled:
            self._first_token.labels(self._model(model)).observe(seconds)

    def cancelled(self, model: str) -> None:
        if self.enabled:
            self._cancelled.labels(self._model(model)).inc()

    def render(self, sample: Sample) -> bytes:
        """The text exposition format. Empty when not enabled."""
        if not self.enabled:
            return b""
        from prometheus_client import generate_latest

        return generate_latest(self._registry) + generate_latest(_SampleCollector(sample))


class _SampleCollector:
    """A sample, and the process itself, as a Prometheus collector."""

    def __init__(self, sample: Sample) -> None:
        self._sample = sample

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        sample, residents, queue = self._sample, self._sample.residents, self._sample.queue
        gauges = (
            ("mlx_serve_up_seconds", "Seconds since the daemon started.", time.time() - sample.started),
            ("mlx_serve_draining", "1 while the daemon stops.", float(sample.draining)),
            ("mlx_serve_models_loaded", "Models in memory.", len(residents)),
            ("mlx_serve_models_quarantined", "Models that are not loaded for a while.", sample.quarantined),
            (
                "mlx_serve_memory_pressure",
                "How short of memory the machine is: 0 normal, 1 warning, 2 critical.",
                LEVELS.index(sample.pressure),
            ),
            ("mlx_serve_tokenizer_processes", "Processes that hold a tokenizer and no weights.", sample.tokenizers),
            ("mlx_serve_queue_running", "Requests that hold a model.", queue.running),
            ("mlx_serve_queue_waiting", "Requests that wait for a place.", queue.waiting),
            ("mlx_serve_queue_limit", "Requests that may wait.", queue.limit),
            (
                "mlx_serve_resident_memory_bytes",
                "Memory of the daemon itself.",
                process_memory.system().whole(os.getpid()),
            ),
        )
        for name, text, value in gauges:
            yield GaugeMetricFamily(name, text, value=value)
        build = GaugeMetricFamily("mlx_serve_build_info", "The version that runs.", labels=["version"])
        build.add_metric([sample.version], 1)
        yield build
        deaths = CounterMetricFamily("mlx_serve_model_deaths", "Processes of a model that died.", labels=["model"])
        for model, count in sample.deaths.items():
            deaths.add_metric([model], count)
        yield deaths
        per_model = (
            ("mlx_serve_model_memory_bytes", "Memory that a loaded model's process holds.", "memory_bytes"),
            ("mlx_serve_model_memory_share_bytes", "Memory that a loaded model may hold.", "share_bytes"),
            ("mlx_serve_model_requests_running", "Requests that a model works on.", "running"),
            ("mlx_serve_model_requests_waiting", "Requests that wait within a model.", "waiting"),
            ("mlx_serve_model_last_used_seconds", "When a model was last used, in Unix time.", "last_used"),
        )
        for name, text, attribute in per_model:
            family = GaugeMetricFamily(name, text, labels=["model"])
            for resident in residents:
                family.add_metric([resident.name], getattr(resident, attribute))
            yield family
