"""What Prometheus gets: names, types and units by its conventions, and alerts and a dashboard that fit them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from mlx_serve.daemon.metrics import Metrics
from mlx_serve.daemon.protocol import Gauges
from mlx_serve.daemon.residency.request_queue import Queue
from mlx_serve.daemon.scrape import Sample

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"
STARTED = time.time()


def everything() -> bytes:
    """A scrape in which every family has a series."""
    metrics = Metrics()
    metrics.request_started("chat")
    metrics.request_finished("chat", "a/b", 200, 1)
    metrics.generated("a/b", 1, 5, 1)
    metrics.first_token("a/b", 1)
    metrics.began("a/b", 1)
    metrics.cancelled("a/b")
    facts = {"memory_bytes": 1000, "share_bytes": 5000, "running": 1, "waiting": 2, "last_used": 9.0}
    resident: Any = SimpleNamespace(name="a/b", gauges=Gauges(), **facts)
    sample = Sample(
        version="0.1.0",
        started=STARTED,
        draining=False,
        residents=[resident],
        queue=Queue(running=2, waiting=3, limit=256),
        deaths={"a/b": 4},
        quarantined=["a/b"],
        pressure="warning",
        restarts={"a/b": 2},
    )
    return metrics.render(sample)


def test_names_types_and_units_are_as_prometheus_has_them() -> None:
    """Counters end in `_total`, a unit is a base unit and ends the name, families have help texts, labels are few."""
    families = list(text_string_to_metric_families(everything().decode()))
    assert len({family.name for family in families}) == len(families) > 30
    for family in families:
        assert family.name.startswith(("mlx_serve_", "process_")) and family.documentation.endswith(".")
        assert family.type in ("counter", "gauge", "histogram")
        words = family.name.split("_")
        assert not {"ms", "milliseconds", "minutes", "mb", "kb", "megabytes", "percent"} & set(words), family.name
        if {"seconds", "bytes"} & set(words):
            assert words[-1] in ("seconds", "bytes"), family.name
        for one in family.samples:
            assert one.name.endswith("_total") == (family.type == "counter")
            assert set(one.labels) <= {"endpoint", "model", "status", "le", "version"}


def test_the_process_is_described_as_the_client_libraries_do(tmp_path: Path) -> None:
    """Under the names that every dashboard knows, on every system."""

    def process() -> dict[str, float]:
        families = text_string_to_metric_families(everything().decode())
        return {one.name: one.value for each in families for one in each.samples if one.name.startswith("process_")}

    found = process()
    assert found["process_resident_memory_bytes"] > 1_000_000
    assert found["process_cpu_seconds_total"] > 0
    assert found["process_start_time_seconds"] == pytest.approx(STARTED, abs=0.01)
    with open(tmp_path / "one more", "w"):
        assert process()["process_open_fds"] == found["process_open_fds"] + 1
    assert found["process_max_fds"] > found["process_open_fds"]


@pytest.mark.parametrize("name", ["grafana/mlx-serve.json", "prometheus/alerts.yaml"])
def test_the_dashboard_and_the_alerts_name_what_is_exported(name: str) -> None:
    """Every metric in their expressions, with labels that it has; and the dashboard shows every histogram."""
    there: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(everything().decode()):
        for one in family.samples:
            there.setdefault(one.name, set()).update(one.labels)
    expressions = list(expressions_of(PACKAGING / name))
    assert len(expressions) > 5
    for expression in expressions:
        found = re.findall(r"\b((?:mlx_serve|process)_\w+)(?:\{([^}]*)\})?", expression)
        assert found or "up{" in expression, expression
        known = {"job", "instance"}
        for metric, labels in found:
            assert metric in there, f"{metric} is not exported"
            assert set(re.findall(r"(\w+)\s*(?:=|!=|=~|!~)\"", labels)) <= there[metric] | {"job", "instance"}, (
                expression
            )
            known |= there[metric]
        for grouped in re.findall(r"\b(?:by|without)\s*\(([^)]*)\)", expression):
            assert {label.strip() for label in grouped.split(",")} <= known, expression
    if name.startswith("grafana"):
        text = " ".join(expressions)
        assert all(metric in text for metric in there if metric.endswith("_bucket"))


def test_every_metric_is_documented() -> None:
    """In docs/operating.md by its name and with its type, and nothing there is gone."""
    text = (PACKAGING.parent / "docs" / "operating.md").read_text()
    rows = re.findall(r"^\| (`(?:mlx_serve|process)_[^|]*)\| (\w+) \|", text, re.MULTILINE)
    documented = {name: kind for names, kind in rows for name in re.findall(r"`(\w+)`", names)}
    exported = {}
    for family in text_string_to_metric_families(everything().decode()):
        exported[f"{family.name}_total" if family.type == "counter" else family.name] = family.type
    assert documented == exported


def expressions_of(path: Path) -> Iterator[str]:
    """Every PromQL expression of a rules file or a dashboard."""
    stack: list[Any] = [yaml.safe_load(path.read_text()) if path.suffix == ".yaml" else json.loads(path.read_text())]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            if isinstance(node.get("expr"), str):
                yield node["expr"]
            stack += node.values()
        elif isinstance(node, list):
            stack += node


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is not installed")
def test_promtool_accepts_the_scrape_and_the_alerts() -> None:
    """Prometheus' own check of names and units, of each rule, and of which alerts a history of samples fires."""

    def promtool(*arguments: str, given: bytes = b"") -> bytes:
        done = subprocess.run(
            ["promtool", *arguments], input=given, cwd=PACKAGING / "prometheus", capture_output=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert promtool("check", "metrics", given=everything()) == b""
    assert b"8 rules found" in promtool("check", "rules", "alerts.yaml")
    assert b"SUCCESS" in promtool("test", "rules", "alerts-test.yaml")
