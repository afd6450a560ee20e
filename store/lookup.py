"""Look-up of a name that a user typed (exact, then a name that this user gave, then alias, then short name), and how
installed models are called in listings: by the shortest name that finds them again."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from .aliases import ALIASES
from .errors import AmbiguousName, InvalidName, UnknownModel
from .names import BUILTIN_OWNER, DEFAULT_TAG, LOCAL_OWNER, Name, is_full

_HOST = re.compile(r"(?:https?://)?(?:registry\.ollama\.ai/library|hf\.co|huggingface\.co)/", re.IGNORECASE)

_HUB = re.compile(r"(?:https?://)?(?:hf\.co|huggingface\.co)/", re.IGNORECASE)


def without_host(text: str) -> str:
    """A name without the host that Ollama's clients may put before it: all models are of one store here."""
    return _HOST.sub("", text, count=1) if _HOST.match(text) else text


def on_hub(text: str) -> bool:
    """Whether a name says that its model is on the hub."""
    return _HUB.match(text) is not None


def look_up(text: str, names: Sequence[Name], aliases: Mapping[str, str]) -> Name:
    """`names` are the installed ones, `aliases` are keyed by lower-case text.

    Raises InvalidName, UnknownModel, AmbiguousName.
    """
    text = without_host(text)
    alias = alias_of(text, aliases)
    try:
        found = _exact(text, names)
        if found is None and (alias is None or alias == alias_of(text, ALIASES)):
            # What came with the program does not hide a name that the user gave; the user's own alias does.
            found = _own(text, names)
    except InvalidName:
        if alias is None:
            raise
        found = None
    if found is None and alias is not None:
        found = _exact(alias, names) or _short(alias, names)
    if found is None:
        found = _short(text, names)
    if found is None:
        raise UnknownModel(text, _near(text, names, aliases), hint="`mlx-serve list` shows what is installed")
    return found


def alias_of(text: str, aliases: Mapping[str, str]) -> str | None:
    """What an alias stands for. Ollama's clients add `:latest` to a name without a tag."""
    wanted = text.lower()
    return aliases.get(wanted) or aliases.get(wanted.removesuffix(f":{DEFAULT_TAG}"))


def spelled(names: Sequence[Name], aliases: Mapping[str, str]) -> dict[Name, str]:
    """How listings call each of these names: our own owners are left out wherever the rest finds the same model."""
    same = Counter(name.key[1:] for name in names)
    result: dict[Name, str] = {}
    for name in names:
        short = name.owner.lower() in (LOCAL_OWNER, BUILTIN_OWNER)
        if short and alias_of(name.short, aliases) is None:
            short = same[name.key[1:]] == 1
        elif short:
            short = _finds(name, names, aliases)
        result[name] = name.short if short else name.display()
    return result


def _finds(name: Name, names: Sequence[Name], aliases: Mapping[str, str]) -> bool:
    try:
        return look_up(name.short, names, aliases) == name
    except (UnknownModel, AmbiguousName):
        return False


def _own(text: str, names: Sequence[Name]) -> Name | None:
    """The model that was pulled, copied or created by just this name; another one of the same short name makes it
    ambiguous."""
    if is_full(text) or Name.parse(text) not in names:
        return None
    return _short(text, names)


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


def _near(text: str, names: Sequence[Name], aliases: Mapping[str, str]) -> list[str]:
    """As listings call them."""
    from difflib import get_close_matches  # only needed for the error

    called = spelled(names, aliases)
    shown = {form.lower(): called[name] for name in names for form in (name.display(), name.short, str(name))}
    close = get_close_matches(text.lower(), shown, n=6, cutoff=0.6)
    return list(dict.fromkeys(shown[form] for form in close))[:3]
