"""The events of a streamed response, each checked against the models of OpenAI's own package."""

from __future__ import annotations

import json
from typing import Any

from openai._models import construct_type
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
OURS = ("context_length_exceeded",)
"""Codes of failed responses that clients look for, though OpenAI's package does not list them."""


def checked(document: dict[str, Any]) -> dict[str, Any]:
    """A response that fits OpenAI's model of it."""
    Response.model_validate(_listed(document))
    return document


def events(text: str) -> list[dict[str, Any]]:
    """The events of a stream: each has its name in front, fits its model, and they are numbered from 0."""
    found = []
    for record in text.split("\n\n"):
        if not record:
            continue
        name, data = record.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}" and data.startswith("data: ")
        found.append(event)
    check(found)
    return found


def check(found: list[dict[str, Any]]) -> None:
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    for event in found:
        shown = event | {"response": _listed(event["response"])} if "response" in event else event
        _EVENT.validate_python(shown)
        assert construct_type(value=event, type_=ResponseStreamEvent)


def _listed(response: dict[str, Any]) -> dict[str, Any]:
    error = response.get("error")
    if error and error["code"] in OURS:
        return response | {"error": error | {"code": "server_error"}}
    return response


def kinds(found: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in found]
