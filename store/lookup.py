"""Look-up of a name that a user typed: exact, then alias, then short name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .errors import AmbiguousName, InvalidName, UnknownModel
from .names import Name, is_full


def look_up(text: str, names: Sequence[Name], aliases: Mapping[str, str]) -> Name:
    """`names` are the installed ones, `aliases` are keyed by lower-case text.

    Raises InvalidName, UnknownModel, AmbiguousName.
    """
    alias = aliases.get(text.lower())
    try:
        found = _exact(text, names)
    except InvalidName:
        if alias is None:
            raise
        found = None
    if found is None and alias is not None:
        found = _exact(alias, names) or _short(alias, names)
    if found is None:
        found = _short(text, names)
    if found is None:
        raise UnknownModel(text, _near(text, names), hint="`mlx-serve list` shows what is installed")
    return found


def _exact(text: str, names: Sequence[Name]) -> Name | None:
    wanted = Name.parse(text)
    if not is_full(text):
        return None
    return next((name for name in names if name == wanted), None)


def _short(text: str, names: Sequence[Name]) -> Name | None:
    try:
        wanted = Name.parse(text)
    except InvalidName:
        return None
    if is_full(text):
        return None
    same = [name for name in names if name.key[1:] == wanted.key[1:]]
    if len(same) > 1:
        raise AmbiguousName(text, sorted(name.display() for name in same))
    return same[0] if same else None


def _near(text: str, names: Sequence[Name]) -> list[str]:
    from difflib import get_close_matches  # only needed for the error

    shown = {form.lower(): name.display() for name in names for form in (name.display(), name.short, str(name))}
    close = get_close_matches(text.lower(), shown, n=6, cutoff=0.6)
    return list(dict.fromkeys(shown[form] for form in close))[:3]
