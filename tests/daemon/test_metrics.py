"""Metrics: what a scrape shows, and that no client can make it grow."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mlx_serve.daemon.metrics import Metrics
from mlx_serve.daemon.protocol import Gauges
from mlx_serve.daemon.residency.request_queue import Queue
from mlx_serve.daemon.scrape import Sample


def sample(*residents: Any, installed: Any = None) -> Sample:
    return Sample(
        version="0.1.0",
        started=time.time() - 5,
        draining=False,
        residents=residents,
        queue=Queue(running=2, waiting=3, limit=256),
        deaths={"a/b": 4},
        quarantined=["a/b"],
        pressure="warning",
        restarts={"a/b": 2},
        pulled=70,
        installed=installed,
    )


def scrape(metrics: Metrics, *residents: Any) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Sample name and labels to value, read back by Prometheus' own parser."""
    text = metrics.render(sample(*residents)).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_requests_are_counted_by_endpoint_model_and_status() -> None:
    metrics = Metrics()
    metrics.request_started("chat")
    metrics.request_started("chat")
    metrics.request_finished("chat", "a/b", 200, 0.3)
    samples = scrape(metrics)
    chat, model = ("endpoint", "chat"), ("model", "a/b")
    assert samples["mlx_serve_requests_total", (chat, model, ("status", "200"))] == 1
    assert samples["mlx_serve_requests_in_flight", (chat,)] == 1
    assert samples["mlx_serve_request_duration_seconds_count", (chat, model)] == 1
    assert samples["mlx_serve_request_duration_seconds_bucket", (chat, ("le", "0.25"), model)] == 0
    assert samples["mlx_serve_request_duration_seconds_bucket", (chat, ("le", "0.5"), model)] == 1


def test_tokens_times_and_cancellations_are_counted_by_model() -> None:
    """The time per token leaves out the first one; an answer of one token has none."""
    metrics = Metrics()
    metrics.generated("a/b", 7, 5, 0.4)
    metrics.generated("a/b", 0, 1, 0.4)
    metrics.began("a/b", 0.03)
    metrics.first_token("a/b", 0.02)
    metrics.cancelled("a/b")
    samples = scrape(metrics)
    model = (("model", "a/b"),)
    assert samples["mlx_serve_prompt_tokens_total", model] == 7
    assert samples["mlx_serve_completion_tokens_total", model] == 6
    assert samples["mlx_serve_time_per_output_token_seconds_count", model] == 1
    assert samples["mlx_serve_time_per_output_token_seconds_sum", model] == pytest.approx(0.1)
    assert samples["mlx_serve_request_queue_seconds_sum", model] == 0.03
    assert samples["mlx_serve_time_to_first_token_seconds_count", model] == 1
    assert samples["mlx_serve_cancelled_total", model] == 1


def test_residency_is_read_at_the_scrape() -> None:
    metrics = Metrics()
    assert scrape(metrics)["mlx_serve_models_loaded", ()] == 0
    facts = {"memory_bytes": 1000, "share_bytes": 5000, "running": 1, "waiting": 2, "last_used": 9.0}
    gauges = Gauges(running=3, steps=9, prefix_hits=4, prefix_tokens=512, prefix_disk_bytes=77, prefix_disk_tokens=256)
    resident = SimpleNamespace(name="a/b", gauges=gauges, **facts)
    samples = scrape(metrics, resident)
    assert samples["mlx_serve_models_loaded", ()] == 1
    assert samples["mlx_serve_model_memory_bytes", (("model", "a/b"),)] == 1000
    assert samples["mlx_serve_model_memory_share_bytes", (("model", "a/b"),)] == 5000
    assert samples["mlx_serve_queue_waiting", ()] == 3
    assert samples["mlx_serve_model_deaths_total", (("model", "a/b"),)] == 4
    assert samples["mlx_serve_models_quarantined", ()] == 1
    assert samples["mlx_serve_model_quarantined", (("model", "a/b"),)] == 1
    assert samples["mlx_serve_runner_restarts_total", (("model", "a/b"),)] == 2
    assert samples["mlx_serve_model_batch_size", (("model", "a/b"),)] == 3
    assert samples["mlx_serve_model_steps_total", (("model", "a/b"),)] == 9
    assert samples["mlx_serve_model_prefix_hits_total", (("model", "a/b"),)] == 4
    assert samples["mlx_serve_model_prefix_tokens_total", (("model", "a/b"),)] == 512
    assert samples["mlx_serve_model_prefix_disk_bytes", (("model", "a/b"),)] == 77
    assert samples["mlx_serve_model_prefix_disk_tokens_total", (("model", "a/b"),)] == 256
    assert samples["mlx_serve_pull_bytes_total", ()] == 70
    assert samples["mlx_serve_build_info", (("version", "0.1.0"),)] == 1


def test_labels_do_not_grow_without_bound() -> None:
    metrics = Metrics()
    for number in range(2000):
        metrics.generated(f"model-{number}", 1, 1)
        metrics.request_started(f"endpoint-{number}")
        metrics.request_finished(f"endpoint-{number}", f"model-{number}", 10_000 + number, 1)
    samples = scrape(metrics)
    assert samples["mlx_serve_prompt_tokens_total", (("model", "other"),)] == 2000 - 256
    rest = (("endpoint", "other"), ("model", "other"), ("status", "other"))
    assert samples["mlx_serve_requests_total", rest] == 2000 - 256


def test_the_series_of_a_deleted_model_go() -> None:
    """With the next scrape, and its place among the labels with them; what has to do with no model stays."""
    metrics = Metrics()
    for model in ("a/gone", "a/here", ""):
        metrics.request_started("chat")
        metrics.request_finished("chat", model, 200, 1)
    for model in ("a/gone", "a/here"):
        metrics.generated(model, 1, 5, 1)
        metrics.first_token(model, 1)
        metrics.began(model, 1)
        metrics.cancelled(model)
    gone, here = sample(installed={"a/here"}), sample(installed={"a/here", "a/gone"})
    metrics.forget_deleted(here)
    assert b'model="a/gone"' in metrics.render(here)
    metrics.forget_deleted(gone)
    text = metrics.render(gone)
    assert b"a/gone" not in text and text.count(b'mlx_serve_completion_tokens_total{model="a/here"}') == 1
    assert b"a/b" not in text, "which has died, was loaded again and is in quarantine"
    assert b"\nmlx_serve_models_quarantined 0.0\n" in text
    assert b'mlx_serve_requests_total{endpoint="chat",model="",status="200"} 1.0' in text
    metrics.generated("a/gone", 2, 2)
    assert b'mlx_serve_completion_tokens_total{model="a/gone"} 2.0' in metrics.render(here)


def test_when_disabled_nothing_is_counted_or_rendered() -> None:
    metrics = Metrics(False)
    metrics.request_started("chat")
    metrics.request_finished("chat", "a", 200, 1)
    metrics.generated("a", 1, 1)
    metrics.began("a", 1)
    metrics.first_token("a", 1)
    metrics.cancelled("a")
    assert metrics.render(sample()) == b""


def test_two_instances_do_not_share_a_registry() -> None:
    Metrics().generated("a", 1, 1)
    with pytest.raises(KeyError):
        scrape(Metrics())["mlx_serve_prompt_tokens_total", (("model", "a"),)]
