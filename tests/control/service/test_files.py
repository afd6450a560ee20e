"""The files that launchd and systemd read, checked by their own parsers."""

from __future__ import annotations

import os
import plistlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlx_serve.control.service import launchd_plist, program, systemd_unit
from mlx_serve.control.service.description import Description
from mlx_serve.control.service.launchd_plist import plist
from mlx_serve.control.service.service_error import ServiceError
from mlx_serve.control.service.systemd import Systemd
from mlx_serve.control.service.systemd_unit import unit
from mlx_serve.control.service.unit_file import is_ours

COMMAND = (sys.executable, "-P", "-m", "mlx_serve", "start", "--foreground")
ODD = '/srv/a "b" \\ $c %h 50% é;#'
"""A folder with everything that has a meaning in a unit."""


def described(**more: object) -> Description:
    values: dict[str, object] = {"command": COMMAND, "home": Path("/home/x/.mlx-serve")}
    return Description(**(values | more))  # type: ignore[arg-type]


USER = described()
BOOT = described(user="root", port=8001, environment=(("MLX_SERVE_HOME", ODD), ("B", "2")))


@pytest.mark.parametrize("service", [USER, BOOT], ids=["user", "boot"])
def test_a_plist_is_what_launchd_wants(service: Description) -> None:
    """`man launchd.plist`: the keys, and the types of their values."""
    content = plist(service)
    found = plistlib.loads(content)
    assert is_ours(content)
    assert found["Label"] == ("org.mlx-serve.mlx-serve-8001" if service.boot else "org.mlx-serve.mlx-serve")
    assert found["ProgramArguments"] == list(COMMAND)
    assert found["EnvironmentVariables"] == {"MLX_SERVE_LOGGING_STDERR": "false"} | dict(service.environment)
    assert found["KeepAlive"] == {"Crashed": True} and found["RunAtLoad"] is True
    assert found["SoftResourceLimits"] == {"NumberOfFiles": 10_240}
    assert found["StandardOutPath"] == found["StandardErrorPath"] == str(service.log)
    assert service.log.parent == Path("/home/x/.mlx-serve/logs")
    assert found["ExitTimeOut"] > 42, "longer than the drain, whose default is 30 s, and what follows it"
    assert found.get("UserName") == (service.user or None)
    assert launchd_plist.account(content) == (service.user or None)


def test_an_account_of_a_file_that_is_no_plist_is_none() -> None:
    for content in (b"", b"<plist", b"\xff", plistlib.dumps([1])):
        assert launchd_plist.account(content) is None
    assert systemd_unit.account(b"[Service]\n") is None
    assert systemd_unit.account(unit(described(user="a%b"))) == "a%b"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("service", [USER, BOOT], ids=["user", "boot"])
def test_systemd_accepts_the_unit_without_a_word(service: Description, tmp_path: Path) -> None:
    """Unknown keys, wrong values and commands that are not there are words on stderr."""
    file = Systemd(service, tmp_path).file
    file.write()
    environment = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path), "SYSTEMD_LOG_LEVEL": "info"}
    scope = ["--system"] if service.boot else ["--user"]
    command = ["systemd-analyze", *scope, "--man=no", "--recursive-errors=no", "verify", str(file.path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if file.path.name in line or "Unknown" in line]
    assert (done.returncode, said) == (0, []), done.stderr
    broken = tmp_path / "broken.service"
    broken.write_bytes(file.wanted.replace(b"WatchdogSec=60", b"WatchdogSecs=a"))
    command[-1] = str(broken)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "WatchdogSecs" in done.stderr, "it would have said so"


def options(content: bytes) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in content.decode().splitlines():
        key, sign, value = line.partition("=")
        if sign and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def test_the_unit_is_ready_by_notice_watched_and_restarted_after_failures_alone() -> None:
    found = options(unit(USER))
    assert found["Type"] == ["notify"] and found["NotifyAccess"] == ["main"]
    assert found["WatchdogSec"] == ["60"] and found["Restart"] == ["on-failure"]
    assert found["RestartPreventExitStatus"] == ["75 78"], "a taken port and wrong settings stay as they are"
    assert found["WantedBy"] == ["default.target"] and "User" not in found
    assert options(unit(BOOT))["WantedBy"] == ["multi-user.target"] and options(unit(BOOT))["User"] == ["root"]


@pytest.mark.parametrize("service", [USER, BOOT], ids=["user", "boot"])
def test_hardening_leaves_the_gpu_the_models_and_compiled_code_alone(service: Description) -> None:
    """systemd.exec(5): what each of these would hide or forbid."""
    found = options(unit(service))
    assert found["NoNewPrivileges"] == ["yes"] and found["RestrictSUIDSGID"] == ["yes"]
    hides_gpu = {
        "PrivateDevices",
        "DevicePolicy",
        "DeviceAllow",
        "ProtectClock",
        "ProtectKernelTunables",
        "ProtectProc",
    }
    hides_files = {"ProtectHome", "PrivateTmp", "DynamicUser", "PrivateUsers", "TemporaryFileSystem"}
    assert not (hides_gpu | hides_files | {"MemoryDenyWriteExecute", "SystemCallFilter"}) & set(found)
    assert "AF_NETLINK" in found["RestrictAddressFamilies"][0], "getifaddrs(3) needs it"
    only_systems_manager = {"ProtectSystem", "CapabilityBoundingSet", "ProtectControlGroups"}
    assert bool(only_systems_manager & set(found)) == service.boot


def test_words_with_a_meaning_in_a_unit_are_written_so_that_they_have_none() -> None:
    """`%` begins a specifier, `$` a variable of a command's arguments, quotes and backslashes are quotes."""
    service = described(command=("/opt/a b/python", "$HOME", "100%"), environment=(("MLX_SERVE_HOME", ODD),))
    found = options(unit(service))
    assert found["ExecStart"] == ['"/opt/a b/python" $$HOME 100%%']
    assert found["Environment"] == ['"MLX_SERVE_HOME=/srv/a \\"b\\" \\\\ $c %%h 50%% é;#"']
    with pytest.raises(ServiceError, match="control character"):
        unit(described(environment=(("A", "1\nExecStartPre=/bin/evil"),)))


def test_homebrews_folder_of_a_version_becomes_the_one_of_the_newest(tmp_path: Path) -> None:
    """So that the service outlives `brew upgrade`; where there is no such link, the path stays."""
    python = tmp_path / "Cellar" / "mlx-serve" / "0.1.0" / "libexec" / "bin" / "python"
    assert program.lasting(str(python)) == str(python)
    (tmp_path / "opt").mkdir()
    python.parent.mkdir(parents=True)
    python.touch()
    (tmp_path / "opt" / "mlx-serve").symlink_to("../Cellar/mlx-serve/0.1.0")
    assert program.lasting(str(python)) == f"{tmp_path}/opt/mlx-serve/libexec/bin/python"
    assert program.lasting("/usr/bin/python3") == "/usr/bin/python3"


def test_the_command_of_a_service_is_one_that_the_command_understands() -> None:
    from mlx_serve.control.cli.arguments.options import find
    from mlx_serve.control.cli.main import _parse

    for port in (None, 8001):
        words = program.command(port)
        assert words[:4] == (sys.executable, "-P", "-m", "mlx_serve")
        start = find(words[4])
        assert start is not None
        parsed = _parse(start, list(words[5:]))
        assert parsed.foreground and parsed.port == port
