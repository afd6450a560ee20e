"""The frames that the daemon and a model's child process exchange, and the typed requests they carry.

Both sides import this module and nothing else of each other. A frame on the wire is four bytes of length (big
endian) and one msgpack message; `PROTOCOL` is checked in the first frame, so two versions never talk past each other.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

PROTOCOL = 1
MAX_FRAME = 256 << 20

Kind = Literal["llm", "vlm", "embedding", "reranker"]
FinishReason = Literal["stop", "length", "tool_calls"]


class Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every value that crosses the border has in common: immutable, built by keyword."""


# --- what a client asks for -------------------------------------------------------------------------------------------


class ChatPrompt(Value, frozen=True, tag="chat"):
    """Messages for the model's own chat template.

    `messages` are template-ready: role, content (text), and optional `thinking`, `tool_calls`, `tool_name`,
    `tool_call_id`; tool-call arguments are objects. `drop_oldest` lets the child leave out the oldest messages (never a
    system message, never the last one) until the prompt fits the context. `template` (Jinja) takes the place of the
    model's own.
    """

    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...] = ()
    thinking: bool | Literal["low", "medium", "high"] | None = None
    template: str | None = None
    template_options: dict[str, Any] = {}
    continue_last: bool = False
    drop_oldest: bool = False


class TextPrompt(Value, frozen=True, tag="text"):
    """Text for the tokenizer as it is; special tokens (BOS) are added when the tokenizer does so by itself.

    `history` are token ids of an earlier turn (Ollama's `context`), put in front.
    """

    text: str
    add_special_tokens: bool = True
    history: tuple[int, ...] = ()
    drop_middle: bool = False


class TokenPrompt(Value, frozen=True, tag="tokens"):
    """Token ids, each checked against the vocabulary by the child."""

    ids: tuple[int, ...]


Prompt = ChatPrompt | TextPrompt | TokenPrompt


class Sampling(Value, frozen=True):
    """How the next token is drawn. None: not given; the model's generation_config decides, then `Generate.fallback`.

    Filters apply after temperature (top_k, then top_p, then min_p), penalties and bias before it. Penalties count
    generated tokens, all of them or the last `penalty_window`. `temperature` 0 is greedy. A `seed` fixes the result
    whatever else is in the batch.
    """

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    penalty_window: int | None = None
    logit_bias: dict[int, float] = {}
    seed: int | None = None


class Grammar(Value, frozen=True):
    """What the answer must look like: any JSON object, a JSON schema (as JSON text), or a regular expression."""

    type: Literal["json", "json_schema", "regex"]
    source: str = ""


class Generate(Value, frozen=True, tag="generate"):
    """One sequence to generate. `id` is unique within one child's life; a client's `n` choices are `n` of these.

    `max_tokens` None: until the model stops or the context is full. `context_length` narrows the model's own.
    `logprobs` None: none; k >= 0: the chosen token's and the k likeliest ones'. `split_reasoning` False leaves
    reasoning markers in the text. `parse_tools` False leaves tool-call markup in the text. `want_context` asks for
    the token ids of prompt and answer in the last event (Ollama's `context`).
    """

    id: int
    prompt: Prompt
    sampling: Sampling = Sampling()
    fallback: Sampling = Sampling()
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    context_length: int | None = None
    logprobs: int | None = None
    grammar: Grammar | None = None
    ignore_eos: bool = False
    echo: bool = False
    split_reasoning: bool = True
    parse_tools: bool = False
    want_context: bool = False
    render_only: bool = False


class Count(Value, frozen=True, tag="count"):
    """Tokenize without generating. `return_tokens` asks for the ids too."""

    id: int
    prompt: Prompt
    return_tokens: bool = False


class Load(Value, frozen=True, tag="load"):
    """Bring a model in: `path` is a folder with the model's real file names; sizes in bytes."""

    path: str
    name: str
    kind: Kind
    max_batch: int
    prefill_tokens_per_step: int
    context_length: int | None = None
    memory_limit: int | None = None


class Cancel(Value, frozen=True, tag="cancel"):
    id: int


class Ping(Value, frozen=True, tag="ping"):
    """Answered by the engine loop itself, so that a wedged loop is seen."""

    id: int


class Quit(Value, frozen=True, tag="quit"):
    pass


class Quantize(Value, frozen=True, tag="quantize"):
    """To a job: write the weights and config.json of the model in folder `path` anew, quantized, into folder `output`.

    `output` is there and empty. `bits` of one weight, `group_size` weights share a scale, `mode` is MLX's name.
    """

    path: str
    output: str
    kind: Kind
    bits: int
    group_size: int
    mode: str


ToChild = Load | Generate | Count | Cancel | Ping | Quit | Quantize


# --- what the child answers -------------------------------------------------------------------------------------------


class TokenLogprob(Value, frozen=True):
    """A token's text, its UTF-8 bytes, its natural-log probability, and the likeliest alternatives, best first."""

    token: str
    logprob: float
    bytes: tuple[int, ...] = ()
    top: tuple[TokenLogprob, ...] = ()


class ToolCall(Value, frozen=True):
    """One call the model made; `arguments` is JSON text of an object."""

    name: str
    arguments: str


class Accepted(Value, frozen=True, tag="accepted"):
    """The prompt is rendered, counted, checked and queued. `truncated`: something was left out to fit the context.

    `rendered` is the rendered prompt when the request asked for `render_only` (no other event follows then).
    """

    id: int
    prompt_tokens: int
    truncated: bool = False
    rendered: str | None = None


class Delta(Value, frozen=True, tag="delta"):
    """What steps added to one sequence. `tokens` counts what was generated so far, without the stop token."""

    id: int
    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    tokens: int = 0


class Finished(Value, frozen=True, tag="finished"):
    """The last event of a sequence. Times in seconds: waiting for a place, prefill, decoding."""

    id: int
    reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    stop_sequence: str | None = None
    queue_seconds: float = 0.0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    context: tuple[int, ...] | None = None


RejectCode = Literal[
    "invalid_request",
    "context_length_exceeded",
    "unsupported",
    "template_error",
    "insufficient_memory",
    "numerical_error",
    "internal_error",
]


class Rejected(Value, frozen=True, tag="rejected"):
    """The sequence ends with an error. `param` is the engine's name of the field at fault, where there is one."""

    id: int
    code: RejectCode
    message: str
    param: str | None = None


class Counted(Value, frozen=True, tag="counted"):
    id: int
    count: int
    tokens: tuple[int, ...] = ()


Event = Accepted | Delta | Finished | Rejected | Counted


class Gauges(Value, frozen=True):
    """Where the engine stands after a step; memory in bytes."""

    running: int = 0
    waiting: int = 0
    prefilling: int = 0
    active_memory: int = 0
    peak_memory: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    steps: int = 0


class Step(Value, frozen=True, tag="step"):
    """Every event of one engine step, in one frame."""

    events: tuple[Event, ...] = ()
    gauges: Gauges = Gauges()


class Hello(Value, frozen=True, tag="hello"):
    """The first frame: imports are done. `device_memory` is what models may use on this device, in bytes."""

    protocol: int
    pid: int
    backend: Literal["metal", "cuda", "cpu"]
    device: str
    device_memory: int
    notes: tuple[str, ...] = ()


class Loaded(Value, frozen=True, tag="loaded"):
    """The model is in memory. Sizes in bytes; `capabilities` as Ollama names them (completion, tools, thinking, …)."""

    weight_bytes: int
    kv_bytes_per_token: int
    context_length: int
    vocabulary: int
    batchable: bool
    capabilities: tuple[str, ...] = ()
    seconds: float = 0.0


class LoadFailed(Value, frozen=True, tag="load_failed"):
    """`code` says whose fault it is: the model's files, a missing feature, or the memory of this machine."""

    code: Literal["bad_model", "unsupported", "insufficient_memory", "internal_error"]
    message: str


class Pong(Value, frozen=True, tag="pong"):
    id: int
    gauges: Gauges = Gauges()


class Fatal(Value, frozen=True, tag="fatal"):
    """The child cannot go on and is about to exit; `message` is the reason for logs and for waiting requests."""

    message: str


class Quantizing(Value, frozen=True, tag="quantizing"):
    """How far a job is, in bytes of the source's weights."""

    done_bytes: int
    total_bytes: int


class Quantized(Value, frozen=True, tag="quantized"):
    """The files are written. `weight_bytes` of them; `peak_memory` is the most that the job held, in bytes."""

    weight_bytes: int
    peak_memory: int
    seconds: float


class JobFailed(Value, frozen=True, tag="job_failed"):
    """`code` as in LoadFailed, or the disk; `message` begins in the middle of a sentence about the model."""

    code: Literal["bad_model", "unsupported", "no_space", "insufficient_memory", "internal_error"]
    message: str


FromChild = Hello | Loaded | LoadFailed | Step | Pong | Fatal | Quantizing | Quantized | JobFailed

_to_child: msgspec.msgpack.Decoder[ToChild] = msgspec.msgpack.Decoder(ToChild)
_from_child: msgspec.msgpack.Decoder[FromChild] = msgspec.msgpack.Decoder(FromChild)
_encoder = msgspec.msgpack.Encoder()


class FrameTooLarge(ValueError):
    """A frame is longer than MAX_FRAME bytes: refused before anything is sent or allocated."""


def encode(message: ToChild | FromChild) -> bytes:
    """One frame, length and body. Raises FrameTooLarge."""
    body = _encoder.encode(message)
    if len(body) > MAX_FRAME:
        raise FrameTooLarge(f"a frame of {len(body)} bytes passes the limit of {MAX_FRAME}")
    return len(body).to_bytes(4, "big") + body


def frame_length(header: bytes) -> int:
    """The length of the body that follows a four-byte header. Raises FrameTooLarge."""
    length = int.from_bytes(header, "big")
    if length > MAX_FRAME:
        raise FrameTooLarge(f"a frame of {length} bytes passes the limit of {MAX_FRAME}")
    return length


def decode_to_child(body: bytes | memoryview) -> ToChild:
    """Raises msgspec.DecodeError or msgspec.ValidationError."""
    return _to_child.decode(body)


def decode_from_child(body: bytes | memoryview) -> FromChild:
    """Raises msgspec.DecodeError or msgspec.ValidationError."""
    return _from_child.decode(body)
