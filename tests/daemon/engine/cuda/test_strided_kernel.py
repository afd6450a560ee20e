"""A kernel that is told shapes and strides lies where MLX looks for what it would compile.

MLX's text is that of custom_kernel.cpp, `build_kernel`, in 0.32; that its CUDA backend finds the file was seen on a GPU
(docs/performance.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from mlx_serve.daemon.engine.cuda import cubins, nvrtc
from mlx_serve.daemon.engine.cuda.cubins import Cubins
from mlx_serve.daemon.engine.cuda.strided_kernel import Argument, kernel_on_disk

INPUTS = (
    Argument("queries", mx.bfloat16, shape=True, strides=True),
    Argument("values", mx.float16, strides=True),
    Argument("factor", mx.float32),
)
OUTPUT = Argument("attended", mx.bfloat16)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What MLX is asked for; the compiler gives back its source."""
    asked: list[dict[str, Any]] = []

    def cuda_kernel(**options: Any) -> str:
        asked.append(options)
        return "kernel"

    monkeypatch.setattr(mx.fast, "cuda_kernel", cuda_kernel)
    monkeypatch.setattr(nvrtc, "compile_source", lambda source, architecture: source.encode())
    monkeypatch.setattr(nvrtc, "version", lambda: "13.0")
    return asked


def source(parameters: str) -> str:
    return f"void KERNEL({parameters})"


def test_it_lies_where_mlx_looks(made: list[dict[str, Any]], tmp_path: Path) -> None:
    """Under the hash of all that MLX would compile, with the name that it asks for."""
    assert kernel_on_disk(Cubins(tmp_path), "causal", source, INPUTS, OUTPUT, 52224) == "kernel"
    (options,) = made
    name, line = f"custom_kernel_{options['name']}", options["source"]
    would_compile = f"""
#include "mlx/backend/cuda/device/utils.cuh"

#include <cooperative_groups.h>

namespace mlx::core::cu {{

namespace cg = cooperative_groups;

__global__ void {name}(
    const __nv_bfloat16* queries,
    const __grid_constant__ Shape queries_shape,
    const __grid_constant__ Strides queries_strides,
    const __half* values,
    const __grid_constant__ Strides values_strides,
    const float* factor,
    __nv_bfloat16* attended) {{
{line}
}}

}} // namespace mlx::core::cu
"""
    path = tmp_path / f"{name}_{cubins._hash(would_compile.encode()):x}.ptx"
    assert {path.name, path.with_suffix(".txt").name} == {one.name for one in tmp_path.iterdir()}
    names = path.with_suffix(".txt").read_text().splitlines()[0]
    assert names == f"mlx::core::cu::{name}\t{options['name']}"


def test_mlx_gives_what_the_function_takes(made: list[dict[str, Any]], tmp_path: Path) -> None:
    """MLX looks for `<name>_shape` and the like in the source: what is in the line is what the kernel has, and no more;
    and the line is no code, so that nothing wrong is computed where the file is not found."""
    kernel_on_disk(Cubins(tmp_path), "causal", source, INPUTS, OUTPUT, 52224)
    (options,) = made
    assert options["input_names"] == ["queries", "values", "factor"] and options["output_names"] == ["attended"]
    assert not options["ensure_row_contiguous"] and options["shared_memory"] == 52224
    line = options["source"]
    assert line.startswith("#error")
    found = [f"{one}_{what}" for one in options["input_names"] for what in ("shape", "strides", "ndim")]
    assert [word for word in found if word in line] == ["queries_shape", "queries_strides", "values_strides"]
    (path,) = tmp_path.glob("*.ptx")
    assert path.read_text().endswith(
        "(const unsigned short* queries, const __grid_constant__ Shape queries_shape,"
        " const __grid_constant__ Strides queries_strides, const unsigned short* values,"
        " const __grid_constant__ Strides values_strides, const float* factor, unsigned short* attended)"
    )


def test_without_a_place_there_is_none(made: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for kept in (Cubins(), Cubins(tmp_path / "file")):
        assert kernel_on_disk(kept, "causal", source, INPUTS, OUTPUT, 1) is None
    assert not made
