"""Which of a model's own prompts stands before a text."""

from __future__ import annotations

from collections.abc import Mapping

_QUERY = ("query", "search_query", "retrieval_query", "retrieval.query")
_DOCUMENT = ("document", "passage", "search_document", "retrieval_document", "retrieval.passage", "corpus")


def prompt_before(
    prompts: Mapping[str, str], default: str | None, name: str | None = None, kind: str | None = None
) -> str:
    """By its name, by the kind of input (`query`, `document` and the other words for them), or the default one.

    A query or a document of a model that has no prompt for it has none. Raises KeyError, with a sentence.
    """
    if name is not None:
        if name not in prompts:
            raise KeyError(f"the model has no prompt of that name; it has {_names(prompts)}")
        return prompts[name]
    if kind is None:
        return prompts.get(default or "", "")
    wanted = kind.lower()
    alike = next((names for names in (_QUERY, _DOCUMENT) if wanted in names), None)
    by_name = {own.lower(): text for own, text in prompts.items()}
    for candidate in (wanted, *(alike or ())):
        if candidate in by_name:
            return by_name[candidate]
    if alike is None:
        raise KeyError(f"the model knows no input of that type; it has prompts for {_names(prompts)}")
    return ""


def _names(prompts: Mapping[str, str]) -> str:
    return ", ".join(sorted(prompts)) or "none"
