"""Metrics: what a scrape shows, and that no client can make it grow."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mlx_serve.daemon.metrics import Metrics, Sample
from mlx_serve.daemon.residency.lease import Queue


def sample(*residents: Any) -> Sample:
    return Sample(
        version="0.1.0",
        started=time.time() - 5,
        draining=False,
        residents=residents,
        queue=Queue(running=2, waiting=3, limit=256),
        deaths={"a/b": 4},
        quarantined=1,
        pressure="warning",
    )


def scrape(metrics: Metrics, *residents: Any) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Sample name and labels to value, read back by Prometheus' own parser."""
    text = metrics.render(sample(*residents)).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_requests_are_counted_by_endpoint_and_status() -> None:
    metrics = Metrics()
    metrics.request_started("chat")
    metrics.request_started("chat")
    metrics.request_finished("chat", 200, 0.3)
    samples = scrape(metrics)
    chat = ("endpoint", "chat")
    assert samples["mlx_serve_requests_total", (chat, ("status", "200"))] == 1
    assert samples["mlx_serve_requests_in_flight", (chat,)] == 1
    assert samples["mlx_serve_request_seconds_count", (chat,)] == 1
    assert samples["mlx_serve_request_seconds_bucket", (chat, ("le", "0.25"))] == 0
    assert samples["mlx_serve_request_seconds_bucket", (chat, ("le", "0.5"))] == 1


def test_tokens_first_tokens_and_cancellations_are_counted_by_model() -> None:
    metrics = Metrics()
    metrics.generated("a/b", 7, 5)
    metrics.first_token("a/b", 0.02)
    metrics.cancelled("a/b")
    samples = scrape(metrics)
    model = (("model", "a/b"),)
    assert samples["mlx_serve_prompt_tokens_total", model] == 7
    assert samples["mlx_serve_completion_tokens_total", model] == 5
    assert samples["mlx_serve_time_to_first_token_seconds_count", model] == 1
    assert samples["mlx_serve_cancelled_total", model] == 1


def test_residency_is_read_at_the_scrape() -> None:
    metrics = Metrics()
    assert scrape(metrics)["mlx_serve_models_loaded", ()] == 0
    resident = SimpleNamespace(name="a/b", memory_bytes=1000, share_bytes=5000, running=1, waiting=2, last_used=9.0)
    samples = scrape(metrics, resident)
    assert samples["mlx_serve_models_loaded", ()] == 1
    assert samples["mlx_serve_model_memory_bytes", (("model", "a/b"),)] == 1000
    assert samples["mlx_serve_model_memory_share_bytes", (("model", "a/b"),)] == 5000
    assert samples["mlx_serve_queue_waiting", ()] == 3
    assert samples["mlx_serve_model_deaths_total", (("model", "a/b"),)] == 4
    assert samples["mlx_serve_models_quarantined", ()] == 1
    assert samples["mlx_serve_resident_memory_bytes", ()] > 1_000_000
    assert samples["mlx_serve_build_info", (("version", "0.1.0"),)] == 1


def test_labels_do_not_grow_without_bound() -> None:
    metrics = Metrics()
    for number in range(2000):
        metrics.generated(f"model-{number}", 1, 1)
        metrics.request_started(f"endpoint-{number}")
        metrics.request_finished(f"endpoint-{number}", 10_000 + number, 1)
    samples = scrape(metrics)
    assert samples["mlx_serve_prompt_tokens_total", (("model", "other"),)] == 2000 - 256
    assert samples["mlx_serve_requests_total", (("endpoint", "other"), ("status", "other"))] == 2000 - 64


def test_when_disabled_nothing_is_counted_or_rendered() -> None:
    metrics = Metrics(False)
    metrics.request_started("chat")
    metrics.request_finished("chat", 200, 1)
    metrics.generated("a", 1, 1)
    metrics.first_token("a", 1)
    metrics.cancelled("a")
    assert metrics.render(sample()) == b""


def test_two_instances_do_not_share_a_registry() -> None:
    Metrics().generated("a", 1, 1)
    with pytest.raises(KeyError):
        scrape(Metrics())["mlx_serve_prompt_tokens_total", (("model", "a"),)]
