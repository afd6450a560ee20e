"""The settings of single models as the store keeps them beside each model: Ollama's names for what a request may
say."""

from __future__ import annotations

from collections.abc import Mapping

from ...store.disk.manifests import Overrides
from ...store.errors import DamagedModel
from ...store.store import Defaults, Store
from ..parameters import TABLE
from ..settings.one_model import OneModel

OPTIONS = {name: row.ollama.name for name, row in TABLE.items() if row.ollama is not None} | {
    "context_length": "num_ctx",
    "seed": "seed",
    "max_tokens": "num_predict",
    "stop": "stop",
    "thinking_budget": "thinking_budget",
}
"""Our name of a setting to the one of the option that it stands for."""


def defaults(models: Mapping[str, OneModel]) -> dict[str, Defaults]:
    """By the names as the user wrote them."""
    return {name: _defaults(name, one) for name, one in models.items()}


def ineffective(store: Store, models: Mapping[str, OneModel]) -> dict[str, str]:
    """What of these settings does nothing, by the names as the user wrote them: the rest of the sentence that begins
    with the setting. Looks into the store. Raises StoreError."""
    reasons = {name: f"has no effect: {reason}" for name, reason in store.unmatched().items()}
    for name, one in models.items():
        if name in reasons:
            continue
        try:
            manifest = store.find(name).manifest
        except DamagedModel:
            continue
        if manifest.kind not in ("llm", "vlm"):
            lost = [key for key in one.given() if key not in ("context_length", "keep_alive", "pin")]
            whom = f"a model of the kind {manifest.kind}"
        else:
            lost = ["thinking_budget"] if one.thinking_budget is not None else []
            lost, whom = [] if "thinking" in manifest.capabilities else lost, "a model that does not think"
        if lost:
            reasons[name] = f"has no effect in part: {', '.join(lost)} {_do(lost)} nothing for {whom}"
    return reasons


def _do(subjects: list[str]) -> str:
    return "does" if len(subjects) == 1 else "do"


def _defaults(name: str, one: OneModel) -> Defaults:
    options = {OPTIONS[key]: value for key, value in one.given().items() if key in OPTIONS}
    if one.penalty_window == 0:
        options["repeat_last_n"] = -1  # Ollama's word for all; its 0 is none
    if one.stop is not None:
        options["stop"] = list(one.stop)
    return Defaults(
        key=name,
        overrides=Overrides(system=one.system, parameters=options),
        keep_alive=one.keep_alive,
        pinned=one.pin,
        context_length=one.context_length,
    )
