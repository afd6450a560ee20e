"""Which settings a running daemon takes over, key by key; and keys in a file of their own."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from mlx_serve.daemon.settings.effective_settings import load_settings
from mlx_serve.daemon.settings.renewal import LIVE, renew, restart_keys
from mlx_serve.daemon.settings.schema import SECTIONS, settings_of
from mlx_serve.daemon.settings.value import ConfigError

KEY = "a-key-of-sixteen-or-more"


def test_every_setting_is_live_or_needs_a_restart() -> None:
    """No key is both or misspelt."""
    every = {f"{section}.{name}" for section, cls in SECTIONS.items() for name, _ in settings_of(cls)}
    assert every >= LIVE and set(restart_keys()) == every - LIVE
    assert {"server.host", "server.port", "models.directory", "engine.max_batch"} <= set(restart_keys())


def test_a_value_that_comes_back_is_no_change(tmp_path: Path) -> None:
    """A restart is asked for while the file differs from what the daemon was started with, and not any more when the
    file has that again; a port that was chosen by the system is no difference."""
    environ = {"MLX_SERVE_HOME": str(tmp_path)}
    started = load_settings({"server.port": 0}, environ)
    current = replace(started, server=replace(started.server, port=4711))
    (tmp_path / "config.yaml").write_text("engine: {max_batch: 3}\nserver: {max_queue: 9}\n")
    first = renew(current, started, load_settings({"server.port": 0}, environ))
    assert (first.changed, first.restart) == (("server.max_queue",), ("engine.max_batch",))
    assert (first.settings.server.port, first.settings.engine.max_batch) == (4711, 32)
    (tmp_path / "config.yaml").unlink()
    second = renew(first.settings, started, load_settings({"server.port": 0}, environ))
    assert (second.changed, second.restart) == (("server.max_queue",), ())
    assert second.settings.server.max_queue == 256 and second.settings.origins["server.max_queue"] == "default"


def test_keys_of_the_file_come_after_the_others(tmp_path: Path) -> None:
    """Comments and empty lines do not count; the origin names both."""
    path = tmp_path / "keys"
    path.write_text(f"# laptop\n{KEY}\n\n  {KEY}-2  \n{KEY}\n")
    path.chmod(0o600)
    environ = {"MLX_SERVE_HOME": str(tmp_path), "MLX_SERVE_SERVER_API_KEYS_FILE": str(path)}
    settings = load_settings({}, environ)
    assert settings.server.api_keys == (KEY, f"{KEY}-2") and settings.origins["server.api_keys"] == "keys"
    both = load_settings({}, environ | {"MLX_SERVE_SERVER_API_KEYS": "the-key-of-the-environment"})
    assert both.server.api_keys == ("the-key-of-the-environment", KEY, f"{KEY}-2")
    assert both.origins["server.api_keys"] == "MLX_SERVE_SERVER_API_KEYS, keys"


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        ("tooshort\n", 0o600, "line 1: a key has at least 16 printable characters"),
        (f"{KEY}\n{KEY} {KEY}\n", 0o600, "line 2: a key has at least 16 printable characters without spaces"),
        ("# nothing\n", 0o600, "has no key in it"),
        (f"{KEY}\n", 0o666, "chmod 600"),
        ("x" * ((1 << 20) + 1), 0o600, "larger than 1 MiB"),
        (None, 0, "cannot be read: No such file or directory"),
    ],
)
def test_a_key_file_that_is_no_good_is_refused(tmp_path: Path, content: str | None, mode: int, words: str) -> None:
    """The sentence says where the setting came from and repeats no key."""
    path = tmp_path / "keys"
    if content is not None:
        path.write_text(content)
        path.chmod(mode)
    environ = {"MLX_SERVE_HOME": str(tmp_path), "MLX_SERVE_SERVER_API_KEYS_FILE": str(path)}
    with pytest.raises(ConfigError) as refused:
        load_settings({}, environ)
    assert str(refused.value).startswith(f"MLX_SERVE_SERVER_API_KEYS_FILE: server.api_keys_file {path}")
    assert words in str(refused.value) and "tooshort" not in str(refused.value) and KEY not in str(refused.value)


def test_a_fifo_or_a_folder_is_no_key_file(tmp_path: Path) -> None:
    """And does not hold up the start."""
    os.mkfifo(tmp_path / "fifo")
    for name in ("fifo", "."):
        environ = {"MLX_SERVE_HOME": str(tmp_path), "MLX_SERVE_SERVER_API_KEYS_FILE": str(tmp_path / name)}
        with pytest.raises(ConfigError, match="is not a file"):
            load_settings({}, environ)
