"""config: the effective settings, of the running daemon or for the next start."""

from __future__ import annotations

import json
import sys

from ..client import NoDaemon
from ..display.tables import table
from ..display.terminal import note
from ..session import Session
from ..target import offline_settings, run_settings_command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NOT_SECTIONS = ("home", "file", "origins", "ineffective")
_ONE_MODEL = "models.settings"


def config(session: Session) -> int:
    options = session.options
    if options.reload:
        return _reload(session)
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
        if about := _exposure(found["server"]):
            note(about)
        _warn(found.get("ineffective", {}))
    return 0


def _reload(session: Session) -> int:
    found = session.client().post("/control/v1/config", {})
    if session.json:
        session.print_json(found)
        return 0
    print(f"changed: {', '.join(found['changed'])}" if found["changed"] else "nothing has changed")
    if found["restart"]:
        note(f"these need a restart (mlx-serve stop, mlx-serve start): {', '.join(found['restart'])}")
    if found.get("load"):
        names = ", ".join(found["load"])
        note(f"these have another context from their next load on (mlx-serve unload, mlx-serve load): {names}")
    _warn(found.get("ineffective", {}))
    return 0


def _warn(ineffective: dict[str, str]) -> None:
    """Of settings of single models that do nothing."""
    for name, reason in ineffective.items():
        note(f"{_ONE_MODEL}.{name} {reason}")


def _exposure(server: dict[str, Any]) -> str | None:
    """Who can reach the daemon, where that may surprise."""
    host = server["host"]
    if host.startswith(("127.", "::1", "localhost")):
        return None
    if server["api_keys"]:
        return f"other machines reach {host} and need one of the API keys; server.host 127.0.0.1: this machine only"
    if server["protected"]:
        return (
            f"other machines reach {host} and are refused, with the reason, until an API key is set "
            "(server.protected); server.host 127.0.0.1 listens on this machine only, and no firewall asks about it"
        )
    return f"other machines reach {host} and use the models without a key, because server.protected is false"


def _rows(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Key, value and origin of each setting; those of single models one by one, and none where there are none."""
    rows = []
    for section, values in found.items():
        for name, value in values.items() if section not in _NOT_SECTIONS else ():
            key = f"{section}.{name}"
            if key == _ONE_MODEL:
                each = [
                    (f"{key}.{model}.{one}", given)
                    for model, settings in value.items()
                    for one, given in settings.items()
                ]
                rows += [(one, _text(given), found["origins"][one]) for one, given in each]
            else:
                rows.append((key, _text(value), found["origins"][key]))
    return rows


def _text(value: object) -> str:
    return value if isinstance(value, str) and "\n" not in value else json.dumps(value, ensure_ascii=False)
