"""OpenBLAS multiplies with all cores while only prompts are read, and leaves one free else."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

from mlx_serve.daemon.engine.blas import NAMES
from mlx_serve.daemon.engine.cpu import threads
from mlx_serve.daemon.engine.cpu.others import Others
from mlx_serve.daemon.engine.cpu.threads import Threads

OWN_THREADS, OPENMP = 1, 2


class Library:
    """What OpenBLAS has to say of its threads."""

    def __init__(self, cores: int, sort: int = OWN_THREADS) -> None:
        self.cores = cores
        self.sort = sort
        self.set: list[int] = []

    def openblas_get_num_threads(self) -> int:
        return self.cores

    def openblas_get_parallel(self) -> int:
        return self.sort

    def openblas_set_num_threads(self, number: int) -> None:
        self.set.append(number)


@pytest.fixture(autouse=True)
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "usable", lambda: 64)


class Idle(Others):
    """So many cores are used by others."""

    used = 0.0

    @property
    def cores(self) -> float:
        return self.used


def test_one_core_is_left_free_until_all_are_wanted() -> None:
    library = Library(4)
    own = Threads(library, Idle())
    assert library.set == [3]
    for wanted in (True, True, False, False, True):
        own.use_all(wanted)
    assert library.set == [3, 4, 3, 4]


def test_what_others_use_is_not_taken() -> None:
    """While another program keeps a core busy; all of them again when it has ended."""
    library, others = Library(4), Idle()
    own = Threads(library, others)
    for others.used in (0.1, 0.9, 2.0, 0.2):
        own.use_all(True)
    assert library.set == [3, 4, 3, 4]


def test_a_single_core_is_never_changed() -> None:
    library = Library(1)
    own = Threads(library, Idle())
    own.use_all(True)
    own.use_all(False)
    assert library.set == []


def test_threads_of_openmp_are_set_once() -> None:
    """Before anything is computed: later it would free buffers that a product may use."""
    library = Library(4, OPENMP)
    own = Threads(library, Idle())
    own.use_all(True)
    assert library.set == [3]


def test_no_more_threads_than_cores_that_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container that has two of a machine's 64."""
    monkeypatch.setattr(threads, "usable", lambda: 2)
    library = Library(64)
    own = Threads(library, Idle())
    own.use_all(True)
    assert library.set == [1, 2]


@pytest.fixture
def nothing_adopted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_threads", None)
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)


@pytest.mark.usefixtures("nothing_adopted")
def test_the_user_s_number_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    library = Library(3)
    threads.adopt(library)
    threads.use_all_cores(True)
    assert library.set == []


@pytest.mark.usefixtures("nothing_adopted")
def test_a_library_that_cannot_be_told_is_left_alone() -> None:
    threads.adopt(object())
    threads.use_all_cores(True)


@pytest.mark.usefixtures("nothing_adopted")
def test_the_first_prompt_after_a_load_has_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was at work while the model was loaded does not keep it from them."""

    class Loading(Idle):
        cores = 1.0

        def forget(self) -> None:
            self.cores = 0.0

    library = Library(4)
    monkeypatch.setattr(threads, "Others", Loading)
    threads.adopt(library)
    threads.use_all_cores(True)
    assert library.set == [3]
    threads.forget_others()
    threads.use_all_cores(True)
    assert library.set == [3, 4]


@pytest.mark.usefixtures("nothing_adopted")
def test_without_the_library_there_is_nothing_to_forget() -> None:
    threads.forget_others()


def openblas() -> Any:
    for name in NAMES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    pytest.skip("there is no OpenBLAS on this machine")


def test_a_child_begins_with_one_core_free() -> None:
    """The library that it has loaded says so, and follows."""
    openblas()
    code = (
        "import ctypes, os\n"
        "from mlx_serve.daemon.engine.blas import NAMES, prefer_openblas\n"
        "from mlx_serve.daemon.engine.cpu import threads\n"
        "assert prefer_openblas() is None\n"
        "for name in NAMES:\n"
        "    try: library = ctypes.CDLL(name)\n"
        "    except OSError: continue\n"
        "    break\n"
        "print(library.openblas_get_num_threads())\n"
        "threads.FREE = 1e9\n"  # whoever uses this machine
        "threads.use_all_cores(True)\n"
        "print(library.openblas_get_num_threads(), library.openblas_get_parallel())\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OPENBLAS", "OMP"))}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    few, most, sort = map(int, done.stdout.split())
    if sort == OWN_THREADS:
        assert most >= 1 and few == max(1, most - 1)


def test_the_number_changes_while_another_thread_multiplies() -> None:
    """Thousands of times in the midst of products, all of which are right: integers, so to the bit."""
    library = openblas()
    if library.openblas_get_parallel() != OWN_THREADS:
        pytest.skip("this OpenBLAS has no threads of its own")
    rows, inner, columns = 96, 128, 160
    source = np.random.default_rng(0)
    a = source.integers(-4, 5, (rows, inner)).astype(np.float32)
    b = source.integers(-4, 5, (inner, columns)).astype(np.float32)
    expected, before = a @ b, library.openblas_get_num_threads()
    pointer, real, whole = ctypes.POINTER(ctypes.c_float), ctypes.c_float, ctypes.c_int
    library.cblas_sgemm.argtypes = [*[whole] * 6, real, pointer, whole, pointer, whole, real, pointer, whole]
    ended = threading.Event()
    changes = 0

    def change() -> None:
        nonlocal changes
        while not ended.is_set():
            for number in (1, before):
                library.openblas_set_num_threads(number)
                changes += 1

    changing = threading.Thread(target=change)
    changing.start()
    try:
        for _ in range(100):
            found = np.zeros((rows, columns), np.float32)
            places = [array.ctypes.data_as(pointer) for array in (a, b, found)]
            sizes = (rows, columns, inner)
            library.cblas_sgemm(
                101, 111, 111, *sizes, 1.0, places[0], inner, places[1], columns, 0.0, places[2], columns
            )
            assert (found == expected).all()
    finally:
        ended.set()
        changing.join()
        library.openblas_set_num_threads(before)
    assert changes > 100
