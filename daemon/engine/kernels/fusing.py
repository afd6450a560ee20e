"""From replayed decode steps to fused ones, while a model rests: what is missing is compiled, then all change at once.

Each function is tried with made-up rows; a kernel that is missing is noted by the stand-in for the compiler, and a
process of its own compiles it. When every function has every kernel for every number of rows, the next steps use them.
Whatever fails leaves everything as it is, and is told once.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import mlx.core as mx

from . import kernel_process, stand_in
from .fused import fusing_works
from .kernel_files import KernelFiles, folder_name

POLL_SECONDS = 0.25
MOST_ROWS = 64
"""Steps of more rows are replayed: what they gain is little, and each number of rows is tried."""


class Function(Protocol):
    """What a layer does in a decode step."""

    def attempt(self, rows: int) -> None:
        """Compute it, fused, with made-up arrays of so many rows. Raises RuntimeError where a kernel is missing."""

    def use_fused(self) -> None:
        """From now on what was attempted is computed so."""


class Fusing:
    """Called with each rest of the engine; gives after how many seconds it wants to be called again, None: not before
    the next rest. `root`: where the kernels of this home are. `busy`: whether work has come meanwhile.
    `compiled` are the keys of the kernels that were not there."""

    def __init__(self, functions: Sequence[Function], rows: int, root: Path, busy: Callable[[], bool]) -> None:
        self._functions = functions
        self._left = dict.fromkeys(functions, 1)  # the number of rows that is next
        self._most_rows = min(rows, MOST_ROWS)
        self._files = KernelFiles(root, folder_name(mx.__version__))  # type: ignore[attr-defined]
        self._busy = busy
        self._path = os.environ.get("PATH", os.defpath)
        self._wanted: Path | None = None
        self._compiler: subprocess.Popen[str] | None = None
        self.compiled: set[str] = set()
        self._began = time.monotonic()

    def __call__(self) -> float | None:
        if not self._left:
            return None
        try:
            return self._go_on()
        except Exception as error:
            self._left = {}
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            _tell(f"compile kernels: {reason[:400]}; decode steps stay as they are")
            return None

    def _go_on(self) -> float | None:
        if self._wanted is None:
            self._wanted = self._prepare()
        if self._compiler is not None:
            if self._compiler.poll() is None:
                return POLL_SECONDS
            self._end_compiler(self._compiler)
        missing = self._missing(self._wanted)
        while self._left and not missing:
            if self._busy():
                return None
            missing = self._try(next(iter(self._left)), self._wanted)
        if missing:
            if self._busy():
                return None
            self._start_compiler(missing, self._wanted)
            return POLL_SECONDS
        for function in self._functions:
            function.use_fused()
        _tell(
            f"fuse decode steps functions={len(self._functions)} rows=1-{self._most_rows}"
            f" compiled={len(self.compiled)} seconds={time.monotonic() - self._began:.1f}"
        )
        return None

    def _prepare(self) -> Path:
        """From here on this process finds no other compiler than the stand-in."""
        folder = Path(tempfile.mkdtemp(prefix="kernels-"))
        wanted, programs = folder / "wanted", folder / "bin"
        wanted.mkdir()
        programs.mkdir()
        stand_in.install(programs, self._files, wanted)
        os.environ["PATH"] = str(programs)
        if not fusing_works():
            raise RuntimeError("MLX fuses nothing here")
        return wanted

    def _try(self, function: Function, wanted: Path) -> set[str]:
        """The next number of rows; gives the key of the kernel that is missing, if one is."""
        rows = self._left[function]
        try:
            function.attempt(rows)
        except RuntimeError:
            missing = self._missing(wanted)
            if not missing:
                raise
            return missing
        self._left[function] = rows + 1
        if rows == self._most_rows:
            del self._left[function]
        return set()

    def _missing(self, wanted: Path) -> set[str]:
        return {path.stem for path in wanted.glob("*.json")}

    def _start_compiler(self, missing: set[str], wanted: Path) -> None:
        """For one kernel, so that whoever comes meanwhile has not more of it beside them."""
        if missing & self.compiled:
            raise RuntimeError("a kernel that was compiled cannot be read back")
        self.compiled |= missing
        self._compiler = subprocess.Popen(
            kernel_process.command(self._files, wanted),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PATH": self._path},
            start_new_session=True,
            text=True,
        )

    def _end_compiler(self, compiler: subprocess.Popen[str]) -> None:
        said, _ = compiler.communicate()
        self._compiler = None
        if compiler.returncode:
            raise RuntimeError(said.strip() or f"the process that compiles ended with status {compiler.returncode}")


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
