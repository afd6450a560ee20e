"""What the control API is sent: the bodies of its requests, and how they are read."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import msgspec
from sanic.request import Request

from ...daemon.protocol import Kind

Mode = Literal["affine", "mxfp4", "nvfp4", "mxfp8"]


class RequestBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request's body. Unknown fields are refused, because command and daemon come from one package."""


class PullBody(RequestBody, frozen=True):
    source: str
    type: Kind | None = None
    name: str | None = None
    revision: str | None = None
    quantize: int | None = None
    mode: Mode | None = None
    group_size: int | None = None
    keep_source: bool = False
    token: str | None = None


class QuantizeBody(RequestBody, frozen=True):
    """`target`: the result's name; None: the model's name with the precision as a suffix."""

    name: str
    bits: int | None = None
    mode: Mode | None = None
    group_size: int | None = None
    target: str | None = None


class CopyBody(RequestBody, frozen=True):
    source: str
    destination: str


class LoadBody(RequestBody, frozen=True):
    name: str
    keep_alive: float | None = None


class NameBody(RequestBody, frozen=True):
    name: str


class VerifyBody(RequestBody, frozen=True):
    name: str | None = None


class GcBody(RequestBody, frozen=True):
    dry_run: bool = False


class ShutdownBody(RequestBody, frozen=True):
    force: bool = False


B = TypeVar("B", bound=RequestBody)
_decoders: dict[type[RequestBody], msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind) for kind in RequestBody.__subclasses__()
}


class InvalidBody(Exception):
    """The body is not JSON or not of the route's type; `str()` names the field."""


def parse(request: Request, kind: type[B]) -> B:
    """The typed body; an empty one means all defaults. Raises InvalidBody."""
    try:
        body: B = _decoders[kind].decode(request.body or b"{}")
        return body
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidBody(f"the request body is not valid: {error}") from error
