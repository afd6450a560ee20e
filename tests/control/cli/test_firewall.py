"""What the first start on a Mac makes the firewall ask is explained, and `config` says who can reach the daemon."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from fakes.control_daemon import Run

from mlx_serve.control.cli import firewall, launch
from mlx_serve.control.cli import main as cli
from mlx_serve.control.cli.commands import daemon as commands

ON = "Firewall is enabled. (State = 1)"
BLOCKS = "Firewall is blocking all non-essential incoming connections. (State = 2)"
OFF = "Firewall is disabled. (State = 0)"


@pytest.fixture
def mac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A Mac whose firewall's command says this; None: it has no such command."""

    def begin(state: str | None) -> None:
        monkeypatch.setattr(sys, "platform", "darwin")
        program = tmp_path / "socketfilterfw"
        if state is not None:
            program.write_text(f'#!/bin/sh\ntest "$*" = --getglobalstate || exit 2\necho "{state}"\n')
            program.chmod(0o755)
        monkeypatch.setattr(firewall, "PROGRAM", str(program))

    return begin


@pytest.mark.parametrize(
    ("state", "host", "asked"),
    [
        (ON, "0.0.0.0", True),
        (BLOCKS, "::", True),
        (ON, "192.168.1.5", True),
        (None, "0.0.0.0", True),
        ("something new", "0.0.0.0", True),
        (OFF, "0.0.0.0", False),
        (ON, "127.0.0.1", False),
        (ON, "::1", False),
        (ON, "localhost", False),
    ],
)
def test_the_question_is_explained_where_it_may_come(mac: Any, state: str | None, host: str, asked: bool) -> None:
    mac(state)
    said = firewall.explanation({"host": host})
    assert (said is not None) == asked
    if said is not None:
        assert f"listens on {host}" in said and "mlx-serve start --host 127.0.0.1" in said and "\n" not in said


def test_elsewhere_nothing_is_said() -> None:
    assert firewall.explanation({"host": "0.0.0.0"}) is None or sys.platform == "darwin"


@pytest.mark.parametrize("words", [["start"], ["list"]])
def test_every_command_that_starts_a_daemon_says_it(
    words: list[str],
    mac: Any,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On stderr, one line; the output is as always."""
    monkeypatch.delenv("MLX_SERVE_NO_AUTOSTART")
    monkeypatch.setattr(launch, "start", lambda *_: {"host": "0.0.0.0", "url": "http://127.0.0.1:1", "pid": 7})
    monkeypatch.setattr(commands, "_check_address", lambda found: None)
    monkeypatch.setattr(commands, "_check_machine", lambda: None)
    mac(ON)
    cli.main(words)
    shown = capsys.readouterr()
    assert (
        sum("macOS' firewall may ask whether Python may accept connections" in line for line in shown.err.splitlines())
        == 1
    )
    assert "firewall" not in shown.out


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "other machines reach 0.0.0.0 and are refused, with the reason, until an API key is set"),
        ({"MLX_SERVE_HOST": "127.0.0.1"}, ""),
        ({"MLX_SERVE_HOST": "localhost"}, ""),
        (
            {"MLX_SERVE_SERVER_API_KEYS": "a-long-key-of-mine"},
            "reach 0.0.0.0 and need one of the API keys",
        ),
        ({"MLX_SERVE_SERVER_PROTECTED": "false"}, "use the models without a key, because server.protected is false"),
    ],
)
def test_config_says_who_can_reach_the_daemon(
    settings: dict[str, str], words: str, environment: dict[str, str], run: Run
) -> None:
    environment.update(settings)
    shown = run("config")
    assert shown.returncode == 0
    assert (words in shown.stderr) if words else shown.stderr == ""
    assert run("config", "--json").stderr == ""
