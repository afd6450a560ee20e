"""Requests to token ids: chat templates rendered, text tokenized, everything checked against the model's limits.

Runs beside the engine loop on a thread of its own, for a long text takes the tokenizer seconds. Knows no MLX.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import Any

import jinja2

from ..protocol import ChatPrompt, Count, Generate, Prompt, RejectCode, Rejected, TextPrompt, TokenPrompt
from .load import LanguageModel

_SEAM = "\ue000"


class Refused(Exception):
    """The request cannot be served; carries the frame that says so, without the id."""

    def __init__(self, code: RejectCode, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param

    def rejected(self, request_id: int) -> Rejected:
        return Rejected(id=request_id, code=self.code, message=str(self), param=self.param)


@dataclass(frozen=True)
class Prepared:
    """`tokens` are never empty. `room` is how many tokens may be generated. `inside_reasoning`: the prompt itself opens
    a reasoning block."""

    request: Generate
    tokens: list[int]
    room: int
    truncated: bool
    inside_reasoning: bool
    rendered: str


class Prompts:
    """Prepares prompts for one model."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        special = sorted(
            (re.escape(text) for text in model.vocabulary.added.values() if len(text) > 1), key=len, reverse=True
        )
        self._special = re.compile("|".join(special)) if special else None

    def prepare(self, request: Generate) -> Prepared:
        """Raises Refused."""
        model = self._model
        self._check(request)
        limit = min(model.context_length, request.context_length or model.context_length)
        tokens, rendered, truncated = self._fitted(request.prompt, limit)
        if not tokens:
            raise Refused("invalid_request", "the prompt is empty and this model has no token to begin with", "prompt")
        room = limit - len(tokens)
        if room < 1 and not request.render_only:
            raise Refused(
                "context_length_exceeded",
                f"input length ({len(tokens)} tokens) exceeds the model's maximum context length ({limit} tokens): "
                "shorten the input, or use a model with a longer context",
                "prompt" if not isinstance(request.prompt, ChatPrompt) else "messages",
            )
        if request.max_tokens is not None:
            room = min(room, request.max_tokens)
        return Prepared(request, tokens, room, truncated, self._opens_reasoning(rendered), rendered)

    def count(self, request: Count) -> list[int]:
        """Raises Refused."""
        return self._tokens(request.prompt)[0]

    def _check(self, request: Generate) -> None:
        rows = self._model.rows
        for token in request.sampling.logit_bias:
            if not 0 <= token < rows:
                raise Refused(
                    "invalid_request",
                    f"logit_bias: token id {token} is outside this model's vocabulary (0 to {rows - 1})",
                    "logit_bias",
                )
        if request.grammar is not None:
            raise Refused(
                "unsupported", "structured output is not supported by this version of mlx-serve", "response_format"
            )

    def _fitted(self, prompt: Prompt, limit: int) -> tuple[list[int], str, bool]:
        self._reject_by_size(prompt, limit)
        tokens, rendered = self._tokens(prompt)
        if len(tokens) < limit:
            return tokens, rendered, False
        if isinstance(prompt, ChatPrompt) and prompt.drop_oldest:
            return self._without_oldest(prompt, limit, tokens, rendered)
        if isinstance(prompt, TextPrompt) and prompt.drop_middle:
            kept = max(2, limit - max(1, limit // 4))
            head = kept // 2
            return tokens[:head] + tokens[len(tokens) - (kept - head) :], rendered, True
        return tokens, rendered, False

    def _without_oldest(
        self, prompt: ChatPrompt, limit: int, tokens: list[int], rendered: str
    ) -> tuple[list[int], str, bool]:
        messages = list(prompt.messages)
        while len(tokens) >= limit:
            oldest = next((i for i, m in enumerate(messages[:-1]) if m.get("role") != "system"), None)
            if oldest is None:
                return tokens, rendered, False
            del messages[oldest]
            tokens, rendered = self._chat(prompt, messages)
        return tokens, rendered, True

    def _reject_by_size(self, prompt: Prompt, limit: int) -> None:
        """A text of 64 characters for each token of the context cannot fit: refuse it without tokenizing megabytes."""
        if (
            isinstance(prompt, TokenPrompt)
            or getattr(prompt, "drop_oldest", False)
            or getattr(prompt, "drop_middle", False)
        ):
            return
        size = (
            len(prompt.text)
            if isinstance(prompt, TextPrompt)
            else sum(len(str(m.get("content"))) for m in prompt.messages)
        )
        if size > 64 * limit + 4096:
            raise Refused(
                "context_length_exceeded",
                f"the input of {size} characters cannot fit the model's maximum context length ({limit} tokens)",
            )

    def _tokens(self, prompt: Prompt) -> tuple[list[int], str]:
        if isinstance(prompt, TokenPrompt):
            return self._checked(prompt.ids, "prompt"), ""
        if isinstance(prompt, TextPrompt):
            history = self._checked(prompt.history, "context")
            text = self._encode(prompt.text, special=prompt.add_special_tokens and not history)
            return history + text, prompt.text
        return self._chat(prompt, list(prompt.messages))

    def _checked(self, ids: tuple[int, ...], param: str) -> list[int]:
        rows = self._model.rows
        for token in ids:
            if not 0 <= token < rows:
                raise Refused(
                    "invalid_request", f"token id {token} is outside this model's vocabulary (0 to {rows - 1})", param
                )
        return list(ids)

    def _encode(self, text: str, *, special: bool) -> list[int]:
        return list(self._model.tokenizer(text, add_special_tokens=special)["input_ids"])

    def _chat(self, prompt: ChatPrompt, messages: list[dict[str, Any]]) -> tuple[list[int], str]:
        rendered = self._render(prompt, messages)
        tokens: list[int] = []
        for part in rendered.split(_SEAM):
            tokens += self._encode(part, special=False)
        return tokens, rendered.replace(_SEAM, "")

    def _render(self, prompt: ChatPrompt, messages: list[dict[str, Any]]) -> str:
        tokenizer = self._model.tokenizer
        if tokenizer.chat_template is None:
            raise Refused(
                "unsupported",
                "this model has no chat template; use /v1/completions, or /api/generate with raw: true",
                "messages",
            )
        options = dict(prompt.template_options)
        if prompt.thinking is not None:
            options["enable_thinking"] = bool(prompt.thinking)
            if isinstance(prompt.thinking, str):
                options["reasoning_effort"] = prompt.thinking
        try:
            return str(
                tokenizer.apply_chat_template(
                    [self._message(message) for message in messages],
                    tools=copy.deepcopy(list(prompt.tools)) or None,
                    tokenize=False,
                    add_generation_prompt=not prompt.continue_last,
                    continue_final_message=prompt.continue_last,
                    **options,
                )
            )
        except jinja2.TemplateError as error:
            raise Refused(
                "invalid_request", f"the model's chat template refuses these messages: {error}", "messages"
            ) from error
        except Exception as error:
            raise Refused(
                "template_error",
                f"the model's chat template failed on these messages ({type(error).__name__}: {error})",
                "messages",
            ) from error

    def _message(self, message: dict[str, Any]) -> dict[str, Any]:
        """A copy whose content cannot spell a control token: a seam splits such a text before it is tokenized.

        The assistant's own turns stay as they are, for templates look for their markers there."""
        message = copy.deepcopy(message)
        thinking = message.pop("thinking", None)
        if thinking:
            message.setdefault("reasoning_content", thinking)
        if isinstance(content := message.get("content"), str) and message.get("role") != "assistant":
            message["content"] = self._defused(content)
        return message

    def _defused(self, text: str) -> str:
        text = text.replace(_SEAM, "")
        if self._special is None:
            return text
        return self._special.sub(lambda match: match[0][0] + _SEAM + match[0][1:], text)

    def _opens_reasoning(self, rendered: str) -> bool:
        start = self._model.markers.think_start
        return bool(start) and rendered.rstrip().endswith(start)
