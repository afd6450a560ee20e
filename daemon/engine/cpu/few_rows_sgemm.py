"""Products of few rows by a kernel of our own, in front of the BLAS that MLX multiplies with.

MLX knows one product for the processor, `cblas_sgemm`, which it calls by way of a jump slot. The kernel is compiled
while a model rests, as those are that MLX fuses (`kernels.fusing`), is compared with the library, and takes what it
multiplies faster on this machine.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import tempfile
from pathlib import Path

import mlx.core as mx

from . import few_rows, jump_slot
from .sgemm_source import SOURCE
from .stopwatch import faster
from .threads import use_all_cores

LIBRARY, SYMBOL = "libmlx.so", "cblas_sgemm"
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-shared")
MEASURED_ROWS = (1, 4, 8, 16, 32, 64)
MEASURED_SHAPE = (2048, 1024)
PAYS = 0.95
CLOSE = 1e-5
"""How far a product may be from the library's, as a part of the greatest number."""


class FewRowsSgemm:
    """`most_rows`: up to so many rows are multiplied by the kernel, once it is there; 0: none."""

    def __init__(self) -> None:
        self.most_rows = 0
        self._limit: ctypes.c_int | None = None  # the kernel's own
        self._pays = True

    def attempt(self, rows: int) -> None:
        """Called with one number of rows after the other, so that none holds up for long who comes meanwhile; what is
        faster is used at once. Raises RuntimeError where the kernel is missing."""
        if rows == 1:
            self._limit = _install()
        if self._limit is None or not self._pays:
            return
        use_all_cores(False)  # as decode steps have it
        if not _same(self._limit, rows):
            self._stop("the kernel for them computes something else")
        elif rows in MEASURED_ROWS:
            self._pays = _faster(self._limit, rows)
            self.most_rows = rows if self._pays else self.most_rows
        self._limit.value = self.most_rows
        few_rows.leave_whole(self.most_rows)

    def use_fused(self) -> None:
        """It is used already."""
        if self.most_rows:
            _tell(f"multiply few rows by a kernel of our own rows=1-{self.most_rows}")

    def _stop(self, reason: str) -> None:
        self.most_rows, self._pays = 0, False
        _tell(f"multiply few rows by the library: {reason}")


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _compiled() -> ctypes.CDLL:
    """As MLX has its kernels compiled. Raises RuntimeError where it is not there yet."""
    with tempfile.TemporaryDirectory(prefix="sgemm-") as folder:
        source, library = Path(folder, "few_rows_sgemm.cpp"), Path(folder, "few_rows_sgemm.so")
        source.write_text(SOURCE)
        call = ["g++", *FLAGS, str(source), "-o", str(library)]
        try:
            done = subprocess.run(call, stdin=subprocess.DEVNULL, capture_output=True, check=False)
            if done.returncode:
                raise RuntimeError("the kernel for products of few rows is missing")
            return ctypes.CDLL(str(library))
        except OSError as error:
            raise RuntimeError(f"the kernel for products of few rows cannot be loaded: {error}") from error


def _install() -> ctypes.c_int | None:
    """Put the kernel in front of what MLX calls. Gives the number of rows that it takes, which is 0; None where MLX
    does not call by way of a slot."""
    library = _compiled()
    mx.eval(mx.ones((2, 2)) @ mx.ones((2, 2)))  # after its first call the slot has the function's address
    mx.synchronize()
    slot = jump_slot.find(LIBRARY, SYMBOL)
    if slot is None:
        return None
    ctypes.c_uint64.in_dll(library, "library_sgemm").value = slot.target
    address = ctypes.cast(library.few_rows_sgemm, ctypes.c_void_p).value
    assert address is not None
    slot.target = address
    return ctypes.c_int.in_dll(library, "most_rows")


def _same(limit: ctypes.c_int, rows: int) -> bool:
    """Whether products of so many rows are those of the library: of each way, with and without what is left over."""
    for inputs, outputs in ((64, 64), (67, 71), (1000, 32), (515, 260)):
        x = mx.random.normal((rows, inputs), key=mx.random.key(rows))
        weight = mx.random.normal((outputs, inputs), key=mx.random.key(outputs))
        for other in (weight.T, mx.contiguous(weight.T)):
            mx.eval(x, other)
            products = []
            for limit.value in (0, rows):
                products.append(x @ other)
                mx.eval(products)
            if not mx.abs(products[0] - products[1]).max() <= CLOSE * mx.abs(products[0]).max():
                return False
    return True


def _faster(limit: ctypes.c_int, rows: int) -> bool:
    """Whether it is, for so many rows, with as many threads of the library's as decode steps have."""
    weight, x = mx.ones(MEASURED_SHAPE), mx.ones((rows, MEASURED_SHAPE[1]))
    mx.eval(weight, x)

    def ours() -> mx.array:
        limit.value = rows
        return x @ weight.T

    def theirs() -> mx.array:
        limit.value = 0
        few_rows.leave_whole(0)
        return few_rows.product(x, weight, few_rows.rows_that_pay())

    return faster(ours, theirs, PAYS)
