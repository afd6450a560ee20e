"""New settings over those of a running daemon: which of them count at once, and which need a restart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from .one_model import KEY as ONE_MODEL
from .one_model import changed_keys
from .schema import SECTIONS, Settings, settings_of

LIVE = frozenset(
    (
        *("server.protected", "server.api_keys", "server.api_keys_file", "server.require_keys"),
        *("server.remote_management", "server.allowed_hosts", "server.cors_origins", "server.max_body_mb"),
        *("server.max_queue", "server.request_timeout_seconds", "server.drain_seconds"),
        *("models.auto_download", "models.aliases", "models.memory_limit", "models.wired"),
        *("models.fetch_private_images", "models.settings"),
        *("cache.max_llm_models", "cache.max_vlm_models", "cache.max_embedding_models", "cache.max_reranker_models"),
        "cache.ttl_seconds",
        *("logging.level", "logging.format"),
    )
)
"""The settings that a running daemon takes over. Those about memory hold for what is loaded from then on."""


@dataclass(frozen=True)
class Renewal:
    """`settings` are those that hold from now on. `changed` are the keys whose new value holds, `restart` those whose
    value in the file or the environment is another than the daemon was started with."""

    settings: Settings
    changed: tuple[str, ...]
    restart: tuple[str, ...]


def restart_keys() -> tuple[str, ...]:
    """The settings that need a restart: all others."""
    return tuple(key for key, _, _ in _each() if key not in LIVE)


def renew(current: Settings, started: Settings, found: Settings) -> Renewal:
    """`current` holds now, the daemon `started` with other ones, and `found` are there now."""
    changed, restart = list[str](), list[str]()
    values: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    origins = {key: origin for key, origin in current.origins.items() if not key.startswith(f"{ONE_MODEL}.")}
    origins |= {key: origin for key, origin in found.origins.items() if key.startswith(f"{ONE_MODEL}.")}
    for key, section, name in _each():
        new = getattr(getattr(found, section), name)
        if key in LIVE:
            values[section][name] = new
            origins[key] = found.origins[key]
            if key == ONE_MODEL:
                changed += changed_keys(current.models.settings, new)
            elif new != getattr(getattr(current, section), name):
                changed.append(key)
        elif new != getattr(getattr(started, section), name):
            restart.append(key)
    sections = {section: replace(getattr(current, section), **values[section]) for section in SECTIONS}
    settings = replace(current, **sections, origins=origins, file=found.file)
    return Renewal(settings, tuple(changed), tuple(restart))


def _each() -> Iterator[tuple[str, str, str]]:
    for section, cls in SECTIONS.items():
        for name, _ in settings_of(cls):
            yield f"{section}.{name}", section, name
