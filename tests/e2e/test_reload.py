"""A daemon that reads its settings again while it runs: what changes at once, what needs a restart, what changes
nothing."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.live_daemon import LiveDaemon
from support.waiting import wait_until

KEY, OTHER = "a-key-of-the-tests", "another-key-of-the-tests"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    home = tmp_path_factory.mktemp("home") / "h"
    home.mkdir()
    with LiveDaemon(None, home=home) as daemon:
        yield daemon.ready()


@pytest.fixture
def daemon(running: LiveDaemon) -> Iterator[LiveDaemon]:
    """Afterwards with the settings that it was started with."""
    yield running
    (running.home / "config.yaml").unlink(missing_ok=True)
    running.control("POST", "/config", {})


def write(daemon: LiveDaemon, text: str) -> Path:
    path = daemon.home / "config.yaml"
    path.write_text(text)
    path.chmod(0o600)
    return path


def status(daemon: LiveDaemon, key: str | None = None) -> int:
    connection = daemon.connect()
    connection.request("GET", "/api/version", headers={} if key is None else {"X-API-Key": key})
    found = connection.getresponse().status
    connection.close()
    return found


def test_sighup_takes_over_what_can_change(daemon: LiveDaemon) -> None:
    """Keys and who needs them, the log's level and form, aliases and limits; the origins say the file's lines."""
    before = len(daemon.log("reload settings"))
    assert status(daemon) == 200
    write(
        daemon,
        f"server:\n  api_keys: [{KEY}]\n  require_keys: always\n  max_body_mb: 1\n"
        "models:\n  aliases: {mine: starter}\nlogging:\n  level: debug\n",
    )
    daemon.signal(signal.SIGHUP)
    (line,) = wait_until(lambda: daemon.log("reload settings")[before:], "it has read them")
    changed = "server.api_keys,server.require_keys,server.max_body_mb,models.aliases,logging.level"
    assert line == f"reload settings changed={changed} restart=none"
    assert (status(daemon), status(daemon, KEY), status(daemon, OTHER)) == (401, 200, 401)
    found = daemon.control("GET", "/config")
    assert found["server"]["api_keys"] == ["***"] and found["origins"]["server.api_keys"] == "config.yaml:2"
    assert found["origins"]["server.port"] == "--port", "what came from elsewhere still does"
    assert (found["models"]["aliases"], found["logging"]["level"]) == ({"mine": "starter"}, "DEBUG")
    assert KEY not in json.dumps(found)


def test_a_bad_file_changes_nothing_and_says_why(daemon: LiveDaemon) -> None:
    """By the command and by the signal, with file, line, key and the nearest valid name."""
    path = write(daemon, "server:\n  require_keys: remote\n  max_quue: 3\n")
    before, settings = len(daemon.log("fail reload")), daemon.control("GET", "/config")
    done = daemon.command("config", "--reload")
    sentence = f"{path}:3: server.max_quue is not a setting; did you mean server.max_queue?"
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"mlx-serve: {sentence}\n"
    daemon.signal(signal.SIGHUP)
    lines = wait_until(lambda: len(found := daemon.log("fail reload")) == before + 2 and found, "it has tried")
    assert lines[-1] == f"fail reload reason={sentence}"
    assert daemon.control("GET", "/config") == settings and status(daemon) == 200


def test_what_needs_a_restart_is_listed_and_stays(daemon: LiveDaemon) -> None:
    write(daemon, "engine:\n  max_batch: 3\nserver:\n  max_queue: 5\nmetrics:\n  enabled: false\n")
    done = daemon.command("config", "--reload")
    assert (done.returncode, done.stdout) == (0, "changed: server.max_queue\n")
    assert "need a restart (mlx-serve stop, mlx-serve start): engine.max_batch, metrics.enabled" in done.stderr
    found = daemon.control("GET", "/config")
    assert (found["engine"]["max_batch"], found["server"]["max_queue"]) == (32, 5)
    assert found["origins"]["engine.max_batch"] == "default"
    assert daemon.control("GET", "/status")["queue"]["limit"] == 5
    again = json.loads(daemon.command("config", "--reload", "--json").stdout)
    assert (again["changed"], again["restart"]) == ([], ["engine.max_batch", "metrics.enabled"])


def test_keys_come_from_a_file_of_their_own(daemon: LiveDaemon) -> None:
    """It is read anew at each reload, even where nothing but its content has changed; nothing prints a key."""
    keys = daemon.home / "keys.txt"
    keys.write_text(f"# who may call\n{KEY}\n")
    keys.chmod(0o600)
    write(daemon, f"server: {{require_keys: always, api_keys_file: {keys}}}\n")
    first = daemon.command("config", "--reload")
    assert first.stdout == "changed: server.api_keys, server.api_keys_file, server.require_keys\n"
    assert (status(daemon), status(daemon, KEY)) == (401, 200)
    keys.write_text(f"{OTHER}\n")
    assert daemon.command("config", "--reload").stdout == "changed: server.api_keys\n"
    assert (status(daemon, KEY), status(daemon, OTHER)) == (401, 200)
    keys.write_text("short\n")
    refused = daemon.command("config", "--reload")
    assert refused.returncode == 1 and "keys.txt, line 1: a key has at least 16" in refused.stderr
    assert "short" not in refused.stderr and status(daemon, OTHER) == 200
    shown = daemon.command("config").stdout
    assert OTHER not in shown and "keys.txt" in shown


def test_without_a_daemon_the_command_says_so(daemon: LiveDaemon, tmp_path: Path) -> None:
    done = daemon.command("config", "--reload", "--socket", str(tmp_path / "8000.sock"))
    assert done.returncode == 3
