"""ps, load, unload, cancel: loaded models and the requests they serve."""

from __future__ import annotations

from ..client import ApiError
from ..display.tables import ago, duration, short_id, size, table, until
from ..display.terminal import clean
from ..session import Session, request_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def loaded_table(models: list[dict[str, Any]]) -> str:
    return table(
        ("NAME", "ID", "SIZE", "PROMPTS", "ON DISK", "BACKEND", "CONTEXT", "LAST USED", "UNTIL"),
        [
            (
                model["name"],
                short_id(model["id"]),
                size(model["memory"]),
                size(model["prefix_memory"]),
                size(model["prefix_disk"]),
                f"{model['backend']} {model.get('precision') or ''}".rstrip(),
                str(model["context_length"]),
                "in use" if model["running"] or model["waiting"] else ago(model["last_used"]),
                "pinned" if model.get("pinned") else until(model["expires_at"]),
            )
            for model in models
        ],
    )


def quarantined_table(models: list[dict[str, Any]]) -> str:
    return table(
        ("IN QUARANTINE", "UNTIL", "REASON"),
        [(model["name"], until(model["until"]), model["reason"]) for model in models],
    )


def read_part(request: dict[str, Any]) -> str:
    """How much of its prompt is read, while it is and as far as that is known: 31%."""
    if request["state"] != "prefilling" or not request.get("read_tokens"):
        return ""
    return f"{100 * request['read_tokens'] // request['prompt_tokens']}%"


def requests_table(requests: list[dict[str, Any]]) -> str:
    return table(
        ("REQUEST", "ENDPOINT", "MODEL", "CLIENT", "STATE", "AGE", "PROMPT", "GENERATED"),
        [
            (
                one["id"],
                one["endpoint"],
                clean(one["model"]),  # while it is not found, what the client wrote
                one["client"] or "this machine",
                f"{one['state']} {reading}" if (reading := read_part(one)) else one["state"],
                duration(one["age"] * 1e9),
                str(one["prompt_tokens"]),
                str(one["generated_tokens"]),
            )
            for one in requests
        ],
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
        if found["requests"]:
            print(f"\n{requests_table(found['requests'])}")
    return 0


def cancel(session: Session) -> int:
    """Every id is tried, whatever became of those before it."""
    client, failure = session.client(), None
    for number in session.options.ids:
        try:
            found = client.delete(request_path(number))
        except ApiError as error:
            failure = failure or error
            continue
        if session.json:
            session.print_json(found)
        else:
            print(f"cancelled {found['id']}")
    if failure is not None:
        raise failure
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
