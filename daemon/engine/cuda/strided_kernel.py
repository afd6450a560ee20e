"""Kernels of ours that are told how their inputs lie in memory, kept on disk.

MLX tells shapes and strides only to a kernel that it compiles from source (`mx.fast.cuda_kernel`): anew in each
process, with headers that take a second or two. But first it looks on disk, under the name and hash of what it would
compile (custom_kernel.cpp, `build_kernel`; jit_module.cpp, `read_cached_ptx`). So MLX is given a line that says what
the kernel wants to know, and under the hash of what MLX makes of that line lies our own kernel, compiled without
headers. The line is no code: where the file is not found, MLX says that it cannot compile it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from .cubins import Asked, Cubins

TYPES: dict[mx.Dtype, str] = {mx.bfloat16: "__nv_bfloat16", mx.float16: "__half", mx.float32: "float"}
"""As MLX writes them (mlx/backend/cuda/utils.cpp, `dtype_to_cuda_type`)."""

_ALONE: dict[mx.Dtype, str] = {mx.bfloat16: "unsigned short", mx.float16: "unsigned short", mx.float32: "float"}
"""As our kernels have them, where no header says what half precision is."""
_PREFIX = "custom_kernel_"
_BEGINNING = '\n#include "mlx/backend/cuda/device/utils.cuh"\n\n#include <cooperative_groups.h>\n\n'
_NAMESPACES = "namespace mlx::core::cu {\n\nnamespace cg = cooperative_groups;\n\n"
_END = "\n}\n\n} // namespace mlx::core::cu\n"


@dataclass(frozen=True)
class Argument:
    """An input or an output, and whether the function takes its shape and its strides too, as `<name>_shape` and
    `<name>_strides`."""

    name: str
    dtype: mx.Dtype
    shape: bool = False
    strides: bool = False

    @property
    def asked(self) -> list[str]:
        return [f"{self.name}_{what}" for what, wanted in (("shape", self.shape), ("strides", self.strides)) if wanted]


def kernel_on_disk(
    cubins: Cubins,
    name: str,
    source: Callable[[str], str],
    inputs: Sequence[Argument],
    output: Argument,
    shared_memory: int,
) -> Any | None:
    """What `mx.fast.cuda_kernel` gives, of the kernel that `source` gives for its parameters; None where kernels are
    not kept. `shared_memory`: bytes of a block. Raises CompilerError."""
    line = "#error on disk: " + " ".join(word for one in inputs for word in one.asked)

    def asked(kept: str) -> Asked:
        called = _PREFIX + kept
        return Asked(called, _mlx_source(called, line, inputs, output).encode(), f"mlx::core::cu::{called}")

    parameters = ", ".join(_parameters(inputs, output, _ALONE))
    kept = cubins.kept(name, source(parameters), asked)
    if kept is None:
        return None
    return mx.fast.cuda_kernel(
        name=kept,
        input_names=[one.name for one in inputs],
        output_names=[output.name],
        source=line,
        ensure_row_contiguous=False,
        shared_memory=shared_memory,
    )


def _mlx_source(name: str, line: str, inputs: Sequence[Argument], output: Argument) -> str:
    """What MLX would compile."""
    *before, last = _parameters(inputs, output, TYPES)
    lines = "".join(f"    {one},\n" for one in before) + f"    {last}) {{\n"
    return f"{_BEGINNING}{_NAMESPACES}__global__ void {name}(\n{lines}{line}{_END}"


def _parameters(inputs: Sequence[Argument], output: Argument, types: Mapping[mx.Dtype, str]) -> list[str]:
    """In the order in which MLX gives them."""
    found = []
    for one in inputs:
        found.append(f"const {types[one.dtype]}* {one.name}")
        kinds = {f"{one.name}_shape": "Shape", f"{one.name}_strides": "Strides"}
        found += [f"const __grid_constant__ {kinds[word]} {word}" for word in one.asked]
    return [*found, f"{types[output.dtype]}* {output.name}"]
