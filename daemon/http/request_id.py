"""The id of a request: the client's own where it is sane, else a random one. It is in every answer and in the log."""

from __future__ import annotations

import re
import secrets

_SANE = re.compile(r"[\w.-]{1,64}", re.ASCII)


def accepted_id(given: str) -> str:
    """What the client sent as `X-Request-ID`, where a log and a terminal can bear it."""
    return given if _SANE.fullmatch(given) else new_id()


def new_id() -> str:
    """Sixteen hexadecimal digits."""
    return secrets.token_hex(8)
