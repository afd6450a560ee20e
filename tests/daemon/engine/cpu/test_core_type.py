"""OpenBLAS takes kernels that suit the processor, also one that is newer than it."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from mlx_serve.daemon.engine.blas import NAMES
from mlx_serve.daemon.engine.cpu.core_type import VARIABLE, better
from mlx_serve.daemon.engine.instructions import instruction_sets

AVX2 = frozenset({"sse2", "avx", "avx2", "fma"})
AVX512 = AVX2 | {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}


def openblas() -> str | None:
    for name in NAMES:
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return name
    return None


@pytest.mark.parametrize(
    ("core", "flags", "wanted"),
    [
        ("Prescott", AVX512, "SkylakeX"),
        ("Prescott", AVX512 - {"avx512vl"}, "Haswell"),
        ("Barcelona", AVX2, "Haswell"),
        ("Sandybridge", frozenset({"sse2", "avx"}), None),
        ("Haswell", AVX512, None),
        ("SkylakeX", AVX512, None),
        ("Zen", AVX512, None),
        ("a core of later years", AVX512, None),
        ("", AVX512, None),
    ],
)
def test_a_core_type_is_exchanged_only_where_it_is_older_than_what_the_processor_can_do(
    core: str, flags: frozenset[str], wanted: str | None
) -> None:
    assert better(core, flags) == wanted


NEEDED = pytest.mark.skipif(
    openblas() is None or not instruction_sets() >= AVX2, reason="needs OpenBLAS and a processor with AVX2"
)


def core_of(prepared: str) -> str:
    """What OpenBLAS computes with, loaded by a process that did something first."""
    code = (
        f"import ctypes, os\n{prepared}\nfrom mlx_serve.daemon.engine.cpu.core_type import core, load\n"
        f"print(core(load({openblas()!r})))"
    )
    environ = {key: value for key, value in os.environ.items() if key not in (VARIABLE, "LD_PRELOAD")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=True)
    return done.stdout.strip()


@NEEDED
def test_an_openblas_that_does_not_know_the_processor_computes_with_newer_kernels_all_the_same() -> None:
    """OpenBLAS alone sees the variable that makes it take the old ones, as if it had found no others."""
    unknown = f"ctypes.CDLL(None).setenv({VARIABLE.encode()!r}, b'Prescott', 1)"
    assert core_of(unknown) in ("SkylakeX", "Haswell")


@NEEDED
def test_a_core_type_that_the_user_has_named_stays() -> None:
    assert core_of(f"os.environ[{VARIABLE!r}] = 'Prescott'") == "Prescott"
