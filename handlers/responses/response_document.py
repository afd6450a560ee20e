"""The response: one document, at its beginning, at its end, and as it is kept."""

from __future__ import annotations

import secrets
import time
from typing import Any, Literal

import msgspec

from ...daemon.protocol import Accepted, Finished
from ..error_bodies import openai_message
from ..failure import Failure
from .bodies import ResponseBody
from .refusals import echoed

_STATUS = {"stop": "completed", "tool_calls": "completed", "length": "incomplete"}
_IMAGE_CODES = {"invalid_image", "invalid_image_url"}


class ResponseDocument:
    """`head` is what stays as it is. Raises RequestError for what cannot be echoed."""

    def __init__(self, body: ResponseBody) -> None:
        self.id = f"resp_{secrets.token_hex(24)}"
        self._created = int(time.time())
        text: dict[str, Any] = {"format": {"type": "text"}} | _given(echoed(body.text or {}, "text"))
        self._head: dict[str, Any] = {
            "id": self.id,
            "object": "response",
            "created_at": self._created,
            "background": False,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "max_tool_calls": body.max_tool_calls,
            "metadata": body.metadata or {},
            "model": body.model,
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "previous_response_id": body.previous_response_id,
            "prompt_cache_key": body.prompt_cache_key,
            "prompt_cache_retention": body.prompt_cache_retention,
            "reasoning": _reasoning(body),
            "safety_identifier": body.safety_identifier,
            "service_tier": body.service_tier or "default",
            "store": body.store is not False,
            "temperature": getattr(body, "temperature", None),
            "text": text,
            "tool_choice": echoed(body.tool_choice, "tool_choice") or "auto",
            "tools": [_tool(echoed(tool, f"tools[{index}]")) for index, tool in enumerate(body.tools or ())],
            "top_logprobs": body.top_logprobs or 0,
            "top_p": getattr(body, "top_p", None),
            "truncation": body.truncation or "disabled",
            "user": body.user,
        }

    def begun(self) -> dict[str, Any]:
        return self.so_far("in_progress", [])

    def so_far(self, status: Literal["in_progress", "cancelled"], output: list[dict[str, Any]]) -> dict[str, Any]:
        """Before its end: `output` are the items that are whole."""
        return self._at(status, output)

    def ended(self, output: list[dict[str, Any]], end: Finished, accepted: Accepted) -> dict[str, Any]:
        status, prompt_tokens = _STATUS[end.reason], accepted.prompt_tokens
        usage = {
            "input_tokens": prompt_tokens,
            "input_tokens_details": {"cached_tokens": min(prompt_tokens, end.cached_tokens), "cache_write_tokens": 0},
            "output_tokens": end.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": end.reasoning_tokens},
            "total_tokens": prompt_tokens + end.completion_tokens,
        }
        more: dict[str, Any] = {"usage": usage}
        if status == "completed":
            more["completed_at"] = int(time.time())
        else:
            more["incomplete_details"] = {"reason": "max_output_tokens"}
        if accepted.truncated:
            more["prompt_truncated"] = True  # our own field, as in Ollama's answers
        return self._at(status, output) | more

    def failed(self, output: list[dict[str, Any]], failure: Failure) -> dict[str, Any]:
        error = {"code": error_code(failure), "message": openai_message(failure), "param": failure.param}
        return self._at("cancelled" if failure.code == "cancelled_by_client" else "failed", output) | {"error": error}

    def _at(self, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
        return self._head | {
            "status": status,
            "completed_at": None,
            "error": None,
            "incomplete_details": None,
            "output": output,
            "usage": None,
        }


def error_code(failure: Failure) -> str:
    """Of the codes that a failed response may have, and clients know: they ask again after all but `invalid_prompt` and
    `context_length_exceeded`."""
    if failure.code == "context_length_exceeded" or failure.code in _IMAGE_CODES:
        return failure.code
    if failure.status == 429:
        return "rate_limit_exceeded"
    return "server_error" if failure.status >= 500 else "invalid_prompt"


def _given(value: dict[str, Any]) -> dict[str, Any]:
    return {key: each for key, each in value.items() if each is not None}


def _reasoning(body: ResponseBody) -> dict[str, Any]:
    given = msgspec.to_builtins(body.reasoning) if body.reasoning is not None else {}
    return {"effort": None, "summary": None} | given


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    """As it came, with what is meant where it is left out."""
    return {"parameters": None, "strict": False} | tool if tool.get("type") == "function" else tool
