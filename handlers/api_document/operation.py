"""What the OpenAPI document and docs/compatibility.md say of one endpoint, as values. Knows no endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import msgspec

from ..decode import Fields

Family: TypeAlias = Literal["OpenAI", "Anthropic", "Ollama", "Jina", "Tokens", "Operation"]
Schema: TypeAlias = dict[str, Any]

JSON = "application/json"
SSE = "text/event-stream"
NDJSON = "application/x-ndjson"
TEXT = "text/plain"
HTML = "text/html"
BYTES = "application/octet-stream"


@dataclass(frozen=True)
class Body:
    """The JSON of one endpoint's requests.

    `fields` says what becomes of those that are not served as their API has them. `inner` has the bodies of lists and
    objects in it by the field that holds them. `about`: what no other API's documentation says. `name`: of its schema,
    for a struct that several endpoints decode with tables of their own. `required`: fields that the type lets be absent
    and the endpoint does not. `shapes`: JSON Schema of fields, for those whose type says less than is checked.
    `example`: a request that works where its models are installed.
    """

    struct: type[msgspec.Struct]
    fields: Fields = field(default_factory=dict)
    about: str = ""
    inner: Mapping[str, Body] = field(default_factory=dict)
    name: str = ""
    required: tuple[str, ...] = ()
    shapes: Mapping[str, Schema] = field(default_factory=dict)
    example: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """An answer that is no error. `type` is that of the JSON document, or of one record of a stream; None: no JSON.
    `methods`: of those only."""

    about: str
    type: Any = None
    media: str = JSON
    status: int = 200
    methods: tuple[str, ...] = ()


@dataclass(frozen=True)
class Parameter:
    """A part of the path."""

    name: str
    about: str
    schema: Schema = field(default_factory=lambda: {"type": "string"})


@dataclass(frozen=True)
class Query(Parameter):
    """What may stand after the path's `?`."""


OF_EVERY_REQUEST = (400, 401, 403, 408, 429, 500, 503)
OF_A_BODY = (413, 415)
OF_A_MODEL = (404, 504)
OF_THE_HUB = (404, 502, 507)


@dataclass(frozen=True)
class Operation:
    """One endpoint. `errors` are statuses beside those of every request and, where there is a body, of every body.
    `uploads`: its body is no JSON; `bodiless`: it takes none, although its method could have one. `open`: it needs no
    API key. `notice`: X-MLX-Serve-Notice may be in its answer. `schemas`: what the names of its schemas begin with,
    unless that is the family's name."""

    family: Family
    summary: str
    answers: tuple[Answer, ...]
    body: Body | None = None
    about: str = ""
    errors: tuple[int, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    queries: tuple[Query, ...] = ()
    uploads: bool = False
    bodiless: bool = False
    open: bool = False
    notice: bool = False
    schemas: str = ""

    @property
    def prefix(self) -> str:
        return self.schemas or self.family.lower()
