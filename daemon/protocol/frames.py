"""The frames on the socket between the daemon and a model's child process.

A frame on the wire is four bytes of length (big endian) and one msgpack message; `PROTOCOL` is checked in the first
frame, so that two versions never misread each other.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from .events import Event
from .immutable import Kind, Value
from .jobs import JobFailed, Quantize, Quantized, Quantizing
from .work import Work

PROTOCOL = 9
MAX_FRAME = 256 << 20


# --- to the child -----------------------------------------------------------------------------------------------------


class PrefixFiles(Value, frozen=True):
    """What was read before is kept in `folder` too, with what other models have there: at most `budget` bytes in all,
    None: 8 GiB and a tenth of what is free at most. `model`: digest of its files, in hex. `bits`: of keys and values in
    files, None: as they are."""

    folder: str
    model: str
    budget: int | None = None
    bits: int | None = None


class Load(Value, frozen=True, tag="load"):
    """Load a model: `path` is a folder with the model's real file names; `memory_limit` bytes are for all that MLX
    holds in the process: weights, caches and free buffers. Metal keeps `wired` bytes of the weights resident. At most
    `prefixes` bytes of the caches are for what was read before, None: as many as the engine finds right; `files`: it is
    kept on disk too. `kernels`: the folder for what a CPU's C++ compiler makes while the model rests, None: nothing is
    compiled."""

    path: str
    name: str
    kind: Kind
    max_batch: int
    prefill_tokens_per_step: int
    context_length: int | None = None
    memory_limit: int | None = None
    wired: int = 0
    prefixes: int | None = None
    files: PrefixFiles | None = None
    kernels: str | None = None


class Ask(Value, frozen=True, tag="ask"):
    """Do a piece of work. `id` is unique within one child's life; every event of the work carries it."""

    id: int
    work: Work


class Cancel(Value, frozen=True, tag="cancel"):
    """No further event of this work is wanted."""

    id: int


class Limit(Value, frozen=True, tag="limit"):
    """From now on MLX may hold so many bytes in the process, more or fewer than before. `tight`: the machine is short
    of memory, so what is only kept for later goes now, and little more is kept until the next Limit."""

    memory_limit: int
    tight: bool = False


class Ping(Value, frozen=True, tag="ping"):
    """Answered by the engine loop itself, so that a stuck loop is noticed."""

    id: int


class Quit(Value, frozen=True, tag="quit"):
    pass


ToChild = Load | Ask | Cancel | Limit | Ping | Quit | Quantize


# --- from the child ---------------------------------------------------------------------------------------------------


class Gauges(Value, frozen=True):
    """The state of the engine after a step. `prefix_hits`: requests that did not read `prefix_tokens` of their prompts,
    which were known. `prefix_disk_bytes` are in files, from which `prefix_disk_tokens` were taken. Memory in bytes
    (`cache_memory`: MLX's free buffers), `longest_step` in seconds."""

    running: int = 0
    waiting: int = 0
    prefilling: int = 0
    active_memory: int = 0
    cache_memory: int = 0
    peak_memory: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    prefix_bytes: int = 0
    prefix_hits: int = 0
    prefix_tokens: int = 0
    prefix_evictions: int = 0
    prefix_disk_bytes: int = 0
    prefix_disk_tokens: int = 0
    steps: int = 0
    longest_step: float = 0.0


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


Reuse = Literal["any", "some", "turns", "unknown", "off"]


class Loading(Value, frozen=True, tag="loading"):
    """A sign of life while the model is brought in."""


class Loaded(Value, frozen=True, tag="loaded"):
    """The model is in memory. Sizes in bytes; `capabilities` as Ollama names them (completion, tools, thinking, …);
    `precision` in which it computes, where that is not the one of its files.
    `reuse`: from where a prompt that was read before goes on: from any token, from some, from the ends of prompts and
    answers because its caches cannot be cut, or from none because they cannot be copied either, or because the settings
    leave it nothing; None: it does not generate.
    `file_bits`: of keys and values of prompts in files, where they are not kept there as they are."""

    weight_bytes: int
    kv_bytes_per_token: int
    context_length: int
    vocabulary: int
    batchable: bool
    capabilities: tuple[str, ...] = ()
    seconds: float = 0.0
    precision: str = ""
    reuse: Reuse | None = None
    file_bits: int | None = None


class LoadFailed(Value, frozen=True, tag="load_failed"):
    """`code` says where the fault is: the model's files, a missing feature, or the memory of this machine."""

    code: Literal["bad_model", "unsupported", "insufficient_memory", "internal_error"]
    message: str


class Pong(Value, frozen=True, tag="pong"):
    id: int
    gauges: Gauges = Gauges()


class Fatal(Value, frozen=True, tag="fatal"):
    """The child cannot go on and is about to exit; `message` is the reason for logs and for waiting requests."""

    message: str


FromChild = Hello | Loading | Loaded | LoadFailed | Step | Pong | Fatal | Quantizing | Quantized | JobFailed


# --- on the wire ------------------------------------------------------------------------------------------------------

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
