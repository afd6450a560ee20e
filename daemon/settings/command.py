"""`python -m mlx_serve.daemon.settings.command`: the effective settings, an example file, or where the file is."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .effective_settings import config_path, load_settings
from .one_model import KEY as ONE_MODEL
from .one_model import SPECS, OneModel, key_of
from .schema import SECTIONS, Settings, settings_of
from .value import ConfigError

EX_CONFIG = 78
_HEAD = """\
# Settings of mlx-serve. Every line shows a default, and below `models: settings:` an example; remove the `#` from the
# lines that you change.
# Flags take precedence over environment variables, and those over this file. The setting `port` of the section
# `server` is also the variable MLX_SERVE_SERVER_PORT.
"""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="mlx-serve config", description="Show the settings and where each came from.")
    parser.add_argument("--config", metavar="FILE", help="the settings file to read")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--example", action="store_true", help="print a commented settings file with the defaults")
    what.add_argument("--path", action="store_true", help="print where the settings file is")
    what.add_argument("--json", action="store_true", help="print the settings and their origins as JSON")
    options = parser.parse_args(argv)
    try:
        if options.example:
            text = example()
        elif options.path:
            text = f"{Path(options.config).expanduser().absolute() if options.config else config_path()}\n"
        else:
            settings = load_settings({"config": options.config} if options.config else {})
            text = json.dumps(described(settings), indent=2) + "\n" if options.json else listing(settings)
    except ConfigError as error:
        sys.stderr.write(f"mlx-serve: {error}\n")
        return EX_CONFIG
    sys.stdout.write(text)
    return 0


def described(settings: Settings) -> dict[str, Any]:
    """The tree as plain values: home, file, every section, and the origins. Secrets are masked."""
    return {
        "home": str(settings.home),
        "file": str(settings.file) if settings.file else None,
        **{section: shown(settings, section) for section in SECTIONS},
        "origins": dict(settings.origins),
    }


def shown(settings: Settings, section: str) -> dict[str, Any]:
    """One section as JSON values, with API keys masked and None as `auto`."""
    values = getattr(settings, section)
    return {
        name: ["***"] * len(getattr(values, name)) if spec.secret else _plain(getattr(values, name), spec.none)
        for name, spec in settings_of(SECTIONS[section])
    }


def listing(settings: Settings) -> str:
    """One `key = value  (origin)` a line."""
    lines = [
        (f"{section}.{name} = {_yaml(value)}", settings.origins[f"{section}.{name}"])
        for section in SECTIONS
        for name, value in shown(settings, section).items()
        if f"{section}.{name}" != ONE_MODEL
    ]
    lines += [
        (f"{key_of(model, name)} = {_yaml(value)}", settings.origins[key_of(model, name)])
        for model, given in shown(settings, "models")["settings"].items()
        for name, value in given.items()
    ]
    width = min(60, max(len(text) for text, _ in lines))
    return "".join(f"{text:<{width}}  ({origin})\n" for text, origin in lines)


def example() -> str:
    """A settings file of comments: each setting with its default and what it does."""
    parts = [_HEAD]
    for section, cls in SECTIONS.items():
        defaults = cls()
        parts.append(f"\n{section}:\n")
        for name, spec in settings_of(cls):
            if f"{section}.{name}" == ONE_MODEL:
                parts.append(f"{f'  # {name}:':<52} # {spec.doc}\n  #   starter:\n")
                parts += [f"{f'  #     {each}: {one.example}':<52} # {one.doc}\n" for each, one in SPECS.items()]
            else:
                default = default_text(getattr(defaults, name), spec.none)
                parts.append(f"{f'  # {name}: {default}':<52} # {spec.doc}\n")
    return "".join(parts)


def default_text(default: Any, none: str = "auto") -> str:
    """A default as the file would state it; `none` stands for None."""
    return _yaml("~/.mlx-serve/models" if isinstance(default, Path) else _plain(default, none))


def _plain(value: Any, none: str) -> Any:
    if value is None:
        return none
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, OneModel):
        return {name: _plain(each, none) for name, each in value.given().items()}
    if isinstance(value, Mapping):
        return {name: _plain(each, none) for name, each in value.items()}
    return value


def _yaml(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return f"[{', '.join(value)}]"
    return json.dumps(value)


if __name__ == "__main__":
    raise SystemExit(main())
