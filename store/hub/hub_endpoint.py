"""Which hub is used and with which token: HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE, and the files of the `hf` command."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ..disk.filesystem import read_regular
from ..errors import SourceError

DEFAULT_URL = "https://huggingface.co"

_TRUE = {"1", "ON", "YES", "TRUE"}
_PORTS = {"http": 80, "https": 443}
_TOKEN_FORM = re.compile(r"[\x21-\x7e]{1,4096}")
_TOKEN_FILE_LIMIT = 64 << 10


@dataclass(frozen=True)
class HubEndpoint:
    """`url` has no trailing slash. The token is sent to this host only and never shown."""

    url: str
    token: str | None = field(default=None, repr=False)
    offline: bool = False

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ, token: str | None = None) -> HubEndpoint:
        """`token`, when given, takes precedence over the environment's. Raises SourceError."""
        url = _checked_url(environ.get("HF_ENDPOINT", "").strip() or DEFAULT_URL)
        offline = environ.get("HF_HUB_OFFLINE") or environ.get("TRANSFORMERS_OFFLINE")
        return cls(url, _checked_token(token, "the token") or _token(environ), _is_true(offline))

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: the only place that the token is sent to."""
        return origin(self.url)


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a URL. Raises ValueError."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)


def home(environ: Mapping[str, str]) -> Path:
    """The folder in which the hub's own tools keep token and cache."""
    if found := environ.get("HF_HOME"):
        return _expanded(found, environ)
    above = environ.get("XDG_CACHE_HOME")
    return (_expanded(above, environ) if above else _user(environ) / ".cache") / "huggingface"


def cache_folder(environ: Mapping[str, str]) -> Path:
    """The hub's own cache of repositories."""
    found = environ.get("HF_HUB_CACHE") or environ.get("HUGGINGFACE_HUB_CACHE")
    return _expanded(found, environ) if found else home(environ) / "hub"


def _token(environ: Mapping[str, str]) -> str | None:
    if _is_true(environ.get("HF_HUB_DISABLE_IMPLICIT_TOKEN")):
        return None
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if found := _checked_token(environ.get(variable), variable):
            return found
    stated = environ.get("HF_TOKEN_PATH")
    path = _expanded(stated, environ) if stated else home(environ) / "token"
    try:
        content = read_regular(path, _TOKEN_FILE_LIMIT, follow=True)
    except OSError:
        return None
    return _checked_token(content.decode("utf-8", "replace"), str(path))


def _checked_token(token: str | None, where: str) -> str | None:
    token = (token or "").strip()
    if not token:
        return None
    if _TOKEN_FORM.fullmatch(token) is None:
        raise SourceError(f"{where} is not a valid hub token; a token is one word, like hf_…")
    return token


def _checked_url(url: str) -> str:
    try:
        scheme, host, _ = origin(url)
        parts = urlsplit(url)
    except ValueError as error:
        raise _invalid_url(url) from error
    plain = url.isascii() and url.isprintable() and " " not in url and "\\" not in url
    if not plain or scheme not in _PORTS or not host or "@" in parts.netloc or parts.query or parts.fragment:
        raise _invalid_url(url)
    return url.rstrip("/")


def _invalid_url(url: str) -> SourceError:
    # The part before an @ may be a password.
    shown = re.sub(r"//[^/]*@", "//…@", url)[:100]
    return SourceError(f"HF_ENDPOINT is {shown!r}, which is not a valid URL", hint=f"the default is {DEFAULT_URL}")


def _is_true(value: str | None) -> bool:
    return (value or "").upper() in _TRUE


def _expanded(path: str, environ: Mapping[str, str]) -> Path:
    variables = re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda match: environ.get(match[1] or match[2], match[0]), path)
    if variables == "~" or variables.startswith("~/"):
        return _user(environ) / variables[2:]
    return Path(variables)


def _user(environ: Mapping[str, str]) -> Path:
    return Path(environ["HOME"]) if environ.get("HOME") else Path.home()
