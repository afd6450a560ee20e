"""`mlx-serve service` from installing to removing: what it does, prints, and refuses, with either service manager."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from support.installed_services import Services
from support.waiting import wait_until

from mlx_serve.control.cli.commands import service as command
from mlx_serve.control.service import account


def test_the_whole_life_of_a_service(services: Services) -> None:
    """Each step twice: the second time nothing is left to do, and that is no failure."""
    code, out, err = services.run("install")
    pid = services.pid()
    name = services.file.stem if services.kind == "launchd" else services.file.name
    assert (code, out) == (
        0,
        f"{name} installed: {services.file}\nmlx-serve is ready at http://127.0.0.1:8000 (pid {pid})\n",
    )
    assert "it runs while" in err, "that a login is needed is said where it is decided"
    written = services.file.read_bytes()
    code, out, _ = services.run("install")
    assert code == 0 and f"{name} is installed already" in out
    assert (services.pid(), services.file.read_bytes()) == (pid, written), "the daemon runs on"

    code, out, _ = services.run("status")
    assert code == 0
    assert out.splitlines()[0] == f"{name} runs at http://127.0.0.1:8000 (pid {pid})"
    assert f"{services.file}, as this version writes it" in out and "at login    starts" in out
    code, out, _ = services.run("disable")
    assert (code, out) == (0, f"{name} no longer starts at login; a running one goes on\n")
    assert services.pid() == pid
    found = json.loads(services.run("status", "--json")[1])
    assert (found["service"], found["manager"], found["boot"]) == (name, services.kind, False)
    assert (found["enabled"], found["active"], found["pid"], found["file_state"]) == (False, True, pid, "current")

    for answer in (f"stopped {name}\n", f"does not run: {name}\n"):
        assert services.run("stop")[:2] == (0, answer)
        assert services.pid() is None
    assert services.run("status")[:2][0] == 3
    for _ in range(2):
        code, out, _ = services.run("start")
        assert (code, out) == (0, f"mlx-serve is ready at http://127.0.0.1:8000 (pid {services.pid()})\n")
    assert json.loads(services.run("status", "--json")[1])["enabled"] is False, "a start by hand enables nothing"
    assert services.run("enable")[:2] == (0, f"{name} starts at login\n")
    assert json.loads(services.run("status", "--json")[1])["enabled"] is True

    assert services.run("uninstall")[:2] == (0, f"removed {services.file}\n")
    assert services.pid() is None and not services.file.exists()
    for action, answer in (("uninstall", 0), ("status", 3)):
        assert services.run(action)[:2] == (answer, f"{name} is not installed\n")


@pytest.mark.parametrize("action", ["start", "stop", "enable", "disable"])
def test_what_needs_a_service_says_how_to_get_one(services: Services, action: str) -> None:
    code, out, err = services.run(action)
    assert (code, out) == (1, "")
    assert err.endswith("is not installed; install it with: mlx-serve service install\n")


def test_an_upgrade_rewrites_our_own_file_and_starts_the_daemon_anew(services: Services) -> None:
    """A file of other settings, and then a daemon of another version."""
    services.run("install")
    before, pid = services.file.read_bytes(), services.pid()
    other = services.run("install", "--port", "8009")
    assert other[0] == 0 and services.pid(8009) not in (None, pid), "another port is another service beside it"
    second = services.folder / services.file.name.replace("mlx-serve.", "mlx-serve-8009.").replace("-8009.mlx", ".mlx")
    services.file.write_bytes(second.read_bytes())  # as some other version of ours might have written it
    assert "of another version or other settings" in services.run("status")[1]
    assert services.run("install")[0] == 0
    assert services.file.read_bytes() == before and services.pid() not in (None, pid)

    pid = services.pid()
    (services.home / "version").write_text("0.0.1")
    assert services.run("install")[0] == 0
    assert services.pid() not in (None, pid)


def test_a_file_that_the_user_changed_is_left_alone_and_the_difference_shown(services: Services) -> None:
    services.run("install")
    changed = services.file.read_bytes().replace(b"10240", b"20480")
    services.file.write_bytes(changed)
    for action, what in (("install", "replace"), ("uninstall", "remove")):
        code, out, err = services.run(action)
        assert (code, out) == (1, "")
        lines = err.splitlines()
        assert lines[:2] == [f"--- {services.file}", "+++ what mlx-serve would write"]
        assert [line[0] for line in lines[2:] if "20480" in line or "10240" in line] == ["-", "+"]
        assert lines[-1] == (
            f"mlx-serve: {services.file} was changed since mlx-serve wrote it; "
            f"keep it as it is, or {what} it with: mlx-serve service {action} --force"
        )
        assert services.file.read_bytes() == changed and services.pid() is not None
    assert "changed since mlx-serve wrote it" in services.run("status")[1]
    assert services.run("install", "--force")[0] == 0
    assert b"20480" not in services.file.read_bytes()


def test_a_file_of_somebody_else_is_left_alone(services: Services) -> None:
    services.folder.mkdir(parents=True)
    services.file.write_text("something of mine")
    code, _, err = services.run("install")
    assert code == 1 and "was not written by mlx-serve; keep it" in err and "-something of mine\n" in err
    assert services.file.read_text() == "something of mine"


def test_a_daemon_that_ends_at_once_says_why(services: Services) -> None:
    (services.home / "broken").touch()
    (services.home / "logs").mkdir(exist_ok=True)
    code, out, err = services.run("install")
    assert (code, out) == (1, "")
    reason = "config.yaml:1: there is no setting 'prot'" if services.kind == "launchd" else "its settings are at fault"
    assert err.splitlines()[-1].startswith(f"mlx-serve: the service does not run: {reason}; see: ")
    assert "it ended with status 78" in services.run("status")[1]
    (services.home / "broken").unlink()
    assert services.run("start")[0] == 0


def test_a_port_that_another_daemon_has_is_told(services: Services) -> None:
    services.run("install")
    services.run("stop")
    assert services.run("install", "--port", "8000")[0] == 0  # another service with the same port
    code, _, err = services.run("start")
    assert code == 1 and "the service does not run: " in err
    assert err.endswith("have the service serve that port with: mlx-serve stop, then mlx-serve service start\n")


def test_only_a_crash_starts_it_again(services: Services) -> None:
    """launchd: a signal of a crash, and no exit status. (systemd's part is checked with the real one.)"""
    if services.kind == "systemd":
        assert b"Restart=on-failure\n" in (services.run("install"), services.file.read_bytes())[1]
        return
    services.run("install")
    pid = services.pid()
    assert pid is not None
    os.kill(pid, signal.SIGSEGV)
    again = wait_until(lambda: (found := services.pid()) != pid and found, "another process serves")
    os.kill(int(again), signal.SIGTERM)
    wait_until(lambda: services.run("status")[0] == 3, "it stays ended")


def test_a_manager_that_refuses_is_one_sentence(services: Services) -> None:
    (services.memory / "refuses").write_text(
        "Domain does not support specified action"
        if services.kind == "launchd"
        else "Failed to start mlx-serve.service: Access denied"
    )
    code, out, err = services.run("install")
    assert (code, out, err.count("\n")) == (1, "", 1)
    expected = "launchd has no session for this user" if services.kind == "launchd" else "systemd refuses (Failed to"
    assert err.startswith(f"mlx-serve: {expected}")
    assert not services.file.exists()


def test_variables_of_the_shell_do_not_go_along_and_that_is_said(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By name, for they may be keys. The home does: without it another daemon would start."""
    monkeypatch.setenv("MLX_SERVE_SERVER_API_KEYS", "a-very-secret-key-of-mine")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    _, out, err = services.run("install")
    assert "HF_TOKEN, MLX_SERVE_SERVER_API_KEYS" in err
    content = services.file.read_text()
    assert str(services.home) in content and "secret" not in content + out + err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["status", "--socket", "/x"], "service does not take --socket"),
        (["install", "--user", "me"], "--user is for --boot"),
        (["stop", "--force"], "--force is for: mlx-serve service install and uninstall"),
        (["status", "--print"], "--print is for: mlx-serve service install"),
        (["begin"], "invalid choice: 'begin'"),
    ],
)
def test_wrong_usage_is_told(services: Services, arguments: list[str], message: str) -> None:
    code, _, err = services.run(*arguments)
    assert code == 2 and message in err


def test_print_shows_the_file_and_changes_nothing(services: Services) -> None:
    code, out, _ = services.run("install", "--print")
    assert code == 0 and not services.file.exists() and services.pid() is None
    services.run("install")
    assert out == services.file.read_text()
    assert json.loads(services.run("install", "--print", "--json")[1]) == {"file": str(services.file), "content": out}


def test_for_the_whole_system_root_is_needed_and_an_account(
    services: Services, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Who called sudo is the account; root alone has to name one; a user is told the line to type."""
    me = account.current().name
    monkeypatch.setattr(os, "geteuid", lambda: 501)
    code, _, err = services.run("install", "--boot")
    assert code == 1 and err.startswith("mlx-serve: a service of the whole system is installed by root; run: sudo ")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(
        command, "manager_of", lambda description, made=command.manager_of: _elsewhere(made(description), tmp_path)
    )
    code, _, err = services.run("install", "--boot", "--print")
    assert code == 2 and "name the account that the daemon runs as with --user NAME" in err
    monkeypatch.setenv("SUDO_USER", me)
    account_line = {"launchd": f"<string>{me}</string>", "systemd": f"User={me}\n"}[services.kind]
    assert account_line in services.run("install", "--boot", "--print")[1]
    code, _, err = services.run("install")
    assert code == 2 and err.startswith(f"mlx-serve: with sudo this would be a service of root's; run it as {me}")
    code, _, err = services.run("install", "--boot", "--user", "nobody-of-that-name", "--print")
    assert code == 1 and "there is no account 'nobody-of-that-name' on this machine" in err


def _elsewhere(manager: command.Manager, folder: Path) -> command.Manager:
    """With its file in a folder of the test's."""
    manager.file.path = folder / manager.file.path.name
    return manager
