"""Names of models: `owner/model:tag`, ASCII, compared without case."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import InvalidName

LOCAL_OWNER = "local"
BUILTIN_OWNER = "mlx-serve"
DEFAULT_TAG = "latest"

_PART = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,79}"
_NAME = re.compile(rf"(?:(?P<owner>{_PART})/)?(?P<model>{_PART})(?::(?P<tag>{_TAG}))?")
_SHOWN = 100


@dataclass(frozen=True, eq=False)
class Name:
    """A full name. The spelling is kept; two names that differ only in case are equal."""

    owner: str
    model: str
    tag: str = DEFAULT_TAG

    def __post_init__(self) -> None:
        _parts(f"{self.owner}/{self.model}:{self.tag}")

    @classmethod
    def parse(cls, text: str, *, default_owner: str = LOCAL_OWNER) -> Name:
        """`owner/model:tag`, where owner and tag may be absent. Raises InvalidName."""
        owner, model, tag = _parts(text)
        return cls(owner or default_owner, model, tag or DEFAULT_TAG)

    @property
    def key(self) -> tuple[str, str, str]:
        """What equality compares."""
        return (self.owner.lower(), self.model.lower(), self.tag.lower())

    @property
    def short(self) -> str:
        """The name without its owner, as `display` would show it."""
        return self.model if self.tag.lower() == DEFAULT_TAG else f"{self.model}:{self.tag}"

    def display(self) -> str:
        """The shortest full name: the tag is left out when it is `latest`."""
        return f"{self.owner}/{self.short}"

    def __str__(self) -> str:
        return f"{self.owner}/{self.model}:{self.tag}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Name) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def is_full(text: str) -> bool:
    """Whether a text is a valid name with an owner."""
    match = _NAME.fullmatch(text)
    return match is not None and match["owner"] is not None and ".." not in text


def clean(text: str) -> str:
    """A valid model part made from any text, such as a folder's name."""
    kept = re.sub(r"[^A-Za-z0-9._-]+", "-", text)
    kept = re.sub(r"\.{2,}", ".", kept)
    kept = re.sub(r"^[^A-Za-z0-9_]+", "", kept)[:96].rstrip(".-")
    return kept or "model"


def _parts(text: str) -> tuple[str | None, str, str | None]:
    match = _NAME.fullmatch(text)
    if match is None or ".." in text:
        shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
        raise InvalidName(
            f"{shown!r} is not a valid model name",
            hint="write model, owner/model or owner/model:tag, with letters, digits, '.', '_' and '-'",
        )
    return match["owner"], match["model"], match["tag"]
