"""Numbers for Prometheus that are counted as things happen; `scrape` adds what is looked up at the moment of a scrape.

Labels are bounded: endpoints come from the route table, models only from names that are installed, and past a limit
both become `other`. The series of a model that is deleted go with the next scrape.
"""

from __future__ import annotations

from typing import Any

from .scrape import Sample, SampleCollector

_MAX_ENDPOINTS = 64
_MAX_MODELS = 256
_REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_FIRST_TOKEN_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 1, 2.5)


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

    def forget(self, value: str) -> None:
        self._seen.discard(value)


class Metrics:
    """Counts and renders nothing when not enabled. `model` is always the name of an installed one, or empty where no
    model has to do with it."""

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = enabled
        self._endpoint = _Bounded(_MAX_ENDPOINTS)
        self._model = _Bounded(_MAX_MODELS)
        self._series: dict[str, set[tuple[Any, tuple[str, ...]]]] = {}
        if not enabled:
            return
        # Imported here: 40 ms and 2 MB that a daemon without metrics does not spend.
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter
        self._registry = registry = CollectorRegistry()

        def histogram(name: str, text: str, labels: list[str], buckets: tuple[float, ...]) -> Histogram:
            return Histogram(name, text, labels, buckets=buckets, registry=registry)

        self._requests = Counter(
            "mlx_serve_requests_total", "Requests answered.", ["endpoint", "model", "status"], registry=registry
        )
        self._in_flight = Gauge("mlx_serve_requests_in_flight", "Requests now open.", ["endpoint"], registry=registry)
        self._seconds = histogram(
            "mlx_serve_request_duration_seconds",
            "Time from a request's head to the end of its answer.",
            ["endpoint", "model"],
            _REQUEST_SECONDS,
        )
        self._queue = histogram(
            "mlx_serve_request_queue_seconds",
            "Time from when a request's model was in memory until its prompt was begun.",
            ["model"],
            _FIRST_TOKEN_SECONDS,
        )
        self._first_token = histogram(
            "mlx_serve_time_to_first_token_seconds",
            "Time from a request's head to its first token.",
            ["model"],
            _FIRST_TOKEN_SECONDS,
        )
        self._per_token = histogram(
            "mlx_serve_time_per_output_token_seconds",
            "Mean time between the tokens of an answer, after the first one.",
            ["model"],
            _TOKEN_SECONDS,
        )
        self._prompt = Counter("mlx_serve_prompt_tokens_total", "Prompt tokens.", ["model"], registry=registry)
        self._completion = Counter(
            "mlx_serve_completion_tokens_total", "Generated tokens.", ["model"], registry=registry
        )
        self._cancelled = Counter(
            "mlx_serve_cancelled_total",
            "Requests at work that their client or the operator cancelled.",
            ["model"],
            registry=registry,
        )

    def request_started(self, endpoint: str) -> None:
        if self.enabled:
            self._in_flight.labels(self._endpoint(endpoint)).inc()

    def request_finished(self, endpoint: str, model: str, status: int, seconds: float) -> None:
        if self.enabled:
            endpoint = self._endpoint(endpoint)
            code = str(status) if 100 <= status <= 599 else "other"
            self._in_flight.labels(endpoint).dec()
            self._of(self._requests, model, endpoint, None, code).inc()
            self._of(self._seconds, model, endpoint, None).observe(seconds)

    def request_refused(self, endpoint: str | None, status: int) -> None:
        """One that no endpoint has taken; None: there is none at its path."""
        if self.enabled:
            code = str(status) if 100 <= status <= 599 else "other"
            self._of(self._requests, "", self._endpoint(endpoint) if endpoint else "other", None, code).inc()

    def generated(self, model: str, prompt_tokens: int, completion_tokens: int, decode_seconds: float = 0.0) -> None:
        """One choice has ended; `decode_seconds` after its first token."""
        if self.enabled:
            self._of(self._prompt, model).inc(max(0, prompt_tokens))
            self._of(self._completion, model).inc(max(0, completion_tokens))
            if completion_tokens > 1 and decode_seconds > 0:
                self._of(self._per_token, model).observe(decode_seconds / (completion_tokens - 1))

    def began(self, model: str, queue_seconds: float) -> None:
        """A request has left its model's queue after so long."""
        if self.enabled:
            self._of(self._queue, model).observe(queue_seconds)

    def first_token(self, model: str, seconds: float) -> None:
        if self.enabled:
            self._of(self._first_token, model).observe(seconds)

    def cancelled(self, model: str) -> None:
        if self.enabled:
            self._of(self._cancelled, model).inc()

    def forget_deleted(self, sample: Sample) -> None:
        """Drop the series of models that are neither installed nor in memory."""
        for model in [model for model in self._series if model not in ("", "other") and not sample.known(model)]:
            for family, values in self._series.pop(model):
                family.remove(*values)
            self._model.forget(model)

    def render(self, sample: Sample) -> bytes:
        """The text exposition format. Empty when not enabled. May be called in a thread."""
        if not self.enabled:
            return b""
        from prometheus_client import generate_latest

        return generate_latest(self._registry) + generate_latest(SampleCollector(sample))

    def _of(self, family: Any, model: str, *labels: str | None) -> Any:
        """One series of a family with a model among its labels, which is where None stands, or alone."""
        name = self._model(model) if model else ""
        values = tuple(name if label is None else label for label in labels) or (name,)
        self._series.setdefault(name, set()).add((family, values))
        return family.labels(*values)
