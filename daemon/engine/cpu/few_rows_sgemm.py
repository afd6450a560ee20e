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
from functools import partial
from pathlib import Path

import mlx.core as mx

from . import few_rows, jump_slot
from .jump_slot import JumpSlot
from .sgemm_source import SOURCE
from .stopwatch import faster
from .threads import use_all_cores

LIBRARY, SYMBOL = "libmlx.so", "cblas_sgemm"
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-shared")
MEASURED_ROWS = (1, 4, 8, 16, 32, 64)
MEASURED_SHAPE = (4096, 1024)
PAYS = 0.95
CLOSE = 1e-5
"""How far a product may be from the library's, as a part of the greatest number."""


class FewRowsSgemm:
    """`most_rows`: up to so many rows are multiplied by the kernel, once it is there; 0: none."""

    def __init__(self) -> None:
        self.most_rows = 0

    def attempt(self, rows: int) -> None:
        """One kernel is for all numbers of rows, and used at once. Raises RuntimeError where it is missing."""
        if rows > 1:
            return
        library = _compiled()
        mx.eval(mx.ones((2, 2)) @ mx.ones((2, 2)))  # after its first call the slot has the function's address
        mx.synchronize()
        slot = jump_slot.find(LIBRARY, SYMBOL)
        if slot is None:
            return
        most = _install(library, slot)
        use_all_cores(False)
        if not _same(most):
            sys.stderr.write("multiply few rows by the library: the kernel for them computes something else\n")
            sys.stderr.flush()
            return
        self.most_rows = most.value = _rows_that_pay(most)
        few_rows.leave_whole(self.most_rows)
        sys.stderr.write(f"multiply few rows by a kernel of our own rows={self.most_rows}\n")
        sys.stderr.flush()

    def use_fused(self) -> None:
        """It is used already."""


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


def _install(library: ctypes.CDLL, slot: JumpSlot) -> ctypes.c_int:
    """In front of what MLX calls now. Gives the number of rows that the kernel takes, which is 0."""
    most = ctypes.c_int.in_dll(library, "most_rows")
    most.value = 0
    ctypes.c_uint64.in_dll(library, "library_sgemm").value = slot.target
    address = ctypes.cast(library.few_rows_sgemm, ctypes.c_void_p).value
    assert address is not None
    slot.target = address
    return most


def _same(most: ctypes.c_int) -> bool:
    """Whether products are those of the library: of each way, with and without what is left over."""
    for rows in (1, 2, 3, 4, 5, 8, 9, 16, 17, 32, 33, 64):
        for inputs, outputs in ((64, 64), (67, 71), (1000, 32), (515, 260)):
            x = mx.random.normal((rows, inputs), key=mx.random.key(rows))
            weight = mx.random.normal((outputs, inputs), key=mx.random.key(outputs))
            for other in (weight.T, mx.contiguous(weight.T)):
                mx.eval(x, other)
                products = []
                for most.value in (0, rows):
                    products.append(x @ other)
                    mx.eval(products)
                most.value = 0
                if not mx.abs(products[0] - products[1]).max() <= CLOSE * mx.abs(products[0]).max():
                    return False
    return True


def _rows_that_pay(most: ctypes.c_int) -> int:
    """Up to how many rows it is faster, with as many threads of the library's as decode steps have."""
    found, tiled = 0, few_rows.rows_that_pay()
    weight = mx.ones(MEASURED_SHAPE)

    def way(rows: int, x: mx.array, limit: int) -> mx.array:
        most.value = limit
        return x @ weight.T if limit else few_rows.product(x, weight, tiled)

    for rows in MEASURED_ROWS:
        x = mx.ones((rows, MEASURED_SHAPE[1]))
        mx.eval(weight, x)
        if not faster(partial(way, rows, x, rows), partial(way, rows, x, 0), PAYS):
            break
        found = rows
    most.value = 0
    return found
