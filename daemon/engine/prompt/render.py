"""Requests to token ids: chat templates rendered, text tokenized, everything checked against the model's limits.

Runs beside the engine loop on a thread of its own, for a long text takes the tokenizer seconds. Knows no MLX.
"""

from __future__ import annotations

import bisect
import copy
import functools
from dataclasses import dataclass
from typing import Any

import jinja2
import msgspec

from ...protocol import ChatPrompt, Count, Generate, Prompt, RejectCode, Rejected, TextPrompt, TokenPrompt
from ..model.load import LanguageModel
from .control_tokens import Marks, encode, marks, pattern


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
        self._control_tokens = functools.lru_cache(maxsize=8)(functools.partial(pattern, model.vocabulary.tokenizer))

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
        if isinstance(prompt, ChatPrompt) and prompt.drop_oldest:
            return self._recent(prompt, limit)
        if isinstance(prompt, TextPrompt) and prompt.drop_middle:
            return self._both_ends(prompt, limit)
        self._reject_by_size(prompt, limit)
        return *self._tokens(prompt), False

    def _recent(self, prompt: ChatPrompt, limit: int) -> tuple[list[int], str, bool]:
        """As many of the newest messages as fit, system messages always. What is left begins with a user's message,
        for many templates refuse anything else; found by halving, for each try renders and tokenizes it all."""
        messages = prompt.messages
        last = len(messages) - 1
        spoken = [place for place, message in enumerate(messages) if message.get("role") != "system"]
        starts = [place for place in spoken[1:] if messages[place].get("role") == "user" or place == last]
        tried: dict[int, tuple[list[int], str]] = {}
        too_large: list[ChatPrompt] = []

        def fits(start: int) -> bool:
            left = tuple(m for place, m in enumerate(messages) if place >= start or m.get("role") == "system")
            part = msgspec.structs.replace(prompt, messages=left)
            if _characters(part) > _most_characters(limit):
                too_large.append(part)
                return False
            tried[start] = self._chat(part)
            return len(tried[start][0]) < limit

        start = 0
        if not fits(0) and starts:
            start = starts[min(bisect.bisect_left(starts, True, key=fits), len(starts) - 1)]
        if start not in tried:
            self._reject_by_size(too_large[-1], limit)
        tokens, rendered = tried[start]
        return tokens, rendered, start > 0

    def _both_ends(self, prompt: TextPrompt, limit: int) -> tuple[list[int], str, bool]:
        """The beginning and the end of a text that is too long, with a quarter of the context left for the answer."""
        most = _most_characters(limit)
        cut = len(prompt.text) > 2 * most
        part = msgspec.structs.replace(prompt, text=prompt.text[:most] + prompt.text[-most:]) if cut else prompt
        tokens, rendered = self._tokens(part)
        if len(tokens) >= limit:
            kept = max(2, limit - max(1, limit // 4))
            head = kept // 2
            tokens, cut = tokens[:head] + tokens[len(tokens) - (kept - head) :], True
        return tokens, rendered, cut

    def _reject_by_size(self, prompt: Prompt, limit: int) -> None:
        """Refuse what cannot fit without tokenizing megabytes."""
        if not isinstance(prompt, TokenPrompt) and (size := _characters(prompt)) > _most_characters(limit):
            raise Refused(
                "context_length_exceeded",
                f"the input of {size} characters cannot fit the model's maximum context length ({limit} tokens)",
                "messages" if isinstance(prompt, ChatPrompt) else "prompt",
            )

    def _tokens(self, prompt: Prompt) -> tuple[list[int], str]:
        if isinstance(prompt, TokenPrompt):
            return self._checked(prompt.ids, "prompt"), ""
        if isinstance(prompt, TextPrompt):
            history = self._checked(prompt.history, "context")
            text = self._encode(prompt.text, special=prompt.add_special_tokens and not history)
            return history + text, prompt.text
        return self._chat(prompt)

    def _checked(self, ids: tuple[int, ...], param: str) -> list[int]:
        rows = self._model.rows
        for token in ids:
            if not 0 <= token < rows:
                raise Refused(
                    "invalid_request", f"token id {token} is outside this model's vocabulary (0 to {rows - 1})", param
                )
        return list(ids)

    def _encode(self, text: str, *, special: bool) -> list[int]:
        """A text that begins with the token that the tokenizer would put in front gets no second one."""
        tokenizer = self._model.tokenizer
        ids = list(tokenizer(text, add_special_tokens=special)["input_ids"])
        begins = special and bool(tokenizer.bos_token) and text.startswith(tokenizer.bos_token)
        return ids[1:] if begins and ids[:2] == [tokenizer.bos_token_id] * 2 else ids

    def _chat(self, prompt: ChatPrompt) -> tuple[list[int], str]:
        template = self._template(prompt)
        try:
            tokens = self._control_tokens(template)
            marked = marks(tokens, (template, prompt.messages, prompt.tools, prompt.template_options))
            rendered = self._render(prompt, template, marked)
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
        return encode(self._model.tokenizer, rendered, marked), marked.removed(rendered)

    def _template(self, prompt: ChatPrompt) -> str:
        """Of several named ones, `tool_use` where tools are offered."""
        tokenizer = self._model.tokenizer
        if prompt.template is not None:
            return prompt.template
        if tokenizer.chat_template is None:
            raise Refused(
                "unsupported",
                "this model has no chat template; use /v1/completions, or /api/generate with raw: true",
                "messages",
            )
        if isinstance(tokenizer.chat_template, str):
            return tokenizer.chat_template
        try:
            return str(tokenizer.get_chat_template(tools=list(prompt.tools) or None))
        except ValueError as error:
            raise Refused(
                "unsupported", "this model has several chat templates and none of them is the default", "messages"
            ) from error

    def _render(self, prompt: ChatPrompt, template: str, marked: Marks) -> str:
        options = marked.around(prompt.template_options)
        if prompt.thinking is not None:
            options["enable_thinking"] = bool(prompt.thinking)
            if isinstance(prompt.thinking, str):
                options["reasoning_effort"] = prompt.thinking
        return str(
            self._model.tokenizer.apply_chat_template(
                [_message(message, marked) for message in prompt.messages],
                chat_template=template,
                tools=marked.around(prompt.tools) or None,
                tokenize=False,
                add_generation_prompt=not prompt.continue_last,
                continue_final_message=prompt.continue_last,
                **options,
            )
        )

    def _opens_reasoning(self, rendered: str) -> bool:
        start = self._model.markers.think_start
        return bool(start) and rendered.rstrip().endswith(start)


def _message(message: dict[str, Any], marked: Marks) -> dict[str, Any]:
    """A copy whose texts cannot spell a control token.

    The assistant's own turns stay as they are, for templates look for their markers there.
    """
    message = copy.deepcopy(message)
    thinking = message.pop("thinking", None)
    if thinking:
        message.setdefault("reasoning_content", thinking)
    if message.get("role") == "assistant":
        return message
    return {key: value if key == "role" else marked.around(value) for key, value in message.items()}


def _characters(prompt: ChatPrompt | TextPrompt) -> int:
    if isinstance(prompt, TextPrompt):
        return len(prompt.text)
    return sum(len(str(message.get("content"))) for message in prompt.messages)


def _most_characters(limit: int) -> int:
    """More than this cannot fit: 64 characters for each token, and something for short contexts."""
    return 64 * limit + 4096
