"""The command line of a service's daemon."""

from __future__ import annotations

import re
import sys
from pathlib import Path

_CELLAR = re.compile(r"(?P<prefix>/.*)/Cellar/(?P<formula>[^/]+)/[^/]+/(?P<rest>.*)")


def command(port: int | None) -> tuple[str, ...]:
    """With -P, so that the daemon does not import modules of the folder that it is started in."""
    flags = ("--port", str(port)) if port is not None else ()
    return (lasting(sys.executable), "-P", "-m", "mlx_serve", "start", "--foreground", *flags)


def lasting(path: str) -> str:
    """The same program by a path that outlives an upgrade: Homebrew's folders have the version in their names, and
    `opt/<formula>` leads to the newest one."""
    found = _CELLAR.fullmatch(path)
    if found is None:
        return path
    link = Path(found["prefix"], "opt", found["formula"], found["rest"])
    return str(link) if link.exists() else path
