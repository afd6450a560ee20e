"""With the machine's own compiler: the same answers come of fused steps, and no kernel is compiled twice."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.engine_client import Engine
from support.extent import only_long
from support.own_process import run_module

from mlx_serve.daemon.protocol import Sampling, TextPrompt

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("g++") is None, reason="MLX compiles kernels with g++, on Linux only"
)


def test_a_function_is_fused_with_a_kernel_that_was_compiled_once(tmp_path: Path) -> None:
    """One kernel for all numbers of rows, and for arrays that lie otherwise in memory; what has none fails at once. A
    second process finds it, without a compiler; there the steps of a model meet missing ones too, and go on."""
    for compiled in (3, 0):
        temporary = tmp_path / str(compiled)
        temporary.mkdir()
        run_module("support.fused_function", tmp_path / "root", temporary, compiled)


def answers(child: Engine) -> list[list[int]]:
    """Greedy ones: two beside each other, then one alone."""

    def finish(*texts: str) -> list[list[int]]:
        options = {"sampling": Sampling(temperature=0.0), "max_tokens": 60, "ignore_eos": True, "want_context": True}
        asked = [child.generate(TextPrompt(text=text), **options) for text in texts]
        child.finish(asked)
        return [one.answer for one in asked]

    return [*finish("hello the world", "the world"), *finish("hello the world")]


def fused(child: Engine) -> str:
    """The line that says so."""
    child.read_until(lambda: "decode steps" in child.stderr())
    return child.stderr()


@only_long
@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma3", "qwen3_moe", "qwen3_next", "phi3"])
def test_answers_stay_the_same(checkpoint: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    """Replayed, then fused; in the next process, which has no compiler, from what the first has left; and in one that
    finds a kernel damaged."""
    root, nothing = tmp_path / "kernels", {"PATH": str(tmp_path)}
    found = []
    for environ in ({}, nothing, {}, nothing):
        with Engine(environ) as child:
            child.load(checkpoint(name), max_batch=3, kernels=root)
            found += [answers(child), fused(child).partition(" seconds")[0], answers(child)]
        kernels = sorted(root.glob("*/*.so"))
        if len(found) == 6:
            kernels[0].write_bytes(kernels[0].read_bytes()[:-100])
            os.truncate(kernels[-1], 0)
    texts = [one for one in found if isinstance(one, list)]
    assert all(one == texts[0] for one in texts)
    told = [one for one in found if isinstance(one, str)]
    damaged = min(2, len(kernels))
    for line, compiled in zip(told, (len(kernels), 0, damaged, 0), strict=True):
        assert "fuse decode steps" in line and line.endswith(f" rows=1-3 compiled={compiled}")
