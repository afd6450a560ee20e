"""No more cores are used than the system gives."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlx_serve.daemon.engine.cpu import cores


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("200000 100000\n", 2.0),
        ("150000 100000\n", 1.5),
        ("max 100000\n", None),
        ("", None),
        ("0 0\n", None),
        ("much 1\n", None),
    ],
)
def test_what_a_container_may_have(said: str, expected: float | None, tmp_path: Path) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(said)
    missing = tmp_path / "no"
    assert cores.quota(file, (missing, missing)) == expected


@pytest.mark.parametrize(("most", "expected"), [("300000", 3.0), ("-1", None)])
def test_what_an_older_one_may_have(most: str, expected: float | None, tmp_path: Path) -> None:
    """Two files say it there."""
    files = tmp_path / "quota", tmp_path / "period"
    files[0].write_text(most + "\n")
    files[1].write_text("100000\n")
    assert cores.quota(tmp_path / "no", files) == expected


@pytest.mark.parametrize(("share", "expected"), [(None, 8), (2.5, 2), (0.3, 1), (64.0, 8)])
def test_the_least_of_them_holds(share: float | None, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(cores, "quota", lambda: share)
    assert cores.usable() == expected


def test_without_either_it_is_what_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    monkeypatch.setattr(cores, "quota", lambda: None)
    assert cores.usable() == 5
