"""Which model a client gets when none is named. Pure functions of the daemon's lists."""

from __future__ import annotations

from typing import Any

STARTERS = ("starter", "starter-vl")


def usable(models: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The models that chat, those that call tools first, each kind with the newest first."""
    chatting = [model for model in models if model["kind"] in ("llm", "vlm")]
    chatting.sort(key=lambda model: str(model["modified"]), reverse=True)
    return sorted(chatting, key=lambda model: "tools" not in model["capabilities"])


def obvious(models: list[dict[str, Any]], loaded: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The loaded model that was used last, else the only one that is installed; built-in ones are not meant where there
    is another. None where somebody has to choose."""
    candidates = [model for model in usable(models) if model["name"] not in STARTERS] or usable(models)
    names = {model["name"]: model for model in candidates}
    recent = sorted(loaded, key=lambda row: float(row["last_used"]), reverse=True)
    found = next((names[row["name"]] for row in recent if row["name"] in names), None)
    if found is not None:
        return found
    return candidates[0] if len(candidates) == 1 else None
