"""What a scrape of /metrics shows of the moment: models, queue, memory, and the daemon's own process.

Names and units are Prometheus' own (https://prometheus.io/docs/practices/naming/), those of the process as its client
libraries have them. Nothing here is counted; see `metrics`.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import process_memory
from .memory_pressure import LEVELS, Level

if TYPE_CHECKING:
    from .residency.lease import Resident
    from .residency.request_queue import Queue

_DESCRIPTORS = Path("/dev/fd")


@dataclass(frozen=True)
class Sample:
    """What the daemon looks like at the moment of a scrape. `started` is a Unix time; `deaths` and `restarts` of model
    processes are by model, `quarantined` are models; `tokenizers` are the processes that count tokens for models that
    are not loaded; `pulled` bytes were downloaded. `installed`: the models that there are, None where that is not
    known; what is told of others is forgotten."""

    version: str
    started: float
    draining: bool
    residents: Sequence[Resident]
    queue: Queue
    deaths: Mapping[str, int]
    quarantined: Collection[str]
    pressure: Level
    tokenizers: int = 0
    restarts: Mapping[str, int] = field(default_factory=dict)
    pulled: int = 0
    installed: Collection[str] | None = None

    @property
    def held_back(self) -> list[str]:
        """The models in quarantine that are still there."""
        return [model for model in self.quarantined if self.known(model)]

    def known(self, model: str) -> bool:
        """Whether this model is installed, or still in memory."""
        return self.installed is None or model in self.installed or any(model == one.name for one in self.residents)


class SampleCollector:
    """A sample as a Prometheus collector."""

    def __init__(self, sample: Sample) -> None:
        self._sample = sample

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        sample = self._sample
        for name, text, value in self._daemon():
            yield GaugeMetricFamily(name, text, value=value)
        yield CounterMetricFamily("mlx_serve_pull_bytes", "Bytes that pulls have downloaded.", value=sample.pulled)
        build = GaugeMetricFamily("mlx_serve_build_info", "The version that runs.", labels=["version"])
        build.add_metric([sample.version], 1)
        yield build
        for name, text, counts in (
            ("mlx_serve_model_deaths", "Processes of a model that died.", sample.deaths),
            ("mlx_serve_runner_restarts", "Loads of a model whose process had died.", sample.restarts),
        ):
            counter = CounterMetricFamily(name, text, labels=["model"])
            for model, count in counts.items():
                if sample.known(model):
                    counter.add_metric([model], count)
            yield counter
        held = GaugeMetricFamily("mlx_serve_model_quarantined", "1 for a model in quarantine.", labels=["model"])
        for model in sample.held_back:
            held.add_metric([model], 1)
        yield held
        yield from self._models()
        yield from _process(sample.started)

    def _daemon(self) -> tuple[tuple[str, str, float], ...]:
        sample, queue = self._sample, self._sample.queue
        memory, me = process_memory.system(), os.getpid()
        return (
            ("mlx_serve_up_seconds", "Seconds since the daemon started.", time.time() - sample.started),
            ("mlx_serve_draining", "1 while the daemon stops.", float(sample.draining)),
            ("mlx_serve_models_loaded", "Models in memory.", len(sample.residents)),
            ("mlx_serve_models_quarantined", "Models that are not loaded for a while.", len(sample.held_back)),
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
                "mlx_serve_children_resident_memory_bytes",
                "Memory of all processes that the daemon started, of models and others.",
                sum(memory.whole(child) for child in memory.children(me)),
            ),
        )

    def _models(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        residents = self._sample.residents
        gauges = (
            ("mlx_serve_model_memory_bytes", "Memory that a loaded model's process holds.", "memory_bytes"),
            ("mlx_serve_model_memory_share_bytes", "Memory that a loaded model may hold.", "share_bytes"),
            ("mlx_serve_model_requests_running", "Requests that a model works on.", "running"),
            ("mlx_serve_model_requests_waiting", "Requests that wait within a model.", "waiting"),
            ("mlx_serve_model_last_used_seconds", "When a model was last used, in Unix time.", "last_used"),
        )
        for name, text, attribute in gauges:
            family = GaugeMetricFamily(name, text, labels=["model"])
            for resident in residents:
                family.add_metric([resident.name], getattr(resident, attribute))
            yield family
        # What its process says of itself; the counters begin anew with each process.
        engine: tuple[tuple[type[Any], str, str, str], ...] = (
            (GaugeMetricFamily, "batch_size", "Sequences or inputs in a model's step under way.", "running"),
            (CounterMetricFamily, "steps", "Steps of a model's process.", "steps"),
            (GaugeMetricFamily, "prefix_memory_bytes", "Memory for what was read before.", "prefix_bytes"),
            (CounterMetricFamily, "prefix_hits", "Requests of whose prompts a part was known.", "prefix_hits"),
            (CounterMetricFamily, "prefix_tokens", "Prompt tokens that were not read again.", "prefix_tokens"),
            (CounterMetricFamily, "prefix_evictions", "Blocks that were dropped for others.", "prefix_evictions"),
            (GaugeMetricFamily, "prefix_disk_bytes", "Files of what was read before.", "prefix_disk_bytes"),
            (CounterMetricFamily, "prefix_disk_tokens", "Tokens that came from files.", "prefix_disk_tokens"),
        )
        for kind, name, text, attribute in engine:
            family = kind(f"mlx_serve_model_{name}", text, labels=["model"])
            for resident in residents:
                family.add_metric([resident.name], getattr(resident.gauges, attribute))
            yield family


def _process(started: float) -> Iterator[Any]:
    """The daemon's own, as the client libraries name it; their collector knows Linux only."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    usage = resource.getrusage(resource.RUSAGE_SELF)
    yield CounterMetricFamily(
        "process_cpu_seconds",
        "Total user and system CPU time spent in seconds.",
        value=usage.ru_utime + usage.ru_stime,
    )
    gauges = (
        ("process_resident_memory_bytes", "Resident memory size in bytes.", process_memory.system().whole(os.getpid())),
        ("process_start_time_seconds", "Start time of the process since unix epoch in seconds.", started),
        ("process_open_fds", "Number of open file descriptors.", sum(1 for _ in _DESCRIPTORS.iterdir())),
        ("process_max_fds", "Maximum number of open file descriptors.", resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
    )
    for name, text, value in gauges:
        yield GaugeMetricFamily(name, text, value=value)
