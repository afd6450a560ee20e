"""A model's weights into the system's file cache, from the moment it is known which model is wanted.

A child that still imports its libraries cannot read them yet, and for those seconds the disk would rest.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

WEIGHTS = "*.safetensors"
PART = 1 << 20
"""Bytes that are asked for at once: of more, Linux reads what its device reads ahead, 128 KiB to some MiB."""

Advise = Callable[[int, int, int], None]


ADVISE: Advise | None = None
"""None where the system takes no such advice."""
if sys.platform == "linux":

    def _advise(descriptor: int, offset: int, length: int) -> None:
        os.posix_fadvise(descriptor, offset, length, os.POSIX_FADV_WILLNEED)

    ADVISE = _advise


@contextlib.contextmanager
def read_ahead(folder: Path, advise: Advise | None = ADVISE) -> Iterator[None]:
    """Inside, a thread asks the system for all weight files of a folder, in the order of their names; afterwards for no
    more. Whoever reads them reports what is wrong with them. `advise` takes a descriptor, an offset and a length."""
    if advise is None:
        yield
        return
    done = threading.Event()
    thread = threading.Thread(target=_ask, args=(folder, advise, done), name="read ahead", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()


def _ask(folder: Path, advise: Advise, done: threading.Event) -> None:
    for path in sorted(folder.glob(WEIGHTS)):
        with contextlib.suppress(OSError), path.open("rb", buffering=0) as file:
            for offset in range(0, os.fstat(file.fileno()).st_size, PART):
                if done.is_set():
                    return
                advise(file.fileno(), offset, PART)
