"""The models that come with the program."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..disk.manifests import Kind
from ..errors import UnknownModel
from ..names import BUILTIN_OWNER, Name

_SHIPPED = Path(__file__).parents[1] / "builtins"


@dataclass(frozen=True)
class Builtin:
    """`created` (RFC 3339) is when its files were made, so that its manifest is the same everywhere."""

    name: str
    kind: Kind
    description: str
    created: str

    @property
    def full_name(self) -> Name:
        return Name(BUILTIN_OWNER, self.name)

    @property
    def folder(self) -> Path:
        """Where the package keeps the model's files."""
        return _SHIPPED / self.name


BUILTINS: dict[str, Builtin] = {
    "starter": Builtin(
        "starter",
        "llm",
        "a Qwen3 of 8 million parameters, trained on synthetic text, for trying and testing",
        "2026-11-28T16:38:00Z",
    ),
    "starter-vl": Builtin(
        "starter-vl",
        "vlm",
        "a Qwen3-VL of 5.7 million parameters, trained on drawings of shapes and digits, for trying and testing",
        "2026-11-22T20:00:00Z",
    ),
    "starter-embed": Builtin(
        "starter-embed",
        "embedding",
        "a Qwen3 of 2.5 million parameters made as Qwen3-Embedding, trained on synthetic English text, for trying and "
        "testing",
        "2026-11-22T20:06:00Z",
    ),
    "starter-rerank": Builtin(
        "starter-rerank",
        "reranker",
        "a Qwen3 of 2.4 million parameters made as Qwen3-Reranker, trained on synthetic English text, for trying and "
        "testing",
        "2026-11-28T16:38:00Z",
    ),
}


def find_builtin(text: str) -> Builtin | None:
    """`starter` or `mlx-serve/starter`, in any case."""
    wanted = text.lower().removeprefix(f"{BUILTIN_OWNER}/").removesuffix(":latest")
    return BUILTINS.get(wanted)


def builtin(text: str) -> Builtin:
    """Raises UnknownModel."""
    found = find_builtin(text)
    if found is None:
        raise UnknownModel(text, hint=f"the built-in models are {', '.join(BUILTINS)}")
    return found
