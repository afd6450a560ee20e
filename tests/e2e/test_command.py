"""The `mlx-serve` command against the real daemon: what it prints, how it exits, when it starts one by itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest
from e2e.scripted_model import ENDLESS, HELLO, write_scripted
from support.live_daemon import LiveDaemon, clean_environment, run_command, wait_until
from support.ports import free_port
from support.process_use import dead
from support.waiting import GUARD

Done = subprocess.CompletedProcess[str]


class Home:
    """A home without a daemon, and the command in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.environ = clean_environment() | {
            "MLX_SERVE_HOME": str(folder / "home"),
            "MLX_SERVE_PORT": str(self.port),
            "MLX_SERVE_HOST": "127.0.0.1",
            "TMPDIR": str(folder),
        }

    def __call__(self, *arguments: str, stdin: str | None = None, **environ: str) -> Done:
        return run_command(*arguments, environ=self.environ | environ, stdin=stdin)

    def pid(self) -> int:
        return int(json.loads(self("status", "--json").stdout)["pid"])


@pytest.fixture
def home() -> Iterator[Home]:
    with tempfile.TemporaryDirectory(prefix="mlxs-") as folder:
        made = Home(Path(folder))
        yield made
        made("stop", "--all", "--force")


@pytest.fixture(scope="module")
def busy(models: Path) -> Iterator[LiveDaemon]:
    with LiveDaemon(models) as daemon:
        yield daemon.ready()


def good(done: Done) -> str:
    """What it printed, when it went well and said nothing else."""
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def bad(done: Done, status: int) -> str:
    """What it complained about, in one line."""
    assert done.returncode == status and done.stdout == "", done
    assert done.stderr.startswith("mlx-serve: ") and done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    return done.stderr


def documents(done: Done) -> list[Any]:
    return [json.loads(line) for line in good(done).splitlines()]


# the daemon itself


def test_without_a_daemon_and_without_autostart_the_status_is_three(home: Home) -> None:
    for command in (["list"], ["show", "starter"], ["run", "starter", "hi"], ["pull", "starter"], ["load", "starter"]):
        bad(home(*command, MLX_SERVE_NO_AUTOSTART="1"), 3)
    for command in (["status"], ["stop"], ["ps"], ["logs"]):
        bad(home(*command), 3)
    assert not (home.folder / "home" / "run").exists() or not list((home.folder / "home" / "run").glob("*.sock"))


def test_the_first_command_starts_a_daemon_and_says_so(home: Home) -> None:
    """Every later one finds it; a killed one is replaced; `start` finds it too; `stop` ends it."""
    first = home("list", "--json")
    assert first.returncode == 0 and "starting one" in first.stderr and json.loads(first.stdout) == {"models": []}
    pid = home.pid()
    assert json.loads(good(home("list", "--json"))) == {"models": []} and home.pid() == pid
    assert f"already running at http://127.0.0.1:{home.port}, pid {pid}" in bad(home("start"), 75)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: dead(pid), "it is gone")
    assert "starting one" in home("list").stderr and home.pid() != pid
    pid = home.pid()
    assert good(home("stop")) == f"stopped mlx-serve (pid {pid})\n" and dead(pid)
    bad(home("stop"), 3)
    logged = home("logs", "-n", "1")
    assert logged.returncode == 0 and "stop daemon" in logged.stdout and "log of the last one" in logged.stderr


def test_start_tells_where_it_is_and_status_what_runs(home: Home) -> None:
    started = json.loads(good(home("start", "--log-level", "debug", "--json")))
    assert (started["url"], started["port"]) == (f"http://127.0.0.1:{home.port}", home.port)
    status = good(home("status"))
    assert f"pid {started['pid']}" in status and "0 loaded, 0 installed" in status and "0 running" in status
    settings = json.loads(good(home("config", "--json")))
    assert settings["logging"]["level"] == "DEBUG" and settings["origins"]["logging.level"] == "--log-level"
    assert settings["origins"]["server.port"] == "MLX_SERVE_PORT"
    version = json.loads(good(home("version", "--json")))
    assert version["version"] == version["daemon"] == started["version"]
    good(home("stop", "--force"))


def test_a_start_that_fails_says_why(home: Home) -> None:
    assert "server.max_queue must be" in bad(home("start", MLX_SERVE_SERVER_MAX_QUEUE="many"), 1)
    assert "not an address of this machine" in bad(home("start", "--host", "192.0.2.1"), 1)


def test_in_the_foreground_it_stays_and_ends_with_the_signal(home: Home) -> None:
    command = [sys.executable, "-m", "mlx_serve", "start", "--foreground"]
    with open(home.folder / "output", "wb") as output:
        process = subprocess.Popen(command, env=home.environ, stdout=output, stderr=output)
    try:
        wait_until(lambda: home("status").returncode == 0, "it answers")
        assert home.pid() == process.pid
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(GUARD) == 0


@pytest.mark.parametrize("line", [["frobnicate"], ["list", "--bogus"], ["run"], ["start", "--port", "x"], []])
def test_wrong_usage_is_status_two(home: Home, line: list[str]) -> None:
    done = home(*line)
    assert done.returncode == 2 and done.stdout == "" and "Traceback" not in done.stderr


# models


def test_a_folder_pulled_is_a_model_that_answers(home: Home, tmp_path: Path) -> None:
    """From nothing: pull, list, show, run, copy, remove, verify, gc."""
    folder = write_scripted(tmp_path / "parrot")
    assert home("pull", str(folder)).stdout == "pulled parrot (2.4 MB)\n"
    assert good(home("run", "parrot", "say H")) == f"{HELLO.text}\n"
    assert good(home("run", "parrot", stdin="say H\n")) == f"{HELLO.text}\n"
    assert "parrot" in good(home("list")) and good(home("list", "nothing")).count("\n") == 1
    shown = json.loads(good(home("show", "parrot", "--json")))
    assert shown["model"]["kind"] == "llm" and shown["model"]["context_length"] == 1 << 18
    assert [model["name"] for model in json.loads(good(home("ps", "--json")))["models"]] == ["parrot"]
    good(home("copy", "parrot", "mine"))
    assert good(home("run", "mine", "say H")) == f"{HELLO.text}\n"
    assert good(home("remove", "mine")) == "removed mine\n"
    assert "no model" in bad(home("show", "mine"), 1).lower() or "mine" in home("show", "mine").stderr
    assert good(home("run", "parrot", "say H")) == f"{HELLO.text}\n", "its other name still answers"
    assert home("verify", "--json").returncode == 0
    freed = json.loads(good(home("gc", "--json")))
    assert freed["dry_run"] is False
    assert "removed parrot" in good(home("remove", "parrot"))
    assert json.loads(good(home("ps", "--json")))["models"] == [], "removing puts it out of memory first"
    assert not list((home.folder / "home" / "models" / "blobs").iterdir()), "and frees its files"


def test_load_ps_and_unload(busy: LiveDaemon) -> None:
    assert "loaded scripted (" in good(busy.command("load", "scripted"))
    pid = busy.runner("local/scripted")
    table = good(busy.command("ps"))
    (row,) = busy.control("GET", "/ps")["models"]
    assert all(str(row[column]) in table for column in ("name", "backend", "context_length"))
    assert good(busy.command("unload", "scripted")) == "unloaded scripted\n"
    assert dead(pid), "its memory is free when the command returns"
    assert good(busy.command("unload", "scripted")) == "scripted was not loaded\n"


def test_run_answers_with_options(busy: LiveDaemon) -> None:
    lines = documents(busy.command("run", "scripted", "say H", "--json"))
    assert "".join(line["message"]["content"] for line in lines) == HELLO.text and lines[-1]["done"]
    talkative = busy.command("run", "scripted", "say H", "--verbose", "--system", "Be brief.")
    assert talkative.stdout == f"{HELLO.text}\n" and "tokens" in talkative.stderr
    assert "nobody" in bad(busy.command("run", "nobody", "hi"), 1)
    bad(busy.command("run", "scripted", "say H", "--think"), 1)
    schema = busy.home / "schema.json"
    schema.write_text('{"enum": ["Hello"]}')
    assert good(busy.command("run", "scripted", "say H", "--format", str(schema))) == '"Hello"\n'
    schema.write_text('{"type": "nothing"}')
    assert "format" in bad(busy.command("run", "scripted", "say H", "--format", str(schema)), 1)


def test_bench_measures_what_was_generated(busy: LiveDaemon) -> None:
    """Answers have the wanted length whatever the model wants to say, and a prompt is new but once."""
    lengths = ("--prompt", "60", "--tokens", "5")
    found = json.loads(busy.command("bench", "scripted", "-c", "1,2", *lengths, "--json").stdout)
    assert [(level["streams"], level["tokens"]) for level in found["levels"]] == [(1, 5), (2, 10)]
    assert all(level["prefill"] > 0 for level in found["levels"]), "which of its tokens are text is chance"
    assert found["model"] == "scripted" and found["last"] is None
    assert "beside the last run" in busy.command("bench", "scripted", "-c", "1", *lengths).stdout


@contextmanager
def under_way(daemon: LiveDaemon, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], IO[str], IO[str]]]:
    """`mlx-serve ARGUMENTS`, and what it writes to stdout and stderr."""
    process = daemon.begin(*arguments)
    assert process.stdout is not None and process.stderr is not None
    with process.stdout, process.stderr:
        yield process, process.stdout, process.stderr


def test_an_interrupted_run_is_status_130_and_frees_its_place(busy: LiveDaemon) -> None:
    with under_way(busy, "run", "scripted", "say P") as (process, stdout, stderr):
        assert stdout.read(12) == ENDLESS[0].text[:12]
        process.send_signal(signal.SIGINT)
        stdout.read()
        assert "Traceback" not in stderr.read()
    assert process.wait(GUARD) == 130
    busy.wait_for_rest()


def test_a_run_whose_model_dies_says_so(busy: LiveDaemon) -> None:
    good(busy.command("load", "scripted"))
    with under_way(busy, "run", "scripted", "say P") as (process, stdout, stderr):
        assert stdout.read(12) == ENDLESS[0].text[:12]
        os.kill(busy.runner("local/scripted"), signal.SIGKILL)
        stdout.read()
        assert "ended unexpectedly" in stderr.read()
    assert process.wait(GUARD) == 1
    assert good(busy.command("run", "scripted", "say H")) == f"{HELLO.text}\n"


def test_logs_follow_what_happens(busy: LiveDaemon) -> None:
    with under_way(busy, "logs", "-f", "-n", "1") as (process, stdout, stderr):
        assert stdout.readline()
        busy.get("/v1/models/nobody-has-this")
        assert any("nobody-has-this" in line for line in stdout)
        process.send_signal(signal.SIGINT)
        stdout.read()
        assert "Traceback" not in stderr.read()
    assert process.wait(GUARD) == 130


def test_logs_hold_no_word_that_was_said(busy: LiveDaemon) -> None:
    """Of two seconds' work, what the daemon did, and none of the prompts and answers."""
    secret = "xyzzy-plugh"
    assert good(busy.command("run", "scripted", f"{secret} say H")) == f"{HELLO.text}\n"
    busy.chat("scripted", f"{secret} say H", temperature=9)
    busy.chat(secret, "hi")
    log = good(busy.command("logs", "-n", "1000"))
    assert "answer request" in log and "load model name=local/scripted" in log
    assert secret not in log and HELLO.text not in log
    first = documents(busy.command("logs", "-n", "1", "--json"))
    assert len(first) == 1 and "line" in first[0]


def test_stop_waits_for_the_running_and_force_does_not(models: Path) -> None:
    with LiveDaemon(models) as daemon:
        daemon.ready()
        with daemon.chat_stream("scripted", "say P") as stream:
            assert stream.wait_for_text()
            with under_way(daemon, "stop") as (patient, _, stderr):
                assert "waiting for running requests" in stderr.readline()
                assert stream.wait_for_text() and patient.poll() is None
                assert f"stopped mlx-serve (pid {daemon.pid})" in good(daemon.command("stop", "--force"))
                assert stream.rest().last["error"]["code"] == "shutting_down"
                assert patient.wait(GUARD) == 0
        assert daemon.ended() == 0
