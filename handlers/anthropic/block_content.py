"""What blocks of text, pictures, documents and search results say to a model: text, or parts of text and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from ..decode import unsupported
from ..failure import RequestError
from ..pictures.request_pictures import RequestPictures
from .blocks import Block, Citations, Source

Content: TypeAlias = str | list[dict[str, Any]]
Placed: TypeAlias = tuple[str, Block]
"""A block, and what it is called in the request."""

BETWEEN = "\n\n"
"""Blocks are paragraphs of their own; an assistant's are the pieces of one text."""

_SAYING = ("text", "image", "document", "search_result")


def placed(blocks: Sequence[Block], where: str) -> list[Placed]:
    return [(f"{where}[{index}]", block) for index, block in enumerate(blocks)]


def said(given: str | list[Block], where: str, pictures: RequestPictures | None) -> Content:
    """Text, or parts as chat templates expect them where there are pictures; `pictures` None: there may be none here.
    Raises RequestError naming the block."""
    if isinstance(given, str):
        return given
    return content(placed(given, where), pictures)


def content(blocks: Sequence[Placed], pictures: RequestPictures | None) -> Content:
    """As `said`."""
    parts: list[dict[str, Any]] = []
    for where, block in blocks:
        for part in _parts(where, block, pictures):
            add(parts, part)
    return plain(parts)


def plain(parts: list[dict[str, Any]]) -> Content:
    """The parts as one text where there are no pictures among them."""
    if any(part["type"] != "text" for part in parts):
        return parts
    return "".join(part["text"] for part in parts)


def add(parts: list[dict[str, Any]], part: dict[str, Any]) -> None:
    """Neighbouring texts are one."""
    if part["type"] == "text" and parts and parts[-1]["type"] == "text":
        parts[-1] = {"type": "text", "text": parts[-1]["text"] + BETWEEN + part["text"]}
    else:
        parts.append(part)


def joined(first: Content, second: Content) -> Content:
    """Two contents of one role as one."""
    parts: list[dict[str, Any]] = []
    for each in (first, second):
        for part in [{"type": "text", "text": each}] if isinstance(each, str) else each:
            if part["type"] != "text" or part["text"]:
                add(parts, part)
    return plain(parts)


def text_of(where: str, block: Block) -> str:
    """Raises RequestError."""
    if block.text is None:
        raise _missing(f"{where}.text")
    return block.text


def _parts(where: str, block: Block, pictures: RequestPictures | None) -> list[dict[str, Any]]:
    if block.type == "text":
        text = text_of(where, block)
        return [{"type": "text", "text": text}] if text else []
    if block.type not in _SAYING:
        raise unsupported(f"{where}.type", f"blocks of type '{block.type[:64]}' cannot be read here")
    if block.type == "image":
        return [_picture(where, block, pictures)]
    if isinstance(block.citations, Citations) and block.citations.enabled:
        raise unsupported(f"{where}.citations", "answers cite nothing")
    if block.type == "search_result":
        return _search_result(where, block)
    return _document(where, block, pictures)


def _source(where: str, block: Block) -> Source:
    if isinstance(block.source, str):
        raise RequestError(
            f"invalid value for '{where}.source': expected an object", param=f"{where}.source", code="invalid_value"
        )
    if block.source is None:
        raise _missing(f"{where}.source")
    return block.source


def _picture(where: str, block: Block, pictures: RequestPictures | None) -> dict[str, Any]:
    if pictures is None:
        raise unsupported(f"{where}.type", "pictures may be in messages of the user and in results of tools")
    source, param = _source(where, block), f"{where}.source"
    if source.type == "url":
        if source.url is None:
            raise _missing(f"{param}.url")
        return pictures.add_url(source.url, f"{param}.url")
    if source.type != "base64":
        raise unsupported(f"{param}.type", "pictures come as 'base64' or 'url'")
    if source.data is None:
        raise _missing(f"{param}.data")
    if source.media_type is not None and not source.media_type.startswith("image/"):
        raise unsupported(f"{param}.media_type", "a picture's begins with 'image/'")
    return pictures.add_base64(source.data, f"{param}.data")


def _search_result(where: str, block: Block) -> list[dict[str, Any]]:
    if not isinstance(block.source, str):
        raise _missing(f"{where}.source")
    found = said(block.content or "", f"{where}.content", None)
    return _titled("search_result", (("source", block.source), ("title", block.title)), found)


def _document(where: str, block: Block, pictures: RequestPictures | None) -> list[dict[str, Any]]:
    source, param = _source(where, block), f"{where}.source"
    about = (("title", block.title), ("context", block.context))
    if source.type == "text":
        if source.data is None:
            raise _missing(f"{param}.data")
        return _titled("document", about, source.data)
    if source.type == "content":
        if source.content is None:
            raise _missing(f"{param}.content")
        return _titled("document", about, said(source.content, f"{param}.content", pictures))
    if source.type in ("base64", "url"):
        raise unsupported(f"{param}.type", "PDF documents are not read; send their text as {'type': 'text'}")
    raise unsupported(f"{param}.type", "documents come as 'text' or 'content'")


def _titled(
    kind: Literal["document", "search_result"], about: tuple[tuple[str, str | None], ...], inside: Content
) -> list[dict[str, Any]]:
    """In the elements that Anthropic's guide to long prompts puts around documents."""
    head = "".join(f"<{name}>{value}</{name}>\n" for name, value in about if value)
    begin, end = f"<{kind}>\n{head}<{kind}_content>\n", f"\n</{kind}_content>\n</{kind}>"
    if isinstance(inside, str):
        return [{"type": "text", "text": begin + inside + end}]
    return [{"type": "text", "text": begin}, *inside, {"type": "text", "text": end}]


def _missing(param: str) -> RequestError:
    return RequestError(f"missing required field '{param}'", param=param, code="missing_field")
