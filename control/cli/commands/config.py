"""config: the effective settings, of the running daemon or for the next start."""

from __future__ import annotations

import json
import sys

from ..client import NoDaemon
from ..display.tables import table
from ..session import Session
from ..target import offline_settings, run_settings_command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NOT_SECTIONS = ("home", "file", "origins")


def config(session: Session) -> int:
    options = session.options
    if options.example or options.path:
        text = run_settings_command(["--example" if options.example else "--path"])
        if session.json:
            session.print_json({"example" if options.example else "path": text.rstrip("\n")})
        else:
            sys.stdout.write(text)
        return 0
    try:
        found = session.client().get("/control/v1/config")
    except NoDaemon:
        found = offline_settings()
    if session.json:
        session.print_json(found)
    else:
        print(table(("SETTING", "VALUE", "FROM"), _rows(found)))
    return 0


def _rows(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (f"{section}.{name}", _text(value), found["origins"][f"{section}.{name}"])
        for section, values in found.items()
        if section not in _NOT_SECTIONS
        for name, value in values.items()
    ]


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
