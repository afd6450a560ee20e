"""Fills in what a request leaves open: from the user's settings of its model, then from those that the model was
created with. What both leave open, the engine takes from the model's files, then from the dialect's defaults.

The rules are Ollama's: the request's own values win; a system prompt is added unless the conversation begins with one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ..daemon.protocol import ChatPrompt, Generate, Sampling
from ..store.disk.manifests import Overrides
from .model_options import Options, options

if TYPE_CHECKING:
    from ..daemon.residency.slot import Model

_NONE = Overrides()


def with_overrides(request: Generate, model: Model) -> Generate:
    """The request, with what it leaves open taken from the model's overrides."""
    overrides = model.installed.overrides
    if overrides == _NONE:
        return request
    prompt = request.prompt
    if isinstance(prompt, ChatPrompt):
        prompt = with_settings(prompt, overrides)
    own = options(overrides.parameters)
    if isinstance(prompt, ChatPrompt) and prompt.thinking_budget is None:
        prompt = msgspec.structs.replace(prompt, thinking_budget=_budget(own, model))
    return msgspec.structs.replace(
        request,
        prompt=prompt,
        sampling=_sampling(request.sampling, own.sampling),
        stop=request.stop or own.stop,
        max_tokens=request.max_tokens if request.max_tokens is not None else own.max_tokens,
        context_length=_context(request, own, model),
    )


def with_settings(prompt: ChatPrompt, overrides: Overrides) -> ChatPrompt:
    """A conversation with the model's own system prompt, messages and template."""
    head, rest = prompt.messages[:1], prompt.messages[1:]
    if not (head and head[0].get("role") == "system"):
        head, rest = (), prompt.messages
        if overrides.system:
            head = ({"role": "system", "content": overrides.system},)
    messages = (*head, *overrides.messages, *rest)
    return msgspec.structs.replace(prompt, messages=messages, template=prompt.template or overrides.template)


def _sampling(wanted: Sampling, own: Sampling) -> Sampling:
    """Field by field, the seed too."""
    open_fields = {
        name: value
        for name, value in msgspec.structs.asdict(own).items()
        if value not in (None, {}) and getattr(wanted, name) is None
    }
    return msgspec.structs.replace(wanted, **open_fields)


def _budget(own: Options, model: Model) -> int | None:
    """The user's setting bounds thoughts where there are some; what a model was created with is taken at its word."""
    created = "thinking_budget" in model.installed.manifest.overrides.parameters
    return own.thinking_budget if created or "thinking" in model.capabilities else None


def _context(request: Generate, own: Options, model: Model) -> int | None:
    if request.context_length is not None or own.context_length is None:
        return request.context_length
    return min(own.context_length, model.info.context_length)
