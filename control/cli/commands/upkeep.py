"""verify, gc: maintenance of the store."""

from __future__ import annotations

import sys

from ..client import ApiError
from ..display.progress_bars import ProgressBars
from ..display.tables import size
from ..display.terminal import note
from ..session import Session, path_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..client import Client


def verify(session: Session) -> int:
    """Exit status 1 when a file is damaged."""
    name = session.options.name
    client = session.daemon()
    stream = client.stream("POST", "/control/v1/verify", {} if name is None else {"name": name})
    last: dict[str, Any] = {}
    if session.json:
        for last in stream:
            session.print_json(last)
        return 1 if last.get("bad") else 0
    damaged: dict[str | None, list[dict[str, Any]]] = {}
    with ProgressBars(sys.stderr) as progress:
        for last in stream:
            if last["status"] == "done":
                break
            # One bar, because bytes are counted over the whole run.
            amounts = {"overall_completed": last.get("completed", 0), "overall_total": last.get("total", 0)}
            progress.show({"status": last["status"], **amounts})
            if not last.get("ok", True):
                damaged.setdefault(last.get("name"), []).append(last)
    for model, files in damaged.items():
        print(f"{model or 'files that no model uses'}:")
        for each in files:
            print(f"  {each.get('path')}: {each.get('problem')}")
    print(f"{_files(last.get('files', 0))} checked, {last.get('bad', 0)} bad")
    for model in damaged:
        note(_remedy(client, model))
    return 1 if damaged else 0


def _remedy(client: Client, model: str | None) -> str:
    """How to repair the damage, which depends on where the files came from."""
    if model is None:
        return "mlx-serve gc removes files that no model uses"
    try:
        found = client.get(path_of(model))
    except ApiError:  # so damaged that only its name is known
        if model.startswith("local/"):
            return f"mlx-serve remove {model}, then pull or make it again"
        return f"mlx-serve pull {model} repairs it"
    kind, _, location = found["source"].partition(" ")
    if found["parent"]:
        return f"{model} was made from another model: mlx-serve remove {model}, then make it again"
    return f"mlx-serve pull {model if kind == 'hub' else location} repairs {'it' if kind == 'hub' else model}"


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"


def gc(session: Session) -> int:
    done = session.daemon().post("/control/v1/gc", {"dry_run": bool(session.options.dry_run)})
    if session.json:
        session.print_json(done)
        return 0
    verb = "would free" if done["dry_run"] else "freed"
    partials = done["partials"]
    also = f" and {_files(partials)} of unfinished pulls" if partials else ""
    print(f"{verb} {size(done['bytes'])} in {_files(done['blobs'])}{also}")
    if done["prompts"]:
        print(f"{verb} {size(done['prompt_bytes'])} of prompts that were read before")
    return 0
