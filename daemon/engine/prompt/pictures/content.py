"""Messages in the form that a chat template reads: content as text, or as a list of parts.

Some templates of models that see know one of the two only, and would leave out the other without a word, so each is
asked once with a message of which the answer is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_PROBE = "probe of the content"
Message = dict[str, Any]


@dataclass(frozen=True)
class Forms:
    """Whether a template shows content that is text, and parts with pictures among them."""

    text: bool
    parts: bool


def forms(render: Callable[[list[Message]], str], mark: str) -> Forms:
    """`render` gives what the template makes of messages. `mark` is what it writes for a picture."""

    def shown(content: Any) -> str:
        try:
            return render([{"role": "user", "content": content}])
        except MemoryError:
            raise
        except Exception:  # a template may refuse a form in any way
            return ""

    parts = shown([{"type": "image"}, {"type": "text", "text": _PROBE}])
    return Forms(
        text=_PROBE in shown(_PROBE),
        parts=_PROBE in parts and parts.count(mark) == 1 and "'type'" not in parts and '"type"' not in parts,
    )


def adapted(messages: list[Message], forms: Forms, mark: str) -> list[Message]:
    """Where a template knows no parts, the mark itself stands in the text for a picture, on a line of its own."""
    return [
        message | {"content": _content(message["content"], forms, mark)} if "content" in message else message
        for message in messages
    ]


def _content(content: Any, forms: Forms, mark: str) -> Any:
    if isinstance(content, str) and not forms.text and forms.parts:
        return [{"type": "text", "text": content}]
    if isinstance(content, list) and not forms.parts:
        pieces = [f"{mark}\n" if part.get("type") == "image" else str(part.get("text", "")) for part in content]
        return "".join(pieces)
    return content
