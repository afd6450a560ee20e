"""What a child reports about one piece of work. `last` marks the event after which nothing follows."""

from __future__ import annotations

from typing import Literal

from .immutable import Value

FinishReason = Literal["stop", "length", "tool_calls"]
RejectCode = Literal[
    "invalid_request",
    "context_length_exceeded",
    "unsupported",
    "template_error",
    "insufficient_memory",
    "numerical_error",
    "internal_error",
]


TokenChannel = Literal["content", "reasoning", "tool", "layout"]


class TokenLogprob(Value, frozen=True):
    """A token's text, its UTF-8 bytes, its natural-log probability, and the likeliest alternatives, best first. The
    first token of a prompt has no probability. `channel`: what of the answer it is part of."""

    token: str
    logprob: float | None
    bytes: tuple[int, ...] = ()
    top: tuple[TokenLogprob, ...] = ()
    channel: TokenChannel = "content"


class ToolCall(Value, frozen=True):
    """A call the model made, or a part of one: the first part of call number `index` has its `name`, those that follow
    have none; the `arguments` of all parts together are JSON text of an object."""

    name: str
    arguments: str
    index: int = 0


class Accepted(Value, frozen=True, tag="accepted"):
    """The prompt is rendered, counted, checked and queued. `truncated`: something was left out to fit the context.

    `rendered` is the rendered prompt when the request asked for `render_only`.
    """

    id: int
    prompt_tokens: int
    truncated: bool = False
    rendered: str | None = None
    last: bool = False


RereadReason = Literal[
    "diverged",
    "another picture",
    "other template options",
    "evicted",
    "computed sooner",
    "boundary not kept",
    "only whole turns are kept",
    "off",
    "unknown caches",
]


class Reread(Value, frozen=True):
    """More of a prompt is read than would have to be: it begins like a text of `known` tokens that was read or said
    before, for `common` of them, and `reused` of these are not read again. `reason`: it parts from that text where
    what they have in common ends; the same, and there is another picture there; the same, and it was made with other
    options of the template; what is missing had to make room; what is missing is on disk, and computed sooner; a
    sequence cannot go on from there; nor from anywhere but the ends of prompts and answers, for the model's caches
    cannot be cut; nothing is kept of such requests; nothing is kept of such caches."""

    known: int
    common: int
    reused: int
    reason: RereadReason


class Started(Value, frozen=True, tag="started"):
    """The work has left the queue: its prompt is being read but for `cached` tokens, which are known from before; more
    of it than need be where there is a `reread`."""

    id: int
    cached: int = 0
    reread: Reread | None = None
    last: Literal[False] = False


class Reading(Value, frozen=True, tag="reading"):
    """So many tokens of the prompt are in the caches by now, those that were known before included. Told of prompts
    that take more than one step, a few times a second at most; fewer than before when it has to begin anew."""

    id: int
    tokens: int
    last: Literal[False] = False


class Delta(Value, frozen=True, tag="delta"):
    """What steps added to one choice. `tokens` counts what was generated so far, without the stop token."""

    id: int
    choice: int = 0
    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    tokens: int = 0
    last: Literal[False] = False


class Finished(Value, frozen=True, tag="finished"):
    """The end of one choice. Times in seconds: waiting for a place, prefill, decoding."""

    id: int
    reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    choice: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    stop_sequence: str | None = None
    queue_seconds: float = 0.0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    context: tuple[int, ...] | None = None
    last: bool = True


class Rejected(Value, frozen=True, tag="rejected"):
    """The work ends with an error. `param` is the engine's name of the field at fault, where there is one. `excess`, of
    a prompt that is too long: how many tokens it has, estimated where they were not counted, and how many it may have.
    """

    id: int
    code: RejectCode
    message: str
    param: str | None = None
    excess: tuple[int, int] | None = None
    last: Literal[True] = True


class Counted(Value, frozen=True, tag="counted"):
    """How many tokens each prompt of one Count has; `tokens` are their ids where they were asked for: packed int32."""

    id: int
    counts: tuple[int, ...]
    tokens: tuple[bytes, ...] = ()
    last: Literal[True] = True

    @property
    def count(self) -> int:
        """Of all prompts together."""
        return sum(self.counts)


class Detokenized(Value, frozen=True, tag="detokenized"):
    """The text of each sequence of one Detokenize."""

    id: int
    texts: tuple[str, ...]
    last: Literal[True] = True


class Embedded(Value, frozen=True, tag="embedded"):
    """Every vector of one Embed in the order of its inputs: float32, little endian, `dimensions` numbers each.

    `truncated` are the numbers of the inputs that were cut. Times in seconds: waiting, computing.
    """

    id: int
    vectors: bytes
    dimensions: int
    prompt_tokens: int
    truncated: tuple[int, ...] = ()
    queue_seconds: float = 0.0
    compute_seconds: float = 0.0
    last: Literal[True] = True


class Ranked(Value, frozen=True, tag="ranked"):
    """The logit of each document of one Rerank, in their order: its sigmoid is the score.

    `truncated` are the numbers of the documents that were cut.
    """

    id: int
    logits: tuple[float, ...]
    prompt_tokens: int
    truncated: tuple[int, ...] = ()
    last: Literal[True] = True


Event = Accepted | Started | Reading | Delta | Finished | Rejected | Counted | Detokenized | Embedded | Ranked
