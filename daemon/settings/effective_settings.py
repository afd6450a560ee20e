"""The effective settings: flags over environment over the YAML file over defaults, each with where it came from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from .one_model import KEY as ONE_MODEL
from .one_model import origins_of, read_models
from .place import Place
from .schema import BY_KEY, FLAGS, SECTIONS, SHORT_NAMES, Settings, variable
from .value import ConfigError, Given, nearest, parse


def home_path(environ: Mapping[str, str]) -> Path:
    """Where the daemon keeps its things. Raises ConfigError."""
    given = environ.get("MLX_SERVE_HOME") or "~/.mlx-serve"
    try:
        return Path(given).expanduser().absolute()
    except RuntimeError:
        raise ConfigError("the home folder of this user is not known; set MLX_SERVE_HOME") from None


def config_path(environ: Mapping[str, str] = os.environ) -> Path:
    """The settings file that is read when no other is named; it need not exist."""
    return home_path(environ) / "config.yaml"


def load_settings(
    flags: Mapping[str, str | int | bool | list[str]] | None = None, environ: Mapping[str, str] = os.environ
) -> Settings:
    """The effective settings. `flags` are keyed `server.port`; `config` names the file to read. Raises ConfigError."""
    flags = dict(flags or {})
    home = home_path(environ)
    named = flags.pop("config", None)
    values: dict[str, Any] = {"models.directory": home / "models"}
    origins, of_models = dict.fromkeys(BY_KEY, "default"), dict[str, str]()

    def take(key: str, given: Given, place: Place) -> None:
        origins[key] = place.short()
        if key == ONE_MODEL:
            values[key] = read_models(given, place)
            of_models.clear()
            of_models.update(origins_of(values[key], place))
            return
        try:
            values[key] = parse(BY_KEY[key], given)
        except ValueError as error:
            raise ConfigError(f"{place.whole()}: {key} must be {error}") from None

    file = _take_file(Path(str(named)) if named else None, home, take)
    for name, key in _environment_names(environ):
        if environ[name].strip():
            take(key, environ[name], Place(name))
    for key, given in flags.items():
        if key not in FLAGS:
            raise ConfigError(f"{key} has no flag{_suggestion(key, FLAGS)}")
        take(key, given, Place(FLAGS[key]))
    settings = _with_key_file(Settings(home=home, **_sections(values), origins=origins | of_models, file=file))
    _check_keys(settings)
    _check_drafts(settings)
    return settings


def _with_key_file(settings: Settings) -> Settings:
    """The keys of `server.api_keys_file` after those of `server.api_keys`."""
    server, origins = settings.server, settings.origins
    if server.api_keys_file is None:
        return settings
    from .key_file import read_keys

    keys = read_keys(server.api_keys_file, origins["server.api_keys_file"], BY_KEY["server.api_keys"].shortest)
    others = [origins["server.api_keys"]] if server.api_keys else []
    return replace(
        settings,
        server=replace(server, api_keys=tuple(dict.fromkeys((*server.api_keys, *keys)))),
        origins={**origins, "server.api_keys": ", ".join([*others, server.api_keys_file.name])},
    )


def _check_keys(settings: Settings) -> None:
    if settings.server.require_keys == "always" and not settings.server.api_keys:
        raise ConfigError(
            f"{settings.origins['server.require_keys']}: server.require_keys is always, but there is no key to send; "
            "set server.api_keys (MLX_SERVE_SERVER_API_KEYS), or set require_keys to remote"
        )


def _check_drafts(settings: Settings) -> None:
    if settings.engine.draft_models:
        raise ConfigError(
            f"{settings.origins['engine.draft_models']}: engine.draft_models must be empty: this version drafts no "
            "tokens with other models; take the setting away"
        )


def _take_file(named: Path | None, home: Path, take: Any) -> Path | None:
    path = named.expanduser().absolute() if named else home / "config.yaml"
    if not path.exists():
        if named:
            raise ConfigError(f"{path}: there is no such file; --config names the settings file to read")
        return None
    # YAML costs milliseconds of start; without a file it is never imported.
    from .file import read_settings_file

    file = read_settings_file(path)
    for entry in file.entries:
        where = entry.place.whole()
        if entry.key not in BY_KEY:
            raise ConfigError(f"{where}: {_unknown(entry.key)}")
        if entry.value is None:
            continue
        if BY_KEY[entry.key].secret and entry.value and not file.private:
            raise ConfigError(f"{where}: the file holds API keys and others can read it; run: chmod 600 {path}")
        take(entry.key, entry.value, entry.place)
    return path


def _unknown(key: str) -> str:
    section, _, name = key.partition(".")
    if section not in SECTIONS:
        return f"{section} is not a section{_suggestion(section, SECTIONS)}"
    names = [each.name for each in fields(SECTIONS[section])]
    close = nearest(name, names)
    return f"{key} is not a setting" + (f"; did you mean {section}.{close}?" if close else _suggestion(key, BY_KEY))


def _suggestion(word: str, words: Mapping[str, Any]) -> str:
    close = nearest(word, words)
    return f"; did you mean {close}?" if close else f"; there are: {', '.join(words)}" if len(words) < 10 else ""


def _environment_names(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """The variables that are set, short names first, so that the long name of the same setting wins."""
    long_names = {variable(key): key for key in BY_KEY}
    for name in environ:
        section = name.removeprefix("MLX_SERVE_").partition("_")[0].lower()
        if name.startswith("MLX_SERVE_") and section in SECTIONS and name not in {**long_names, **SHORT_NAMES}:
            raise ConfigError(f"{name}: is not a setting{_suggestion(name, long_names)}")
    return [(name, key) for name, key in {**SHORT_NAMES, **long_names}.items() if name in environ]


def _sections(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        section: cls(**{each.name: values[key] for each in fields(cls) if (key := f"{section}.{each.name}") in values})
        for section, cls in SECTIONS.items()
    }
