"""How MLX calls the C++ compiler for a kernel (`mlx/backend/cpu/jit_compiler.cpp`): `g++ FLAGS "SOURCE" -o "LIBRARY"`.

Knows no MLX: the stand-in for the compiler and the process that compiles start in a moment.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FASTER = (
    *("-march=native", "-fno-math-errno", "-fno-trapping-math", "-fno-semantic-interposition"),
    *("-finline-limit=100000", "--param=max-inline-insns-auto=10000", "--param=max-inline-insns-single=10000"),
    "--param=early-inlining-insns=1000",
)
"""By themselves MLX's flags give code for any x86-64 that calls a function for every exponential, and libm for every
step of it. With these it is inlined, and a vector of numbers is computed at once; what comes out for infinities and NaN
is the same (-ffast-math would change that)."""


@dataclass(frozen=True)
class CompilerCall:
    """One kernel to be compiled. The paths are others each time; the rest says what comes out."""

    flags: tuple[str, ...]
    source: Path
    library: Path

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> CompilerCall:
        """What follows `g++`. Raises ValueError where an MLX calls it in another way."""
        *flags, source, option, library = arguments
        if option != "-o" or Path(source).suffix != ".cpp":
            raise ValueError("not a call of the compiler for one kernel")
        return cls(tuple(flags), Path(source), Path(library))

    def key(self) -> str:
        """64 hex digits, alike for calls of which alike libraries come. Raises OSError."""
        found = hashlib.sha256(json.dumps([*self.flags, *FASTER]).encode())
        found.update(self.source.read_bytes())
        return found.hexdigest()
