"""POST /v1/completions: OpenAI's legacy continuation of a text."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from sanic import Request
from sanic.response import HTTPResponse

from ...daemon.protocol import Delta, Finished, Generate, TextPrompt, TokenLogprob, TokenPrompt
from ..decode import unsupported
from ..durations import keep_alive
from ..endpoint import decoded, document, first_events, leased, sequences
from ..failure import RequestError
from ..items import Answer, Item, merged
from ..jsontext import HOLE, encode
from ..model_options import options
from ..ranges import MAX_CHOICES as MAX_SEQUENCES
from ..ranges import stops
from ..sequences import answers
from ..stream import DONE, SSE, Heartbeat, Stream, noticed, relay
from . import bodies
from .bodies import CompletionBody
from .chat import record
from .chat_answers import finite, identity, service_tier, usage
from .structured import grammar as grammar_of

if TYPE_CHECKING:
    from ...store.installed import Installed

DEFAULT_MAX_TOKENS = 16  # OpenAI's own


async def complete(request: Request) -> HTTPResponse | None:
    body = await decoded(request, bodies.completion_decoder)
    bodies.check_completion(body)
    works = _works(body)
    head = {
        "id": identity("cmpl"),
        "object": "text_completion",
        "created": int(time.time()),
        "model": body.model,
    } | service_tier(body.service_tier)
    with_usage = bool(body.stream_options and body.stream_options.include_usage)
    chunks = CompletionChunks(head, with_logprobs=body.logprobs is not None, with_usage=with_usage)
    heartbeat = Heartbeat(SSE, chunks.nothing) if body.stream else None
    seconds = keep_alive(body.keep_alive)

    def check(installed: Installed) -> None:
        _require_insert(body, installed.manifest.capabilities)

    async with leased(request, body.model, seconds, "completion", heartbeat, check=check) as model:
        _require_insert(body, model.capabilities)
        notice = bodies.clamping(body.max_tokens, model.context_length, "max_tokens")
        if body.max_tokens is None:
            own = options(model.installed.overrides.parameters).max_tokens
            works = [msgspec.structs.replace(work, max_tokens=own or DEFAULT_MAX_TOKENS) for work in works]
        async with sequences(request, model, works) as running:
            accepted = await first_events(request, running, heartbeat)
            prompts = [event.prompt_tokens for event in accepted]
            head["system_fingerprint"] = f"fp_{model.installed.digest[:12]}"
            if heartbeat is not None:
                chunks.begin(running.count)
                out = await Stream.open(request, SSE, notice)
                await out.send(b"")
                await relay(out, running, chunks.frames, record, partial(chunks.closing, prompts), heartbeat=heartbeat)
                return None
            finished = await answers(running)
    chosen = best(finished, body.best_of or 1, body.n or 1)
    choices = [
        {
            "text": answer.text,
            "index": index,
            "logprobs": legacy_logprobs(answer.logprobs) if body.logprobs is not None else None,
            "finish_reason": answer.end.reason,
        }
        for index, answer in enumerate(chosen)
    ]
    counts = usage([answer.end for answer in finished], prompts)
    return document(head | {"choices": choices, "usage": counts}, headers=noticed(notice))


def best(answers: list[Answer], tried: int, kept: int) -> list[Answer]:
    """Of every `tried` answers to one prompt the `kept` ones with the highest log-probability per token."""
    if tried <= kept:
        return answers
    groups = [answers[start : start + tried] for start in range(0, len(answers), tried)]
    return [answer for group in groups for answer in sorted(group, key=_mean_logprob, reverse=True)[:kept]]


def _mean_logprob(answer: Answer) -> float:
    own = answer.logprobs[len(answer.logprobs) - answer.end.completion_tokens :]
    values = [token.logprob for token in own if token.logprob is not None]
    return sum(values) / len(values) if values else 0.0


def _works(body: CompletionBody) -> list[Generate]:
    """One a prompt; the choices of all are numbered in this order, as OpenAI does."""
    sampling = bodies.sampling(body)
    grammar = grammar_of(body)
    prompts = _prompts(body)
    copies = max(body.n or 1, body.best_of or 1)
    if len(prompts) * copies > MAX_SEQUENCES:
        which = "n" if copies == (body.n or 1) else "best_of"
        message = f"'prompt' and '{which}' together ask for more than {MAX_SEQUENCES} completions"
        raise RequestError(message, param="prompt", code="invalid_value")
    return [
        Generate(
            prompt=prompt,
            choices=copies,
            sampling=sampling,
            fallback=bodies.FALLBACK,
            stop=stops(body.stop),
            max_tokens=body.max_tokens,
            logprobs=0 if body.logprobs is None and copies > (body.n or 1) else body.logprobs,
            grammar=grammar,
            ignore_eos=bool(body.ignore_eos),
            echo=bool(body.echo),
            split_reasoning=False,
        )
        for prompt in prompts
    ]


def _require_insert(body: CompletionBody, capabilities: Collection[str]) -> None:
    """Raises RequestError."""
    if body.suffix and "insert" not in capabilities:
        raise unsupported("suffix", "this model has no fill-in-the-middle tokens, so it cannot insert text")


def _prompts(body: CompletionBody) -> list[TextPrompt | TokenPrompt]:
    prompt, suffix = body.prompt, body.suffix or None
    if isinstance(prompt, str):
        return [TextPrompt(text=prompt, suffix=suffix)]
    texts = [item for item in prompt if isinstance(item, str)]
    ids = [item for item in prompt if isinstance(item, int)]
    lists = [item for item in prompt if isinstance(item, list)]
    if texts and len(texts) == len(prompt):
        return [TextPrompt(text=text, suffix=suffix) for text in texts]
    if suffix is not None and prompt:
        message = "invalid value for 'suffix': it goes with a 'prompt' of text, not of token ids"
        raise RequestError(message, param="suffix", code="invalid_value")
    if ids and len(ids) == len(prompt):
        return [TokenPrompt(ids=tuple(ids))]
    if lists and len(lists) == len(prompt) and all(lists):
        return [TokenPrompt(ids=tuple(item)) for item in lists]
    message = "'prompt' must be a string, a list of strings, a list of token ids, or a list of such lists; none empty"
    raise RequestError(message, param="prompt", code="invalid_value")


def legacy_logprobs(tokens: Sequence[TokenLogprob], offset: int = 0) -> dict[str, Any]:
    """The parallel lists of the legacy shape; offsets are characters of the returned text."""
    offsets = []
    for token in tokens:
        offsets.append(offset)
        offset += characters(token)
    return {
        "tokens": [_name(token) for token in tokens],
        "token_logprobs": [finite(token.logprob) for token in tokens],
        "top_logprobs": [
            None if token.logprob is None else {_name(other): finite(other.logprob) for other in token.top}
            for token in tokens
        ],
        "text_offset": offsets,
    }


def _bytes(token: TokenLogprob) -> bytes:
    return bytes(token.bytes) or token.token.encode()


def _name(token: TokenLogprob) -> str:
    """Its text; a part of a character by its bytes, as OpenAI writes it, so that no two share a name."""
    try:
        return _bytes(token).decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in _bytes(token))


def characters(token: TokenLogprob) -> int:
    """How many characters begin in a token: one that only goes on with a character adds none."""
    return sum(byte & 0xC0 != 0x80 for byte in _bytes(token))


class CompletionChunks:
    """The chunks of one streamed completion."""

    def __init__(self, head: dict[str, Any], *, with_logprobs: bool, with_usage: bool) -> None:
        self._head = head
        self._tail: dict[str, Any] = {"usage": None} if with_usage else {}
        self._with_logprobs = with_logprobs
        self._with_usage = with_usage
        self._offsets: list[int] = []
        self._ends: list[Finished] = []
        self._texts: list[list[bytes]] = []

    def begin(self, count: int) -> None:
        """From now on the head is complete; there are so many choices."""
        self._offsets = [0] * count
        self._texts = [self._chunk(index, HOLE, None, None).split(encode(HOLE)) for index in range(count)]

    def nothing(self) -> bytes:
        """A chunk that adds nothing to the answer."""
        return self._chunk(0, "", None, None)

    def frames(self, items: list[Item]) -> bytes:
        return b"".join(self._event(index, event) for index, event in merged(items))

    def closing(self, prompts: Sequence[int]) -> bytes:
        """`prompts`: how many tokens each has."""
        if not self._with_usage:
            return DONE
        return b"data: " + encode(self._head | {"choices": [], "usage": usage(self._ends, prompts)}) + b"\n\n" + DONE

    def _event(self, index: int, event: Delta | Finished) -> bytes:
        if isinstance(event, Finished):
            self._ends.append(event)
            return self._chunk(index, "", None, event.reason)
        if self._with_logprobs and event.logprobs:
            probabilities = legacy_logprobs(event.logprobs, self._offsets[index])
            self._offsets[index] += sum(map(characters, event.logprobs))
            return self._chunk(index, event.text, probabilities, None)
        if not event.text:
            return b""
        before, after = self._texts[index]
        return before + encode(event.text) + after

    def _chunk(self, index: int, text: str, probabilities: object, reason: str | None) -> bytes:
        choice = {"text": text, "index": index, "logprobs": probabilities, "finish_reason": reason}
        return b"data: " + encode(self._head | {"choices": [choice]} | self._tail) + b"\n\n"
