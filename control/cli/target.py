"""Which daemon a command is for: home, port and socket, from flags, the environment and the running daemons."""

from __future__ import annotations

import os
from pathlib import Path

from ..socket import MAX_PATH, alive, log_path, old_folders, running_socket, socket_folder
from .arguments.usage_error import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT_PORT = 8000


class SettingsError(Exception):
    """The settings are invalid; `str()` names file, line and key."""

    hint: str | None = None


class Target:
    """One daemon, running or not. With an explicit `socket`, `port` only names the log."""

    def __init__(self, home: Path, port: int, socket: Path | None = None) -> None:
        self.home = home
        self.port = port
        self.socket = socket or running_socket(home, port)
        self.explicit_socket = socket is not None

    @property
    def log(self) -> Path:
        return log_path(self.home, self.port)

    def __str__(self) -> str:
        return f"at {self.socket}" if self.explicit_socket else f"on port {self.port}"


def home() -> Path:
    given = os.environ.get("MLX_SERVE_HOME")
    return (Path(given) if given else Path("~/.mlx-serve")).expanduser().absolute()


def running_sockets(directory: Path) -> list[Path]:
    """The sockets of this home's running daemons, lowest port first."""
    folders = [socket_folder(directory), *old_folders(directory)]
    found = [path for folder in folders for path in folder.glob("*.sock") if path.stem.isdigit() and alive(path)]
    return sorted(found, key=lambda path: int(path.stem))


def find(port: int | None, socket: str | None) -> Target:
    """The daemon of a command: the one given, else the only running one, else the configured one."""
    directory = home()
    if socket is not None:
        path = Path(socket).expanduser().absolute()
        if (length := len(os.fsencode(path))) > MAX_PATH:
            raise UsageError(f"--socket: the path has {length} bytes, but the system allows {MAX_PATH}: {path}")
        return Target(directory, int(path.stem) if path.stem.isdigit() else port or DEFAULT_PORT, path)
    named = port if port is not None else environment_port()
    if named is not None:
        return Target(directory, named)
    running = running_sockets(directory)
    if len(running) == 1:
        return Target(directory, int(running[0].stem))
    return Target(directory, configured_port(directory))


def environment_port() -> int | None:
    for name in ("MLX_SERVE_PORT", "MLX_SERVE_SERVER_PORT"):
        text = os.environ.get(name)
        if text:
            if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
                raise UsageError(f"{name} is {text!r}; set it to a port between 1 and 65535")
            return int(text)
    return None


def configured_port(directory: Path, config: str | None = None) -> int:
    """`server.port` of the settings file, read by the daemon's own code; without a file, the default."""
    if config is None and not (directory / "config.yaml").exists():
        return DEFAULT_PORT
    port = int(offline_settings(config)["server"]["port"])
    if port == 0:
        raise UsageError("server.port is 0 (any free port); name the daemon's port with --port")
    return port


def offline_settings(config: str | None = None) -> Any:
    """The settings that a daemon would start with. Raises SettingsError."""
    import json

    return json.loads(run_settings_command(["--json", *(["--config", config] if config else [])]))


def run_settings_command(arguments: list[str]) -> str:
    import subprocess
    import sys

    command = [sys.executable, "-P", "-m", "mlx_serve.daemon.settings.command", *arguments]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        lines = result.stderr.strip().splitlines()
        reason = lines[-1] if lines else f"the settings could not be read (exit status {result.returncode})"
        raise SettingsError(reason.removeprefix("mlx-serve: "))
    return result.stdout
