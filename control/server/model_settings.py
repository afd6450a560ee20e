"""What holds for one model, setting by setting, and where each value comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ...daemon.parameters import TABLE
from ...daemon.reload.model_defaults import OPTIONS
from ...daemon.settings.one_model import SPECS, key_of
from ...store.errors import StoreError
from ...store.inspect.recommended import FILE, recommended
from .response_bodies import SettingRow

if TYPE_CHECKING:
    from ...daemon.settings.schema import Settings
    from ...store.store import Installed, Store

CREATED = "what it was created with"
OWN = "the model's files"


def setting_rows(settings: Settings, store: Store, model: Installed) -> tuple[SettingRow, ...]:
    """Those that somebody has set, and those that always have a value. Reads a file: not for the event loop."""
    try:
        advised = recommended(store.view(model, checked=False))
    except StoreError:  # its files are damaged, which does not keep it from being shown
        advised = {}
    return tuple(_rows(settings, model, advised))


def _rows(settings: Settings, model: Installed, advised: Mapping[str, Any]) -> Iterator[SettingRow]:
    given, created = model.defaults, model.manifest.overrides
    one = settings.models.settings.get(given.key)
    values: dict[str, Any] = {} if one is None else one.given()
    for name in SPECS:
        option = OPTIONS.get(name)
        if name in values:
            yield SettingRow(name, values[name], settings.origins[key_of(given.key, name)])
        elif name == "system" and created.system:
            yield SettingRow(name, created.system, CREATED)
        elif option in created.parameters and name != "context_length":
            yield SettingRow(name, created.parameters[option], CREATED)
        elif name in TABLE and TABLE[name].recommended and name in advised:
            yield SettingRow(name, advised[name], FILE)
        elif name == "context_length":
            yield from _context(settings, model)
        elif name == "keep_alive":
            yield SettingRow(name, settings.cache.ttl_seconds, _general(settings, "cache.ttl_seconds"))
        elif name == "pin":
            yield SettingRow(name, False, "default")


def _context(settings: Settings, model: Installed) -> Iterator[SettingRow]:
    """Of the limits that there are the least is the one that counts."""
    length, limit = model.context_length(settings.engine.context_length), settings.engine.context_length
    if length is None:
        return
    created = OPTIONS["context_length"] in model.manifest.overrides.parameters
    if length == model.manifest.context_length:
        origin = OWN
    elif length == limit or not created:
        origin = _general(settings, "engine.context_length")
    else:
        origin = CREATED
    yield SettingRow("context_length", length, origin)


def _general(settings: Settings, key: str) -> str:
    """A setting of all models, with where it comes from."""
    return f"{key}, {settings.origins[key]}"
