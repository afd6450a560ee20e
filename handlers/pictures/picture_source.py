"""Where a picture of a request comes from: its file in the request itself, or a URL."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..failure import RequestError

Detail: TypeAlias = Literal["low", "high"] | None
WAYS = "use an http://, https:// or data: URL"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,31}):")
_HEADER_LENGTH = 1024
_BLANKS = " \t\r\n\f"


@dataclass(frozen=True)
class Inline:
    """The file, encoded, in `text` from `start` on: as base64, or percent-encoded. `param` names the field."""

    text: str
    start: int
    base64: bool
    param: str
    detail: Detail = None

    @property
    def size(self) -> int:
        """Bytes of the file, about."""
        length = len(self.text) - self.start
        return length * 3 // 4 if self.base64 else length


@dataclass(frozen=True)
class Remote:
    """A URL that has to be fetched."""

    url: str
    param: str
    detail: Detail = None


PictureSource: TypeAlias = Inline | Remote


def of_url(text: str, param: str, detail: Detail = None) -> PictureSource:
    """A data:, http: or https: URL. Raises RequestError."""
    text = text.strip(_BLANKS)
    if not text:
        raise invalid(param, f"it is empty; {WAYS}")
    found = _SCHEME.match(text)
    if found is None:
        raise invalid(param, f"it is not a URL; {WAYS}")
    scheme = found[1].lower()
    if scheme in ("http", "https"):
        return Remote(text, param, detail)
    if scheme == "data":
        return _of_data_url(text, param, detail)
    raise invalid(param, f"{scheme}: URLs are not supported; {WAYS}")


def of_base64(text: str, param: str) -> PictureSource:
    """Base64, alone or in a data: URL. Raises RequestError."""
    if not text:
        raise invalid(param, "it is empty; send a picture's file in base64")
    if text[:5].lower() == "data:":
        return _of_data_url(text, param, None)
    if text[:8].lower().startswith(("http://", "https://")):
        raise invalid(param, "URLs are not fetched here; send the picture's file in base64")
    return Inline(text, 0, True, param)


def invalid(param: str, why: str) -> RequestError:
    return RequestError(f"invalid value for '{param}': {why}", param=param, code="invalid_value")


def _of_data_url(text: str, param: str, detail: Detail) -> Inline:
    """RFC 2397: data:[<media type>][;<name>=<value>]…[;base64],<data>."""
    comma = text.find(",", 0, _HEADER_LENGTH)
    if comma < 0:
        raise invalid(param, "it is not a valid data: URL; it looks like data:image/png;base64,iVBORw0…")
    media_type, *parameters = text[5:comma].split(";")
    if not media_type.strip().lower().startswith("image/"):
        raise invalid(param, "its media type is not a picture's; a data: URL begins like data:image/png;base64,")
    base64 = any(each.strip().lower() == "base64" for each in parameters)
    return Inline(text, comma + 1, base64, param, detail)
