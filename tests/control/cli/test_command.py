"""The command against a daemon: what it prints, where, and its exit status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fakes.control_daemon import FakeDaemon, Run
from fakes.residency import FakeResidency
from support.waiting import GUARD

from mlx_serve.daemon import memory_pressure
from mlx_serve.daemon.protocol import Gauges
from mlx_serve.daemon.residency.backoff import Quarantine
from mlx_serve.store.errors import DamagedModel


@pytest.fixture
def starter(daemon: FakeDaemon) -> FakeDaemon:
    daemon.store.add("mlx-serve/starter", digest="b" * 64, capabilities=("completion", "tools", "thinking"))
    return daemon


def test_list_is_a_table_without_borders(starter: FakeDaemon, run: Run) -> None:
    done = run("list")
    assert done.returncode == 0
    header, row = done.stdout.splitlines()
    assert header.split() == ["NAME", "ID", "SIZE", "TYPE", "MODIFIED"]
    assert row.split()[:5] == ["starter", "b" * 12, "1.5", "MB", "llm"]
    assert header.index("SIZE") == row.index("1.5 MB")
    assert run("ls", "start").stdout.count("\n") == 2
    assert run("ls", "x").stdout.count("\n") == 1


def test_json_is_one_document(starter: FakeDaemon, run: Run) -> None:
    for arguments in (["list", "--json"], ["--json", "list"]):
        assert json.loads(run(*arguments).stdout)["models"][0]["name"] == "starter"
    for command in (["status"], ["ps"], ["show", "starter"], ["config"], ["gc"], ["load", "starter"], ["version"]):
        done = run(*command, "--json")
        assert done.returncode == 0
        assert isinstance(json.loads(done.stdout), dict)
        assert done.stdout.count("\n") == 1


def test_port_and_socket_choose_the_daemon(starter: FakeDaemon, run: Run) -> None:
    assert run("list", "--port", str(starter.port)).returncode == 0
    assert run("--socket", str(starter.path), "list").returncode == 0
    assert run("list", "--port", "1").returncode == 3
    assert run("list", "--socket", "/nowhere/8000.sock").returncode == 3


@pytest.mark.parametrize(
    ("reuse", "bits", "said"),
    [
        ("any", None, "go on from the last common token"),
        ("turns", None, "go on from the end of a prompt or an answer: its caches cannot be cut"),
        ("unknown", None, "are read again: its caches can be neither cut nor copied"),
        ("any", 8, "in 8 bits"),
    ],
)
def test_show_says_from_where_prompts_go_on(starter: FakeDaemon, run: Run, reuse: Any, bits: Any, said: str) -> None:
    """Of a model in memory, how much of them is on disk and whether it is packed; of another one nobody knows."""
    assert "prompts " not in run("show", "starter").stdout
    starter.residency.info = msgspec.structs.replace(starter.residency.info, reuse=reuse, file_bits=bits)
    run("load", "starter")
    shown = run("show", "starter").stdout
    assert "prompts read before" in shown and ("prompts on disk" in shown) == (bits is not None) and said in shown
    (row,) = starter.residency.resident()
    starter.residency._rows[:] = [replace(row, gauges=Gauges(prefix_disk_bytes=7_000_000))]
    on_disk = next(line for line in run("show", "starter").stdout.splitlines() if "prompts on disk" in line)
    assert on_disk.split()[3:] == (["7.0", "MB", "in", "8", "bits"] if bits else ["7.0", "MB"])


def test_load_ps_unload_remove(starter: FakeDaemon, run: Run) -> None:
    assert run("load", "starter").stdout == "loaded starter (2.0 MB, cpu)\n"
    header, row = run("ps").stdout.splitlines()
    assert header.split("    ")[0] == "NAME"
    assert "1 minute ago" in row
    assert "30 minutes from now" in row
    assert "starter" in run("status").stdout
    assert run("unload", "starter").stdout == "unloaded starter\n"
    assert run("cp", "starter", "b").stdout == "copied starter to b\n"
    assert run("rm", "b", "starter").stdout == "removed b\nremoved starter\n"
    assert starter.store.models() == []


def test_status_shows_what_is_not_as_usual(starter: FakeDaemon, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is short of memory, and a Mac whose owner has moved the GPU's limit; else no word of either."""
    assert "short of memory" not in run("status").stdout and "iogpu" not in run("status").stdout
    monkeypatch.setattr(FakeResidency, "pressure", "warning")
    monkeypatch.setattr(memory_pressure, "gpu_limit", lambda: 112 << 30)
    shown = run("status").stdout
    assert "the machine is short of memory (warning): idle models may be unloaded" in shown
    assert "iogpu.wired_limit_mb allows the GPU 120 GB" in shown


def test_ps_shows_quarantine(starter: FakeDaemon, run: Run) -> None:
    """Which model, until when, why, and what to do about it."""
    until = time.time() + 601
    starter.residency.quarantine.append(Quarantine("mlx-serve/starter", "b" * 64, "its process ended", 3, until))
    lines = run("ps").stdout.splitlines()
    assert "IN QUARANTINE" in lines[2]
    assert lines[3].split("    ")[0] == "mlx-serve/starter"
    assert "10 minutes from now" in lines[3] and lines[3].endswith("its process ended")
    assert lines[-1] == "To try one at once: mlx-serve load NAME"
    assert json.loads(run("ps", "--json").stdout)["quarantined"] == [
        {"name": "mlx-serve/starter", "id": "b" * 64, "reason": "its process ended", "deaths": 3, "until": until}
    ]


def test_pull_away_from_a_terminal_prints_plain_lines(daemon: FakeDaemon, run: Run, tmp_path: Path) -> None:
    """Progress goes to stderr, the result to stdout, and a folder's path is made absolute."""
    done = run("pull", str(tmp_path / ".." / tmp_path.name), "--type", "llm")
    assert done.returncode == 0
    assert done.stdout == f"pulled {tmp_path.name} (1.5 MB)\n"
    assert "\x1b" not in done.stderr
    assert done.stderr.splitlines() == ["stored model.safetensors 100 KB"]
    assert (daemon.store.pulls, daemon.store.options[0]["kind"]) == ([str(tmp_path)], "llm")


def test_pull_with_json_is_one_document_a_line(daemon: FakeDaemon, run: Run) -> None:
    lines = [json.loads(line) for line in run("pull", "starter", "--json").stdout.splitlines()]
    assert lines[0]["path"] == "model.safetensors"
    assert lines[-1]["status"] == "success"


def test_pull_that_breaks_is_one_sentence(daemon: FakeDaemon, run: Run) -> None:
    done = run("pull", "breaks")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == "mlx-serve: the folder went away; plug the disk in"


def test_pull_quantized_passes_everything_on(
    daemon: FakeDaemon, run: Run, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    """The user's own token goes along; the full model's name goes when the smaller one is there."""
    environment["HF_TOKEN"] = "hf_mine"
    done = run("pull", "acme/big", "--quantize", "4", "--group-size", "32")
    assert (done.returncode, done.stdout) == (0, "pulled acme/big-4bit (1.5 MB)\n")
    assert done.stderr.splitlines()[-1] == "quantizing"
    assert [options["token"] for options in daemon.store.options] == ["hf_mine"]
    [order] = daemon.quantizing.orders
    assert (order.name, order.bits, order.group_size, order.mode) == ("acme/big", 4, 32, "affine")
    assert [model.name.display() for model in daemon.store.models()] == ["acme/big-4bit"]
    assert "hf_mine" not in done.stderr


def test_pull_in_a_float_format_keeps_the_source_when_told_to(daemon: FakeDaemon, run: Run) -> None:
    assert run("pull", "acme/big", "--mode", "mxfp8", "--keep-source", "--name", "small").returncode == 0
    [order] = daemon.quantizing.orders
    assert (order.bits, order.group_size, order.mode, order.target) == (8, 32, "mxfp8", "small")
    assert [model.name.display() for model in daemon.store.models()] == ["acme/big", "local/small"]


def test_quantize_makes_a_smaller_copy(starter: FakeDaemon, run: Run) -> None:
    assert run("quantize", "starter", "--bits", "8").stdout == "made starter-8bit (1.5 MB)\n"
    assert run("quantize", "starter", "--mode", "nvfp4", "--name", "tiny").stdout == "made tiny (1.5 MB)\n"
    lines = [json.loads(line) for line in run("quantize", "starter", "--json").stdout.splitlines()]
    assert lines[0] == {"status": "quantizing", "overall_completed": 750_000, "overall_total": 1_500_000}
    assert (lines[-1]["status"], lines[-1]["name"]) == ("success", "starter-4bit")
    assert [(each.bits, each.group_size, each.mode) for each in starter.quantizing.orders] == [
        (8, 64, "affine"),
        (4, 16, "nvfp4"),
        (4, 64, "affine"),
    ]


def test_ctrl_c_during_a_pull_says_how_to_go_on(daemon: FakeDaemon, environment: dict[str, str]) -> None:
    line = [sys.executable, "-m", "mlx_serve", "pull", "slow"]
    with subprocess.Popen(
        line, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "stored model.safetensors 100 KB\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(GUARD) == 130
        assert process.stderr.read() == "stopped; the next pull resumes from here\n"
    assert daemon.store.ended.acquire(timeout=GUARD)


def test_pull_of_a_folder_that_is_not_there_needs_no_daemon(run: Run) -> None:
    done = run("pull", "./nowhere")
    assert done.returncode == 1
    assert "there is no folder ./nowhere" in done.stderr


def test_verify_fails_when_a_file_is_damaged(daemon: FakeDaemon, run: Run) -> None:
    daemon.store.add("local/good")
    assert run("verify").returncode == 0
    daemon.store.damaged[daemon.store.add("local/damaged").name.display()] = DamagedModel("a test")
    done = run("verify")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "local/damaged:",
        "  model.safetensors: its bytes have changed",
        "2 files checked, 1 bad",
    ]
    assert done.stderr.splitlines()[-1] == "mlx-serve pull /somewhere/tiny repairs local/damaged"


def test_gc_says_what_went(daemon: FakeDaemon, run: Run) -> None:
    assert run("gc", "--dry-run").stdout == "would free 3.0 MB in 2 files and 1 file of unfinished pulls\n"


def test_run_answers_once(starter: FakeDaemon, run: Run) -> None:
    done = run("run", "starter", "--verbose", "why", "so?", "--system", "be brief")
    assert done.stdout == "You said: why so?\n"
    assert "eval rate:            20.00 tokens/s" in done.stderr
    assert "prompt eval count:    26 token(s)" in done.stderr
    assert starter.chats[0]["model"] == "starter"
    assert [each["role"] for each in starter.chats[0]["messages"]] == ["system", "user"]
    assert "think" not in starter.chats[0]


def test_piped_text_goes_behind_the_prompt(starter: FakeDaemon, run: Run) -> None:
    assert run("run", "starter", "sum up:", typed="a long\ntext\n").stdout == "You said: sum up:\n\na long\ntext\n"
    assert run("run", "starter", typed="only this").stdout == "You said: only this\n"


def test_run_passes_format_and_think_on(starter: FakeDaemon, run: Run, tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text('{"type": "object"}')
    schema = str(tmp_path / "schema.json")
    assert run("run", "starter", "what?", "--format", schema, "--no-think").returncode == 0
    [body] = starter.chats
    assert (body["format"], body["think"]) == ({"type": "object"}, False)
    (tmp_path / "schema.json").write_text("[1]")
    assert "is not a JSON schema" in run("run", "starter", "x", "--format", schema).stderr


def test_thinking_is_hidden_away_from_a_terminal_unless_asked_for(starter: FakeDaemon, run: Run) -> None:
    assert run("run", "starter", "think").stdout == "You said: think\n"
    shown = run("run", "starter", "think", "--think").stdout
    assert shown == "Thinking...\nhmm, well\n...done thinking.\n\nYou said: think\n"


def test_run_with_json_passes_the_documents_through(starter: FakeDaemon, run: Run) -> None:
    lines = [json.loads(line) for line in run("run", "starter", "hi", "--json").stdout.splitlines()]
    assert "".join(line["message"]["content"] for line in lines) == "You said: hi"
    assert lines[-1]["done"] is True


@pytest.mark.parametrize("name", ["starter", "acme/new"])
def test_run_pulls_what_is_missing_and_says_so(daemon: FakeDaemon, run: Run, name: str) -> None:
    done = run("run", name, "hi")
    assert (done.returncode, done.stdout) == (0, "You said: hi\n")
    assert f"{name} is not installed; pulling it" in done.stderr


def test_run_of_an_unknown_model_says_what_to_do(daemon: FakeDaemon, run: Run) -> None:
    done = run("run", "nope", "hi")
    assert done.returncode == 1
    assert done.stderr == "mlx-serve: model 'nope' not found; `mlx-serve list` shows what is installed\n"
    assert daemon.store.pulls == []


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        ("refuse", "mlx-serve: this prompt is refused"),
        ("fail", "mlx-serve: the process of model 'tiny' ended unexpectedly"),
        ("die", "mlx-serve: lost the connection to the daemon"),
    ],
)
def test_failed_answer_is_a_sentence_and_status_1(starter: FakeDaemon, run: Run, prompt: str, sentence: str) -> None:
    done = run("run", "starter", prompt)
    assert done.returncode == 1
    assert done.stderr.startswith(sentence)
    assert "Traceback" not in done.stderr


def test_ctrl_c_ends_with_130_and_stops_the_answer(starter: FakeDaemon, environment: dict[str, str]) -> None:
    line = [sys.executable, "-m", "mlx_serve", "run", "starter", "endless"]
    with subprocess.Popen(
        line, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(13) == "You said: on "
        process.send_signal(signal.SIGINT)
        assert process.wait(GUARD) == 130
    assert starter.engine.cut.wait(GUARD)


def test_reader_that_leaves_early_is_no_error(starter: FakeDaemon, environment: dict[str, str]) -> None:
    """As in `mlx-serve run … | head`: no traceback, and the answer is stopped."""
    line = [sys.executable, "-m", "mlx_serve", "run", "starter", "endless"]
    with subprocess.Popen(
        line, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(13)
        process.stdout.close()
        process.wait(GUARD)
        assert process.stderr.read() == ""
    assert starter.engine.cut.wait(GUARD)


def test_logs_without_a_daemon_are_those_of_the_last_one(run: Run, home: Path) -> None:
    assert run("logs").returncode == 3
    (home / "logs").mkdir()
    (home / "logs" / "8000.log").write_text("one\ntwo \x1b[31mred\nthree\n")
    done = run("logs", "-n", "2")
    assert (done.returncode, done.stdout) == (0, "two [31mred\nthree\n")
    assert "the last one" in done.stderr


def test_config_without_a_daemon_shows_what_would_be(run: Run, home: Path) -> None:
    (home / "config.yaml").write_text("server: {port: 8123}\n")
    done = run("config")
    assert ["server.port", "8123", "config.yaml:1"] in [line.split() for line in done.stdout.splitlines()]
    assert run("config", "--path").stdout == f"{home / 'config.yaml'}\n"
    assert "server:" in run("config", "--example").stdout


def test_port_comes_from_the_settings_file(run: Run, home: Path) -> None:
    (home / "config.yaml").write_text("server: {port: 8123}\n")
    assert "port 8123" in run("status").stderr
    (home / "config.yaml").write_text("server: {prot: 8123}\n")
    done = run("status")
    assert done.returncode == 1
    assert "config.yaml:1" in done.stderr
    assert "server.port" in done.stderr


def test_only_daemon_that_runs_is_the_one_that_is_meant(starter: FakeDaemon, run: Run, home: Path) -> None:
    """Without asking anybody for the settings, even when there is a settings file."""
    (home / "config.yaml").write_text("no: [settings")
    assert run("list").returncode == 0


@pytest.mark.parametrize("command", ["status", "stop", "ps", "list"])
def test_no_daemon_is_status_3(run: Run, command: str) -> None:
    done = run(command)
    assert done.returncode == 3
    assert done.stderr == "mlx-serve: no daemon is running on port 8000; start one with: mlx-serve start\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lst"], "did you mean list?"),
        (["list", "--bogus"], "--bogus"),
        (["list", "--port", "99999"], "between 1 and 65535"),
        (["show"], "NAME"),
        (["pull", "x", "--quantize", "7"], "--quantize"),
        (["pull", "x", "--quantize", "6", "--mode", "mxfp4"], "only 4"),
        (["pull", "x", "--mode", "nvfp4", "--group-size", "64"], "only 16"),
        (["pull", "x", "--keep-source"], "needs --quantize or --mode"),
        (["pull", "x", "--group-size", "64"], "needs --quantize or --mode"),
        (["pull", "x", "--type", "gguf"], "gguf"),
        (["quantize"], "NAME"),
        (["quantize", "x", "--mode", "gguf"], "gguf"),
        (["quantize", "x", "--bits", "8", "--mode", "mxfp4"], "only 4"),
        (["quantize", "x", "--group-size", "16"], "choose 32, 64 or 128"),
        (["start", "--log-level", "loud"], "LOUD"),
    ],
)
def test_wrong_usage_is_status_2_and_one_line(run: Run, arguments: list[str], words: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_help_and_version_need_no_daemon(run: Run) -> None:
    assert run("--help").stdout.startswith("usage: mlx-serve COMMAND")
    assert run("run", "--help").stdout.startswith("usage: mlx-serve run")
    assert run("--version").stdout.startswith("mlx-serve ")
    assert run("version").stdout.splitlines()[1].split() == ["daemon", "not", "running"]
    assert run().returncode == 2


def test_command_imports_little(environment: dict[str, str]) -> None:
    """What costs tens of milliseconds stays out of the way of every quick command."""
    slow = [
        "http.client",
        "typing",
        "dataclasses",
        "subprocess",
        "asyncio",
        "email",
        "sanic",
        "msgspec",
        "yaml",
        "logging",
    ]
    code = (
        "import sys; from mlx_serve.control.cli.main import main; main(['list']); "
        f"print(sorted(set({slow!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_home_of_the_user_is_found(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    from mlx_serve.control.cli import target

    monkeypatch.delenv("MLX_SERVE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert os.fspath(target.home()) == "/home/somebody/.mlx-serve"
