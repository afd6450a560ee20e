"""What a message of OpenAI's says: text, or parts of text and pictures."""

from __future__ import annotations

from typing import Any, Literal

from ..decode import unsupported
from ..failure import RequestError
from ..pictures.request_pictures import SEEING_ROLES, RequestPictures
from .bodies import Detail, ImageURL, Message, Part

_TEXTS = ("text", "input_text", "refusal")
_IMAGES = ("image_url", "input_image")


def content(message: Message, where: str, pictures: RequestPictures) -> str | list[dict[str, Any]]:
    """Text; where there are pictures, parts as chat templates expect them. Raises RequestError naming the field."""
    given = message.content
    if given is None:
        if message.role == "assistant" and (message.tool_calls or message.refusal):
            return message.refusal or ""
        raise _missing(f"{where}.content")
    if isinstance(given, str):
        return given
    if not any(part.type in _IMAGES for part in given):
        return "".join(_text(part, f"{where}.content[{index}]") for index, part in enumerate(given))
    parts: list[dict[str, Any]] = []
    for index, part in enumerate(given):
        param = f"{where}.content[{index}]"
        if part.type in _IMAGES:
            parts.append(_picture(part, param, message.role, pictures))
        else:
            _add_text(parts, _text(part, param))
    return parts


def _add_text(parts: list[dict[str, Any]], text: str) -> None:
    """Neighbouring texts are one, as they are where there are no pictures."""
    if parts and parts[-1]["type"] == "text":
        parts[-1]["text"] += text
    elif text:
        parts.append({"type": "text", "text": text})


def _text(part: Part, where: str) -> str:
    if part.type not in _TEXTS:
        raise unsupported(f"{where}.type", "parts are of type text or image_url")
    text = part.refusal if part.type == "refusal" else part.text
    if text is None:
        raise _missing(f"{where}.text")
    return text


def _picture(part: Part, where: str, role: str, pictures: RequestPictures) -> dict[str, Any]:
    if role not in SEEING_ROLES:
        raise unsupported(f"{where}.type", f"pictures may be in messages of the roles user and tool, not {role}")
    image = part.image_url
    if image is None:
        raise _missing(f"{where}.image_url")
    if isinstance(image, ImageURL):
        return pictures.add_url(image.url, f"{where}.image_url.url", _closeness(image.detail or part.detail))
    return pictures.add_url(image, f"{where}.image_url", _closeness(part.detail))


def _closeness(detail: Detail | None) -> Literal["low", "high"] | None:
    return None if detail == "auto" else detail


def _missing(param: str) -> RequestError:
    return RequestError(f"missing required field '{param}'", param=param, code="missing_field")
