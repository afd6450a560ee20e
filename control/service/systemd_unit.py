"""The unit that systemd reads: https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html."""

from __future__ import annotations

import re

from .description import Description
from .service_error import ServiceError
from .unit_file import marked

_USER_HARDENING = (
    "NoNewPrivileges=yes",
    "LockPersonality=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "RestrictNamespaces=yes",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "SystemCallArchitectures=native",
    "UMask=0077",
)
# Only the system's manager may do these. Left out on purpose: PrivateDevices, DeviceAllow and ProtectClock (which sets
# DeviceAllow) hide the GPU; MemoryDenyWriteExecute stops compiled kernels; ProtectHome hides the models, and PrivateTmp
# a folder in /tmp that a user pulls from; ProtectKernelTunables and ProtectProc hide what NVIDIA's driver reads in
# /proc.
_BOOT_HARDENING = (
    "ProtectSystem=full",
    "ProtectControlGroups=yes",
    "ProtectKernelLogs=yes",
    "ProtectHostname=yes",
    "CapabilityBoundingSet=",
)
_WATCHDOG_SECONDS = 60


def unit(service: Description, *, before: tuple[str, ...] = ()) -> bytes:
    """The file; `before` are the words of a command that runs first with all rights and may fail."""
    network = ["Wants=network-online.target", "After=network-online.target"] if service.boot else []
    lines = [
        "[Unit]",
        "Description=mlx-serve, a daemon that serves MLX models",
        *network,
        "StartLimitIntervalSec=300",
        "StartLimitBurst=5",
        "",
        "[Service]",
        "Type=notify",
        "NotifyAccess=main",
        *([f"User={_value(service.user)}"] if service.boot else []),
        *(f"Environment={_quoted(f'{name}={value}')}" for name, value in service.environment),
        *([f"ExecStartPre=-+{_command(before)}"] if before else []),
        f"ExecStart={_command(service.command)}",
        "ExecReload=/bin/kill -HUP $MAINPID",
        f"WatchdogSec={_WATCHDOG_SECONDS}",
        "Restart=on-failure",
        "RestartSec=2",
        "# 75: a daemon runs on this port already; 78: the settings are at fault.",
        "RestartPreventExitStatus=75 78",
        "# The daemon ends its children itself, after their requests; it asks for more time to stop if it needs it.",
        "KillMode=mixed",
        "# A model's process that the kernel kills for its memory is replaced; it must not end the daemon.",
        "OOMPolicy=continue",
        "LimitNOFILE=10240",
        *_USER_HARDENING,
        *(_BOOT_HARDENING if service.boot else ()),
        "",
        "[Install]",
        f"WantedBy={'multi-user.target' if service.boot else 'default.target'}",
    ]
    return marked(("\n".join(lines) + "\n").encode(), xml=False)


def _command(words: tuple[str, ...]) -> str:
    """Words of a command line: `%` begins a specifier and `$` a variable. The program itself has no variables."""
    return " ".join([_quoted(words[0]), *(_quoted(word.replace("$", "$$")) for word in words[1:])])


def _quoted(word: str) -> str:
    text = _value(word).replace("\\", "\\\\").replace('"', '\\"')
    return text if text and not set(text) & set(" '\"\\;#") else f'"{text}"'


def _value(text: str) -> str:
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise ServiceError(f"{text!r} has a control character, which a unit cannot hold", "choose another path")
    return text.replace("%", "%%")


def account(content: bytes) -> str | None:
    """The account that an installed unit names."""
    found = re.search(rb"^User=(.+)$", content, re.MULTILINE)
    return found[1].decode(errors="replace").replace("%%", "%") if found else None
