"""list, show, remove, copy: installed models."""

from __future__ import annotations

import json

from ..display.tables import ago, duration, parameters, section, short_id, size, table
from ..session import Session, path_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def list_models(session: Session) -> int:
    found = session.daemon().get("/control/v1/models")
    prefix = session.options.prefix.lower()
    models = [model for model in found["models"] if _begins(model["name"], prefix)]
    if session.json:
        session.print_json({"models": models})
        return 0
    rows = [
        (model["name"], short_id(model["id"]), size(model["size"]), model["kind"], ago(_moment(model["modified"])))
        for model in models
    ]
    print(table(("NAME", "ID", "SIZE", "TYPE", "MODIFIED"), rows))
    return 0


def _begins(name: str, prefix: str) -> bool:
    lower = name.lower()
    return lower.startswith(prefix) or lower.partition("/")[2].startswith(prefix)


def _moment(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()


def show(session: Session) -> int:
    found = session.daemon().get(path_of(session.options.name))
    if session.json:
        session.print_json(found)
    else:
        print(_described(found))
    return 0


_REUSE = {
    "any": "go on from the last common token",
    "some": "go on from the last place that was kept",
    "turns": "go on from the end of a prompt or an answer: its caches cannot be cut",
    "unknown": "are read again: its caches can be neither cut nor copied",
    "off": "are read again: nothing is kept",
}


def _on_disk(found: dict[str, Any]) -> str | None:
    held = [size(found["prefix_disk"])] if found.get("prefix_disk") else []
    packed = [f"in {found['file_bits']} bits"] if found.get("file_bits") else []
    return " ".join(held + packed) or None


def _described(found: dict[str, Any]) -> str:
    model = found["model"]
    optional = (
        ("quantization", model["quantization"]),
        ("weights in", found["dtype"]),
        ("context length", model["context_length"]),
        ("embedding length", found["embedding_length"]),
        ("prompts read before", _REUSE.get(found["reuse"])),
        ("prompts on disk", _on_disk(found)),
    )
    parts = [
        section(
            "Model",
            [
                ("name", model["name"]),
                ("id", model["id"]),
                ("type", model["kind"]),
                ("because", found["kind_reason"]),
                ("architecture", model["architecture"]),
                ("parameters", parameters(model["parameters"])),
                *((name, str(value)) for name, value in optional if value is not None),
                ("size", size(model["size"])),
            ],
        ),
        section("Capabilities", [(name, "") for name in model["capabilities"]]),
        section(
            "Origin",
            [
                ("source", found["source"]),
                *((name, str(found[name])) for name in ("revision", "parent") if found[name] is not None),
                ("created", found["created"]),
                ("modified", model["modified"]),
            ],
        ),
    ]
    if "settings" in found:  # which a daemon of before an upgrade does not say
        parts.append(_settings(found["settings"]))
    if found["system"]:
        parts.append(section("System", [(line, "") for line in found["system"].splitlines()]))
    parts.append(section("Files", [(each["path"], size(each["size"])) for each in found["files"]]))
    return "\n\n".join(parts)


def _settings(rows: list[dict[str, Any]]) -> str:
    """Each with its value and where that comes from."""
    shown = [(row["name"].replace("_", " "), _value(row["name"], row["value"]), row["origin"]) for row in rows]
    widest = max((len(value) for _, value, _ in shown), default=0)
    return section("Settings", [(name, f"{value.ljust(widest)}    {origin}") for name, value, origin in shown])


def _value(name: str, value: Any) -> str:
    if name == "keep_alive":
        return "forever" if value < 0 else duration(value * 1e9)
    if name == "system":
        return "as below" if value else "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def remove(session: Session) -> int:
    """Stops at the first that cannot be removed; those before it have been removed and printed."""
    client = session.daemon()
    for name in session.options.names:
        removed = client.delete(path_of(name))
        if session.json:
            session.print_json(removed)
        else:
            print(f"removed {removed['name']}")
    return 0


def copy(session: Session) -> int:
    options = session.options
    made = session.daemon().post("/control/v1/copy", {"source": options.name, "destination": options.destination})
    if session.json:
        session.print_json(made)
    else:
        print(f"copied {options.name} to {made['name']}")
    return 0
