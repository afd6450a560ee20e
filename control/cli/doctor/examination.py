"""Every look of doctor in its order. One that fails is a finding too: nothing keeps the others from being made."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..target import SettingsError, Target, offline_settings
from . import access, memory_limits, mlx_build, model_store, path_programs, running_daemon
from .finding import Finding

_BUG = "please report it, with what mlx-serve doctor --json prints"


def examine(target: Target, version: str) -> list[Finding]:
    """Starts no daemon and changes nothing."""
    settings, refused = _settings()
    server = settings["server"] if settings else {"host": "0.0.0.0", "port": target.port}
    models = Path(settings["models"]["directory"]) if settings else target.home / "models"
    looks: list[tuple[str, Callable[[], list[Finding]]]] = [
        ("mlx", lambda: mlx_build.judge(mlx_build.look())),
        ("memory", lambda: memory_limits.judge(memory_limits.look())),
        ("PATH", lambda: path_programs.judge(path_programs.look(version))),
        ("settings", lambda: access.judge(access.look(target.home, settings, refused))),
        ("store", lambda: model_store.judge(model_store.look(models))),
        (
            "daemon",
            lambda: running_daemon.judge(
                running_daemon.look(target.home, target.socket, str(server["host"]), target.port, version)
            ),
        ),
    ]
    return [finding for subject, look in looks for finding in _tried(subject, look)]


def _tried(subject: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    try:
        return look()
    except Exception as error:
        return [Finding("warning", subject, f"this could not be looked at: {type(error).__name__}: {error}", _BUG)]


def _settings() -> tuple[dict[str, Any] | None, str | None]:
    try:
        return offline_settings(), None
    except SettingsError as error:
        return None, str(error)
