"""`mlx-serve launch`, with programs on PATH that write down how they were run."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fakes.control_daemon import FakeDaemon, Run
from support.terminal import Terminal
from support.waiting import GUARD

from mlx_serve.control.cli.agents.config_file import UnreadableConfig, changed, with_entry, write
from mlx_serve.control.cli.agents.known_agents import AGENTS
from mlx_serve.control.cli.agents.model_choice import obvious
from mlx_serve.control.cli.agents.setup import Served, hidden

Seen = Callable[[], dict[str, Any]]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in front of PATH, and a home that is nobody's."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("MLX_SERVE_NO_AUTOSTART", "1")
    (tmp_path / "user").mkdir()
    return folder


@pytest.fixture
def seen(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Each client's program: it writes its arguments and its environment, and ends with status 7."""
    record = tmp_path / "record.json"
    monkeypatch.setenv("RECORD", str(record))
    code = (
        f"#!{sys.executable}\nimport json, os, sys\n"
        "json.dump([sys.argv, dict(os.environ)], open(os.environ['RECORD'], 'w'))\nsys.exit(7)\n"
    )
    for agent in AGENTS:
        program = path / agent.program
        program.write_text(code)
        program.chmod(0o755)

    def read() -> dict[str, Any]:
        arguments, environ = json.loads(record.read_text())
        return {"arguments": arguments[1:], "environ": environ}

    return read


@pytest.fixture
def models(seen: Seen, daemon: FakeDaemon) -> FakeDaemon:
    daemon.store.add("mlx-serve/starter", digest="b" * 64, capabilities=("completion", "tools"))
    daemon.store.add("local/good", digest="a" * 64, capabilities=("completion", "tools", "thinking"))
    return daemon


@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.name)
def test_a_client_is_run_with_what_reaches_the_daemon(agent: Any, models: FakeDaemon, seen: Seen, run: Run) -> None:
    """It takes the place of the command: its status is the command's, and the user's arguments come last and as they
    are. Address, model and context are the daemon's own."""
    done = run("launch", agent.name, "--yes", "--", "--port", "two words")
    assert done.returncode == 7, done
    found = seen()
    assert found["arguments"][-2:] == ["--port", "two words"]
    files = [Path(word).read_text() for word in found["arguments"] if word.startswith(os.environ["MLX_SERVE_HOME"])]
    own = Path(os.environ["HOME"], ".pi/agent/models.json")
    written = "".join([*files, own.read_text() if agent.name == "pi" else ""])
    told = " ".join([*found["arguments"], *found["environ"].values(), written])
    assert f"http://127.0.0.1:{models.port}" in told
    assert "good" in told and "starter" not in told
    if agent.name in ("claude", "codex", "opencode", "pi", "continue", "aider"):
        assert "4096" in told
    assert f"running {agent.program} with good at http://127.0.0.1:{models.port}" in done.stderr


def test_a_missing_program_is_said_with_how_to_install_it(path: Path, environment: dict[str, str], run: Run) -> None:
    """Before a daemon is asked for anything."""
    environment["PATH"] = str(path)
    done = run("launch", "codex")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "mlx-serve: codex is not on your PATH; install it: npm install -g @openai/codex\n"


def test_an_unknown_client_is_wrong_usage(run: Run) -> None:
    done = run("launch", "clod")
    assert done.returncode == 2 and "launch knows claude, codex, opencode" in done.stderr


def test_without_a_client_all_are_listed(seen: Seen, path: Path, run: Run) -> None:
    (path / "codex").unlink()
    rows = [line.split("    ") for line in run("launch").stdout.splitlines()]
    assert [row[0].strip() for row in rows[1:]] == [agent.name for agent in AGENTS]
    clients = {row["client"]: row["program"] for row in json.loads(run("launch", "--json").stdout)["clients"]}
    assert clients["claude"] == str(path / "claude") and clients["codex"] != str(path / "codex")


def test_print_shows_and_does_nothing(models: FakeDaemon, tmp_path: Path, run: Run) -> None:
    """What it prints is a script for the shell, which runs the same program in the same way."""
    done = run("launch", "claude", "--print", "--", "-p", "it's")
    assert done.returncode == 0 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert f"export ANTHROPIC_BASE_URL=http://127.0.0.1:{models.port}" in lines and "unset ANTHROPIC_API_KEY" in lines
    assert shlex.split(lines[-1]) == ["claude", "--permission-mode", "default", "-p", "it's"]
    assert "+++ " in run("launch", "pi", "--print").stdout
    found = json.loads(run("launch", "pi", "--print", "--json").stdout)
    assert found["model"] == "good" and found["files"][0]["path"].endswith(".pi/agent/models.json")
    assert not (tmp_path / "record.json").exists() and not list((tmp_path / "user").iterdir())


def test_variables_that_lead_elsewhere_are_taken_away(
    models: FakeDaemon, seen: Seen, environment: Any, run: Run
) -> None:
    environment["ANTHROPIC_API_KEY"] = environment["CLAUDE_CODE_USE_BEDROCK"] = "1"
    run("launch", "claude")
    assert not {"ANTHROPIC_API_KEY", "CLAUDE_CODE_USE_BEDROCK"} & set(seen()["environ"])


def test_a_mode_that_the_user_chose_stays(models: FakeDaemon, seen: Seen, run: Run) -> None:
    """As an argument, or in Claude Code's own settings."""
    run("launch", "claude", "--", "--permission-mode=plan")
    assert seen()["arguments"] == ["--permission-mode=plan"]
    run("launch", "claude")
    assert seen()["arguments"] == ["--permission-mode", "default"]
    settings = Path(os.environ["HOME"], ".claude/settings.json")
    settings.parent.mkdir()
    settings.write_text('{"permissions": {"defaultMode": "acceptEdits"}}')
    run("launch", "claude")
    assert seen()["arguments"] == []


def test_nothing_is_written_without_a_yes(models: FakeDaemon, tmp_path: Path, run: Run) -> None:
    done = run("launch", "pi")
    assert done.returncode == 1 and "is not written without your word" in done.stderr and "--yes" in done.stderr
    assert not list((tmp_path / "user").iterdir()) and not (tmp_path / "record.json").exists()


def test_the_terminal_is_asked(models: FakeDaemon, seen: Seen, tmp_path: Path, environment: dict[str, str]) -> None:
    """No writes nothing and runs nothing; after a yes the file is there, and is not asked for again."""
    file = tmp_path / "user/.pi/agent/models.json"
    for answer, status in (("n", 1), ("y", 7), ("", 7)):
        with closing(Terminal(environment, "launch", "pi")) as terminal:
            if answer:
                assert "+" in terminal.expect("[y/N] ")
                terminal.type(answer + "\n")
            assert terminal.process.wait(GUARD) == status
        assert file.exists() == (answer != "n")
    assert json.loads(file.read_text())["providers"]["mlx-serve"]["models"][0]["id"] == "good"


def test_which_model(models: FakeDaemon, seen: Seen, run: Run) -> None:
    """The one that is named; several, and none loaded: the names, and what to do."""
    run("launch", "llm", "--model", "starter")
    assert seen()["environ"]["LLM_MODEL"] == "starter"
    assert run("launch", "llm", "--model", "nobody").returncode == 1
    models.store.add("local/other", digest="c" * 64, capabilities=("completion",))
    done = run("launch", "llm")
    assert done.returncode == 1 and "good, other" in done.stderr and "--model NAME" in done.stderr


def test_the_terminal_is_asked_for_the_model(models: FakeDaemon, seen: Seen, environment: dict[str, str]) -> None:
    models.store.add("local/other", digest="c" * 64, capabilities=("completion",))
    with closing(Terminal(environment, "launch", "llm")) as terminal:
        assert "other (1.5 MB, calls no tools)" in terminal.expect("Which model? [1] ")
        terminal.type("3\n")
        assert terminal.process.wait(GUARD) == 7
    assert seen()["environ"]["LLM_MODEL"] == "other"


def row(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "kind": "llm", "modified": "2026-01-01", "capabilities": ["completion", "tools"], **more}


def test_the_model_that_is_meant() -> None:
    """The last used of those that are loaded; a starter only where nothing else is."""
    a, b, starter, embedding = row("a"), row("b"), row("starter"), row("e", kind="embedding")
    loaded = [{"name": "a", "last_used": 1.0}, {"name": "b", "last_used": 2.0}, {"name": "e", "last_used": 3.0}]
    assert obvious([a, b, embedding], loaded) == b
    assert obvious([a, b], []) is None
    assert obvious([a, starter, embedding], [{"name": "starter", "last_used": 9.0}]) == a
    assert obvious([starter, embedding], []) == starter
    assert obvious([embedding], []) is None


def test_a_short_context_and_a_model_without_tools_are_warned_of(models: FakeDaemon, run: Run) -> None:
    models.store.add("local/small", digest="c" * 64, capabilities=("completion",), context_length=4096)
    said = run("launch", "claude", "--model", "small").stderr
    assert "small calls no tools" in said and "context of 4096 tokens here, and claude begins with about 20000" in said


def test_a_file_keeps_all_else_its_mode_and_its_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    real.write_text('{"providers": {"other": {"x": 1}}, "more": ["é"]}')
    real.chmod(0o640)
    link.symlink_to(real)
    file = with_entry(link, ("providers", "ours"), {"y": 2})
    assert changed((file,)) == [file]
    write(file)
    assert link.is_symlink() and real.stat().st_mode & 0o777 == 0o640
    assert json.loads(real.read_text()) == {"providers": {"other": {"x": 1}, "ours": {"y": 2}}, "more": ["é"]}
    before = real.read_text()
    assert changed((with_entry(link, ("providers", "ours"), {"y": 2}),)) == [] and real.read_text() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link.json", "real.json"]


@pytest.mark.parametrize("text", ["{", "[]", '{"providers": 3}', "// words\n{}"])
def test_a_file_that_cannot_be_added_to_is_left_alone(text: str, tmp_path: Path) -> None:
    path = tmp_path / "models.json"
    path.write_text(text)
    with pytest.raises(UnreadableConfig, match=r"models\.json"):
        with_entry(path, ("providers", "ours"), {})
    assert path.read_text() == text


def test_the_key_is_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it stands in what a client gets."""
    monkeypatch.setenv("HOME", str(tmp_path))
    key = "the-key-of-this-daemon"
    served = Served("http://127.0.0.1:1", key, "m", 4096, ("completion",), tmp_path)
    for agent in AGENTS:
        setup = agent.setup(served, [])
        parts = [*setup.environ.values(), *setup.arguments, *(file.content for file in setup.files)]
        assert any(key in part for part in parts)
        assert not any(key in word for word in setup.arguments), "arguments are seen by every user of the machine"
        assert not any(key in hidden(part, key) for part in parts)
