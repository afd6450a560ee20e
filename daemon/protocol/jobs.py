"""The frames of a job: a child that does one thing and exits."""

from __future__ import annotations

from typing import Literal

from .immutable import Kind, Value


class Quantize(Value, frozen=True, tag="quantize"):
    """To a job: write the quantized weights and config.json of the model in folder `path` into folder `output`.

    `output` exists and is empty. `bits` of one weight, `group_size` weights share a scale, `mode` is MLX's name.
    """

    path: str
    output: str
    kind: Kind
    bits: int
    group_size: int
    mode: str


class Quantizing(Value, frozen=True, tag="quantizing"):
    """The progress of a job, in bytes of the source's weights."""

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
