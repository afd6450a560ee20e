"""What may be set for one model alone: `models.settings`, a mapping of models' names to these."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from .place import Place
from .value import ConfigError, Given, Setting, nearest, parse, setting

KEY = "models.settings"
MOST_MODELS = 1000
_LARGEST = 2**31 - 1
_LONGEST_NAME = 512
_WANTED = "a mapping of models' names to their settings"
_FOREVER = 10 * 365 * 86_400
_OTHER_NAMES = {
    "num_ctx": "context_length",
    "num_predict": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "repeat_penalty": "repetition_penalty",
    "repeat_last_n": "penalty_window",
    "system_prompt": "system",
    "pinned": "pin",
    "ttl": "keep_alive",
    "ttl_seconds": "keep_alive",
}
"""What other programs call them."""


@dataclass(frozen=True)
class OneModel:
    """The settings of one model. None, and False for `pin`: not set, so that the next place decides."""

    context_length: int | None = setting(
        None,
        "whole",
        "its context here: takes the place of `engine.context_length`, and is bounded by the model's own",
        low=16,
        high=1 << 30,
        unit="tokens",
        example="8192",
    )
    keep_alive: float | None = setting(
        None,
        "duration",
        "idle time after which it is unloaded, in place of `cache.ttl_seconds`; negative: never",
        high=_FOREVER,
        example="30m",
    )
    pin: bool = setting(
        False,
        "switch",
        "once it is loaded it stays: no idle time ends it, also none of a request, and it makes room for no other "
        "model; `mlx-serve unload` still puts it out",
        example="true",
    )
    system: str | None = setting(
        None,
        "prose",
        "system prompt of conversations that begin without one; empty: none, also where the model came with one",
        example="You answer in one sentence.",
    )
    temperature: float | None = setting(None, "number", "0: the likeliest token always", low=0, high=2, example="0.7")
    top_p: float | None = setting(
        None, "number", "of the likeliest tokens so much probability", low=0, high=1, example="0.9"
    )
    top_k: int | None = setting(
        None, "whole", "of the likeliest tokens so many; 0: all", low=0, high=_LARGEST, example="40"
    )
    min_p: float | None = setting(
        None, "number", "tokens of at least so much of the likeliest one's probability", low=0, high=1, example="0.05"
    )
    repetition_penalty: float | None = setting(None, "number", "1: none", low=0.01, high=10, example="1.1")
    frequency_penalty: float | None = setting(None, "number", "0: none", low=-2, high=2, example="0.5")
    presence_penalty: float | None = setting(None, "number", "0: none", low=-2, high=2, example="0.5")
    penalty_window: int | None = setting(
        None,
        "whole",
        "tokens that the penalties look back at; 0: all of the answer",
        low=0,
        high=_LARGEST,
        example="64",
    )
    seed: int | None = setting(None, "whole", "of the random draws", low=0, high=2**53 - 1, example="42")
    max_tokens: int | None = setting(
        None, "whole", "longest answer", low=1, high=_LARGEST, unit="tokens", example="1024"
    )
    stop: tuple[str, ...] | None = setting(None, "texts", "texts that end an answer", example="[END]")
    thinking_budget: int | None = setting(
        None,
        "whole",
        "longest thought, after which the answer begins",
        low=0,
        high=_LARGEST,
        unit="tokens",
        example="2048",
    )

    def given(self) -> dict[str, Any]:
        """What is set, by name."""
        return {name: value for name in SPECS if (value := getattr(self, name)) is not None and value is not False}


SPECS: Mapping[str, Setting] = {each.name: each.metadata["setting"] for each in fields(OneModel)}
"""Each setting's description, in the order in which they are listed."""


def read_models(given: Given, place: Place) -> dict[str, OneModel]:
    """The settings of each model by its name, as it was written. Raises ConfigError."""
    models = _object(given, place) if isinstance(given, str) else given
    if not isinstance(models, Mapping):
        raise ConfigError(f"{place.whole()}: {KEY} must be {_WANTED}")
    if len(models) > MOST_MODELS:
        raise ConfigError(f"{place.whole()}: {KEY} has more than {MOST_MODELS:,} models")
    return {name: _one(name, {} if settings is None else settings, place) for name, settings in models.items()}


def origins_of(models: Mapping[str, OneModel], place: Place) -> dict[str, str]:
    """Where each setting of each model stands, by dotted keys such as `models.settings.starter.pin`."""
    return {key_of(model, name): place.short((model, name)) for model, one in models.items() for name in one.given()}


def key_of(model: str, name: str) -> str:
    """The dotted key of one setting of one model."""
    return f"{KEY}.{model}.{name}"


def changed_keys(old: Mapping[str, OneModel], new: Mapping[str, OneModel]) -> Iterator[str]:
    """The dotted keys of the settings that differ."""
    nothing = OneModel()
    for model in dict.fromkeys((*old, *new)):
        before, after = old.get(model, nothing), new.get(model, nothing)
        yield from (key_of(model, name) for name in SPECS if getattr(before, name) != getattr(after, name))


def _one(model: str, given: Any, place: Place) -> OneModel:
    if not model.strip() or not model.isprintable() or len(model) > _LONGEST_NAME:
        raise ConfigError(f"{place.whole((model,))}: {KEY}: {model[:80]!r} is not a model's name")
    if not isinstance(given, Mapping):
        raise ConfigError(f"{place.whole((model,))}: {KEY}.{model} must hold settings such as {{temperature: 0.2}}")
    values = {}
    for name, value in given.items():
        where, key = place.whole((model, name)), key_of(model, name)
        if name not in SPECS:
            raise ConfigError(f"{where}: {key} is not a setting{_suggestion(name)}")
        if value is None:
            continue
        try:
            values[name] = parse(SPECS[name], value)
        except ValueError as error:
            raise ConfigError(f"{where}: {key} must be {error}") from None
    return OneModel(**values)


def _suggestion(name: str) -> str:
    close = _OTHER_NAMES.get(name) or nearest(name, SPECS)
    return f"; did you mean {close}?" if close else f"; there are: {', '.join(SPECS)}"


def _object(text: str, place: Place) -> Any:
    """JSON, as an environment variable states it."""

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in found}) < len(found):
            raise ValueError("a name is given twice in one object")
        return dict(found)

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not a number of JSON")

    try:
        return json.loads(text, object_pairs_hook=pairs, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{place.whole()}: {KEY} must be {_WANTED}, as JSON: {str(error)[:200]}") from None
