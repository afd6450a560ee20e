"""Products of few rows by a kernel of our own, in front of the BLAS that MLX multiplies with.

MLX knows one product for the processor, `cblas_sgemm`, which it calls by way of a jump slot. The kernel is compiled
while a model rests, as those are that MLX fuses (`kernels.fusing`), is compared with the library, and takes what it
multiplies faster on this machine; with as many threads beside the one that computes as make it faster still.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import mlx.core as mx

from . import few_rows, jump_slot
from .cores import usable
from .sgemm_source import SOURCE
from .stopwatch import faster, ratio
from .threads import use_all_cores

LIBRARY, SYMBOL = "libmlx.so", "cblas_sgemm"
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-shared")
MEASURED_ROWS = (1, 4, 8, 16, 32, 64)
MEASURED_SHAPE = (2048, 1024)
WEIGHTS = 4
"""Matrices of that shape in turns: in a step no weight is in a cache, as it was last needed a step ago."""
PAYS, HOPELESS = 0.95, 1.25
"""At most this share of the library's time; and from which on more rows are not tried. In between a number of rows says
nothing about larger ones."""
HELPERS = (1, 3, 7, 15)
HELP_PAYS = 0.9
"""Two threads take at most this share of one's time, and so on; else the power goes for nothing."""

CLOSE = 1e-5
"""How far a product may be from the library's, as a part of the greatest number."""


class FewRowsSgemm:
    """`most_rows`: up to so many rows are multiplied by the kernel, once it is there; 0: none. `helpers`: threads that
    take a part of large products."""

    def __init__(self) -> None:
        self.most_rows = self.helpers = 0
        self._kernel: _Kernel | None = None
        self._pays = True

    def attempt(self, rows: int) -> None:
        """Called with one number of rows after the other, so that none holds up for long who comes meanwhile; what is
        faster is used at once. Raises RuntimeError where the kernel is missing."""
        if rows == 1:
            self._kernel = _install()
        kernel = self._kernel
        if kernel is None or not self._pays:
            return
        use_all_cores(False)  # as decode steps have it
        if rows == 1:
            kernel.help_with(most_helpers())  # so that what they compute is compared too
        if not _same(kernel.limit, rows):
            self._stop("the kernel for them computes something else")
        elif rows in MEASURED_ROWS:
            if rows == 1:
                self.helpers = _helpers_that_pay(kernel)
            share = _share(kernel.limit, rows)
            self._pays = share <= HOPELESS
            self.most_rows = rows if share <= PAYS else self.most_rows
        kernel.limit.value = self.most_rows
        few_rows.leave_whole(self.most_rows)

    def use_fused(self) -> None:
        """It is used already."""
        if self.most_rows:
            _tell(f"multiply few rows by a kernel of our own rows=1-{self.most_rows} threads={1 + self.helpers}")

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


class _Kernel:
    """`limit`: the number of rows that it takes, which is 0 at first."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.limit = ctypes.c_int.in_dll(library, "most_rows")
        self._help_with = library.help_with

    def help_with(self, helpers: int) -> int:
        """From now on; gives how many there are."""
        return int(self._help_with(helpers))


def most_helpers() -> int:
    """With the thread that computes they are no more than the cores, nor than the user wants of OpenBLAS."""
    wanted = os.environ.get("OPENBLAS_NUM_THREADS", "")
    most = min(usable(), int(wanted)) if wanted.isdecimal() and int(wanted) else usable()
    return min(most - 1, HELPERS[-1])


def _install() -> _Kernel | None:
    """Put the kernel in front of what MLX calls; None where MLX does not call by way of a slot."""
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
    return _Kernel(library)


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


def _helpers_that_pay(kernel: _Kernel) -> int:
    """As many as make a product of one row faster, which is the hardest: it waits for memory."""
    weight, x = mx.ones(MEASURED_SHAPE), mx.ones((1, MEASURED_SHAPE[1]))
    mx.eval(weight, x)
    kernel.limit.value = 1

    def with_helpers(count: int) -> Callable[[], mx.array]:
        def way() -> mx.array:
            kernel.help_with(count)
            return x @ weight.T

        return way

    found = 0
    for count in HELPERS:
        if count > most_helpers() or not faster(with_helpers(count), with_helpers(found), HELP_PAYS):
            break
        found = count
    return kernel.help_with(found)


def _share(limit: ctypes.c_int, rows: int) -> float:
    """Of the library's time, for so many rows, with as many threads of the library's as decode steps have."""
    weights, x = (
        [mx.full(MEASURED_SHAPE, 1.0 + number) for number in range(WEIGHTS)],
        mx.ones((rows, MEASURED_SHAPE[1])),
    )
    mx.eval(weights, x)
    turns = cycle(weights)

    def ours() -> mx.array:
        limit.value = rows
        return x @ next(turns).T

    def theirs() -> mx.array:
        limit.value = 0
        few_rows.leave_whole(0)
        return few_rows.product(x, next(turns), few_rows.rows_that_pay())

    return ratio(ours, theirs, PAYS)
