"""ps, load, unload: loaded models."""

from __future__ import annotations

from ..display.tables import ago, short_id, size, table, until
from ..session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def loaded_table(models: list[dict[str, Any]]) -> str:
    return table(
        ("NAME", "ID", "SIZE", "BACKEND", "CONTEXT", "LAST USED", "UNTIL"),
        [
            (
                model["name"],
                short_id(model["id"]),
                size(model["memory"]),
                model["backend"],
                str(model["context_length"]),
                "in use" if model["running"] or model["waiting"] else ago(model["last_used"]),
                until(model["expires_at"]),
            )
            for model in models
        ],
    )


def quarantined_table(models: list[dict[str, Any]]) -> str:
    return table(
        ("IN QUARANTINE", "UNTIL", "REASON"),
        [(model["name"], until(model["until"]), model["reason"]) for model in models],
    )


def ps(session: Session) -> int:
    found = session.client().get("/control/v1/ps")
    if session.json:
        session.print_json(found)
    else:
        print(loaded_table(found["models"]))
        if found["quarantined"]:
            print(f"\n{quarantined_table(found['quarantined'])}\n")
            print("To try one at once: mlx-serve load NAME")
    return 0


def load(session: Session) -> int:
    found = session.daemon().post("/control/v1/load", {"name": session.options.name})
    if session.json:
        session.print_json(found)
    else:
        print(f"loaded {found['name']} ({size(found['memory'])}, {found['backend']})")
    return 0


def unload(session: Session) -> int:
    found = session.daemon().post("/control/v1/unload", {"name": session.options.name})
    if session.json:
        session.print_json(found)
    elif found["unloaded"]:
        print(f"unloaded {found['name']}")
    else:
        print(f"{found['name']} was not loaded")
    return 0
