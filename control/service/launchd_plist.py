"""The property list that launchd reads: `man launchd.plist`."""

from __future__ import annotations

from typing import Any

from .description import Description
from .unit_file import marked

_OPEN_FILES = 10_240
_EXIT_SECONDS = 60
_THROTTLE_SECONDS = 10


def label(service: Description) -> str:
    return f"org.mlx-serve.{service.name}"


def plist(service: Description) -> bytes:
    """The file. KeepAlive is for crashes alone: a daemon that ends by itself (bad settings, a taken port, `mlx-serve
    stop`) stays ended."""
    import plistlib

    document: dict[str, Any] = {
        "Label": label(service),
        "ProgramArguments": list(service.command),
        # The log has a file of its own, which is rotated; launchd's is not.
        "EnvironmentVariables": {"MLX_SERVE_LOGGING_STDERR": "false", **dict(service.environment)},
        "RunAtLoad": True,
        "KeepAlive": {"Crashed": True},
        "ThrottleInterval": _THROTTLE_SECONDS,
        # The daemon drains before it ends; launchd's own limit is 20 s.
        "ExitTimeOut": _EXIT_SECONDS,
        # Not a background job, whose processor and disk macOS would throttle.
        "ProcessType": "Interactive",
        "SoftResourceLimits": {"NumberOfFiles": _OPEN_FILES},
        "StandardOutPath": str(service.log),
        "StandardErrorPath": str(service.log),
        "WorkingDirectory": str(service.home),
        "Umask": 0o077,
    }
    if service.boot:
        document["UserName"] = service.user
    return marked(plistlib.dumps(document, sort_keys=True), xml=True)


def account(content: bytes) -> str | None:
    """The account that an installed file names."""
    import plistlib
    from xml.parsers.expat import ExpatError

    try:
        found = plistlib.loads(content)
    except (plistlib.InvalidFileException, ExpatError, ValueError):
        return None
    name = found.get("UserName") if isinstance(found, dict) else None
    return name if isinstance(name, str) else None
