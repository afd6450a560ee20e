"""A file of API keys: one a line; empty lines and lines that begin with `#` do not count."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from .value import ConfigError

MAX_BYTES = 1 << 20


def read_keys(path: Path, origin: str, shortest: int) -> tuple[str, ...]:
    """Raises ConfigError, which repeats no key; `origin` is where the path was set. A key has `shortest` characters at
    least. Only this user may be able to read the file, or root owns it and nobody else can change it, as the secrets of
    a container are."""
    where = f"{origin}: server.api_keys_file {path}"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(f"{where} cannot be read: {error.strerror}") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise ConfigError(f"{where} is not a file")
    with os.fdopen(descriptor, "rb") as file:
        _check_owner(where, path, status)
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{where} is larger than 1 MiB, which is too large for keys")
    try:
        lines = [line.strip() for line in data.decode("utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        raise ConfigError(f"{where} is not UTF-8 text") from None
    keys = []
    for number, line in enumerate(lines, 1):
        if not line or line.startswith("#"):
            continue
        if len(line) < shortest or not line.isprintable() or " " in line:
            raise ConfigError(
                f"{where}, line {number}: a key has at least {shortest} printable characters without spaces"
            )
        keys.append(line)
    if not keys:
        raise ConfigError(f"{where} has no key in it; write one a line")
    return tuple(keys)


def _check_owner(where: str, path: Path, status: os.stat_result) -> None:
    """Others must not read it, and must not change it."""
    root = status.st_uid == 0
    if not (root or status.st_uid == os.geteuid()):
        raise ConfigError(f"{where} belongs to another user, who could change the keys; make a copy of your own")
    if status.st_mode & (0o022 if root else 0o077):
        raise ConfigError(f"{where} can be read or changed by others; run: chmod 600 {path}")
