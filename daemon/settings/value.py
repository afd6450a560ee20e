"""One setting: what kind of value it holds, its bounds, and how text becomes that value.

It knows nothing of files, the environment or flags: `config` brings the text and says where it stood.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .duration import seconds_of

LONGEST_PROSE = 1 << 18
MOST_TEXTS = 16
LONGEST_TEXT = 1024
ValueKind = Literal[
    "text",
    "switch",
    "whole",
    "number",
    "size",
    "path",
    "names",
    "map",
    "choice",
    "duration",
    "prose",
    "texts",
    "models",
]
Given = str | int | float | bool | Path | list[str] | tuple[str, ...] | Mapping[str, Any] | None


class ConfigError(Exception):
    """The settings cannot be used; `str()` is one sentence that says where the fault is and what to write instead."""


@dataclass(frozen=True)
class Setting:
    """`auto` allows the word `auto`, or another one given as `none`, which becomes None. Bounds are inclusive;
    `shortest`: characters of each name; `example`: a value as the file states it, where the default is none."""

    kind: ValueKind
    doc: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    unit: str = ""
    auto: bool = False
    secret: bool = False
    shortest: int = 0
    none: str = "auto"
    example: str = ""


def setting(default: Any, kind: ValueKind, doc: str, **bounds: Any) -> Any:
    """A dataclass field that carries its Setting."""
    metadata = {"setting": Setting(kind, doc, **bounds)}
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


_TRUE = frozenset(("true", "yes", "on", "1"))
_FALSE = frozenset(("false", "no", "off", "0"))
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_WANTED: Mapping[ValueKind, str] = {
    "text": "text",
    "switch": "true or false",
    "whole": "a whole number",
    "number": "a number",
    "size": "a number of bytes, or a size such as 8GB or 8GiB",
    "path": "a path",
    "names": "a list",
    "map": "a mapping of names to names",
    "duration": "seconds, or a duration such as 30m or 1h30m",
    "prose": "text",
    "texts": "a list of texts",
    "models": "a mapping of models' names to their settings",
}


def parse(spec: Setting, given: Given) -> Any:
    """The value of one setting. Raises ValueError with the rest of the sentence `<key> must be …`."""
    if spec.auto and (given is None or (isinstance(given, str) and given.strip().lower() == spec.none)):
        return None
    value = _parsers[spec.kind](spec, given)
    if spec.kind in ("whole", "number", "size", "duration"):
        _check_bounds(spec, value)
    return value


def parse_size(text: str) -> int:
    """Bytes of `8GB` (10^9), `8GiB` (2^30) or a plain number. Raises ValueError."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(text)
    number, unit, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** _POWERS[unit.lower()]) if unit else int(float(number))


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The likeliest correction of a mistyped name, if any is close enough."""
    close = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return close[0] if close else None


def wanted(spec: Setting) -> str:
    """What a value must be, in words."""
    unit = f" {spec.unit}" if spec.unit else ""
    text = "one of " + ", ".join(spec.choices) if spec.kind == "choice" else _WANTED[spec.kind]
    if spec.shortest:
        text += f" whose items have at least {spec.shortest} characters each"
    if spec.low is not None and spec.high is not None:
        text += f" between {spec.low:.15g} and {spec.high:.15g}{unit}"
    elif spec.low is not None:
        text += f", {spec.low:.15g}{unit} or more"
    return f"{text}, or {spec.none}" if spec.auto else text


def _wrong(spec: Setting, given: Given) -> ValueError:
    shown = "a secret value" if spec.secret else repr(given)
    return ValueError(f"{wanted(spec)}, not {shown if len(shown) <= 80 else shown[:77] + '…'}")


def _check_bounds(spec: Setting, value: float) -> None:
    if (spec.low is not None and value < spec.low) or (spec.high is not None and value > spec.high):
        raise _wrong(spec, value)


def _text(spec: Setting, given: Given) -> str:
    if not isinstance(given, str) or not given.strip() or not given.isprintable():
        raise _wrong(spec, given)
    return given.strip()


def _switch(spec: Setting, given: Given) -> bool:
    if isinstance(given, bool):
        return given
    word = given.strip().lower() if isinstance(given, str) else ""
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise _wrong(spec, given)


def _whole(spec: Setting, given: Given) -> int:
    if isinstance(given, int) and not isinstance(given, bool):
        return given
    if isinstance(given, str) and re.fullmatch(r"[+-]?[0-9]{1,18}", given.strip()):
        return int(given)
    raise _wrong(spec, given)


def _number(spec: Setting, given: Given) -> float:
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        return given
    if isinstance(given, str) and re.fullmatch(r"[+-]?([0-9]{1,15}(\.[0-9]{0,9})?|\.[0-9]{1,9})", given.strip()):
        return float(given) if "." in given else int(given)
    raise _wrong(spec, given)


def _size(spec: Setting, given: Given) -> int:
    if isinstance(given, int) and not isinstance(given, bool):
        return given
    if isinstance(given, str):
        try:
            return parse_size(given)
        except ValueError:
            raise _wrong(spec, given) from None
    raise _wrong(spec, given)


def _path(spec: Setting, given: Given) -> Path:
    text = str(given) if isinstance(given, Path) else _text(spec, given)
    if "\0" in text:
        raise _wrong(spec, given)
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise ValueError(f"a path that can be found: {text!r} names a home folder that is not known") from None


def _names(spec: Setting, given: Given) -> tuple[str, ...]:
    """A list as it is; one text is split at commas."""
    if isinstance(given, str):
        words = tuple(word.strip() for word in given.split(",") if word.strip())
    elif isinstance(given, (list, tuple)) and all(isinstance(word, str) and word.strip() for word in given):
        words = tuple(word.strip() for word in given)
    else:
        raise _wrong(spec, given)
    for number, word in enumerate(words, 1):
        if len(word) < spec.shortest:
            raise ValueError(f"{wanted(spec)}; item {number} has {len(word)}")
    return words


def _map(spec: Setting, given: Given) -> dict[str, str]:
    """A mapping as it is; one text is `name=other,name=other`."""
    if isinstance(given, str):
        pairs = [part.partition("=") for part in given.split(",") if part.strip()]
        if not all(sign and key.strip() and value.strip() for key, sign, value in pairs):
            raise ValueError(f"name=name pairs separated by commas, not {given!r}")
        return {key.strip(): value.strip() for key, _, value in pairs}
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given.values()):
        raise _wrong(spec, given)
    return dict(given)


def _duration(spec: Setting, given: Given) -> float:
    """Seconds; a plain number is one of those."""
    if isinstance(given, str) and not re.fullmatch(r"[+-]?[0-9.]+", given.strip()):
        try:
            return seconds_of(given.strip())
        except ValueError:
            raise _wrong(spec, given) from None
    return _number(spec, given)


def _prose(spec: Setting, given: Given) -> str:
    """Text of several lines; nothing at all is a text too."""
    if (
        not isinstance(given, str)
        or len(given) > LONGEST_PROSE
        or not given.replace("\n", "").replace("\t", "").isprintable()
    ):
        raise _wrong(spec, given)
    return given


def _texts(spec: Setting, given: Given) -> tuple[str, ...]:
    """Each as it is; one text alone is a list of one."""
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, (list, tuple)) or not all(isinstance(each, str) for each in texts):
        raise _wrong(spec, given)
    if len(texts) > MOST_TEXTS or not all(1 <= len(each) <= LONGEST_TEXT for each in texts):
        raise ValueError(f"at most {MOST_TEXTS} texts of 1 to {LONGEST_TEXT:,} characters")
    return tuple(texts)


def _choice(spec: Setting, given: Given) -> str:
    number = isinstance(given, int) and not isinstance(given, bool)  # as YAML reads some choices
    word = given.strip() if isinstance(given, str) else str(given) if number else ""
    for choice in spec.choices:
        if word.lower() == choice.lower():
            return choice
    raise _wrong(spec, given)


_parsers: Mapping[ValueKind, Callable[[Setting, Given], Any]] = {
    "text": _text,
    "switch": _switch,
    "whole": _whole,
    "number": _number,
    "size": _size,
    "path": _path,
    "names": _names,
    "map": _map,
    "choice": _choice,
    "duration": _duration,
    "prose": _prose,
    "texts": _texts,
}
