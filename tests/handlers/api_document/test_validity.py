"""The OpenAPI document keeps to the specification's own schema."""

from __future__ import annotations

import msgspec
import pytest
import schemathesis

from mlx_serve.handlers.api_document.document import build
from mlx_serve.handlers.routes import ROUTES, label


def test_it_is_a_valid_document_of_openapi_3_1() -> None:
    """Which the same document with a response that has no description is not."""
    document = msgspec.json.decode(msgspec.json.encode(build([(label(path), ms) for path, ms, _ in ROUTES], "1.2.3")))
    schemathesis.openapi.from_dict(document).validate()
    del document["paths"]["/v1/models"]["get"]["responses"]["200"]["description"]
    with pytest.raises(Exception, match="description"):
        schemathesis.openapi.from_dict(document).validate()
