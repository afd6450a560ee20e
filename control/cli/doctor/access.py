"""The settings, who can reach the daemon by them, and who can read what the home folder holds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .finding import Finding

_LOOPBACK = ("127.", "::1", "localhost")
_PRIVATE = ("config.yaml", "history", "logs", "run")


@dataclass(frozen=True)
class Shared:
    """A file or folder of the home that others can read (`readable`) or change (`writable`)."""

    path: str
    readable: bool
    writable: bool


@dataclass(frozen=True)
class Access:
    """`settings` as `mlx-serve config --json` prints them, or `refused`, the sentence why there are none; `owner` of
    the home folder is a uid, None where it is not there yet."""

    home: str
    settings: dict[str, Any] | None
    refused: str | None = None
    owner: int | None = None
    writable: bool = True
    user: int = 0
    shared: tuple[Shared, ...] = ()


def look(home: Path, settings: dict[str, Any] | None, refused: str | None) -> Access:
    nearest = next(path for path in (home, *home.parents) if path.exists())
    writable = os.access(nearest, os.W_OK | os.X_OK)
    if nearest != home:
        return Access(str(home), settings, refused, None, writable, os.geteuid())
    status = home.stat()
    shared = [Shared(str(home), False, True)] if status.st_mode & 0o022 else []
    for name in _PRIVATE:
        path = home / name
        if path.exists() and (mode := path.stat().st_mode & 0o077):
            shared.append(Shared(str(path), bool(mode & 0o044), bool(mode & 0o022)))
    return Access(str(home), settings, refused, status.st_uid, writable, os.geteuid(), tuple(shared))


def judge(access: Access) -> list[Finding]:
    return [*_judge_home(access), *_judge_settings(access)]


def _judge_home(access: Access) -> list[Finding]:
    findings = []
    elsewhere = "set MLX_SERVE_HOME to a folder of your own"
    if access.owner not in (None, access.user):
        findings.append(Finding("problem", "home", f"{access.home} belongs to another user", elsewhere))
    elif not access.writable:
        remedy = f"chmod u+rwx {access.home}, or {elsewhere}"
        findings.append(Finding("problem", "home", f"{access.home} cannot be written", remedy))
    for each in access.shared:
        if each.writable:
            findings.append(Finding("warning", "rights", f"others can change {each.path}", f"chmod go-w {each.path}"))
        elif not each.path.endswith("config.yaml") or _has_keys(access):
            findings.append(Finding("warning", "rights", f"others can read {each.path}", f"chmod go-rwx {each.path}"))
    return findings or [Finding("ok", "home", access.home)]


def _has_keys(access: Access) -> bool:
    """Settings that are refused may be so because of keys that others can read."""
    return access.settings is None or bool(access.settings["server"]["api_keys"])


def _judge_settings(access: Access) -> list[Finding]:
    if access.settings is None:
        return [
            Finding(
                "problem",
                "settings",
                access.refused or "they cannot be read",
                "mlx-serve config --example has every setting",
            )
        ]
    server = access.settings["server"]
    where = access.settings["file"] or "defaults, for there is no config.yaml"
    findings = [Finding("ok", "settings", where)]
    host, keys = str(server["host"]), len(server["api_keys"])
    if host.startswith(_LOOPBACK):
        findings.append(Finding("ok", "keys", f"only this machine reaches {host}"))
    elif keys:
        findings.append(
            Finding("ok", "keys", f"other machines reach {host} with one of {keys} API key{'' if keys == 1 else 's'}")
        )
    elif server["protected"]:
        text = f"other machines reach {host} and are refused, for there is no API key"
        findings.append(Finding("note", "keys", text, "set server.api_keys, or server.host 127.0.0.1 if that is meant"))
    else:
        text = f"everyone who reaches {host} uses the models, because server.protected is false and there is no API key"
        findings.append(Finding("warning", "keys", text, "set server.api_keys, or server.protected true"))
    if server["remote_management"] and not host.startswith(_LOOPBACK):
        text = "other machines may pull, create and delete models (server.remote_management)"
        findings.append(Finding("note", "keys", text, "set server.remote_management false if that is not meant"))
    return findings
