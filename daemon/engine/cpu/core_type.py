"""Which kernels OpenBLAS takes for a processor that is newer than it.

OpenBLAS goes by a list of the models that it knows (driver/others/dynamic.c), and takes kernels of 2004 for one that is
not in it, though what such a processor can do is plain from its flags. `OPENBLAS_CORETYPE` names others, and is read
when the library is loaded.
"""

from __future__ import annotations

import ctypes
import os
import platform
from typing import Any

from ..instructions import instruction_sets

VARIABLE = "OPENBLAS_CORETYPE"
_NEEDS = (
    ("SkylakeX", frozenset({"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"})),
    ("Haswell", frozenset({"avx2", "fma"})),
)
_OLD = frozenset(
    {
        *("Prescott", "Atom", "Core2", "Penryn", "Dunnington", "Nehalem", "Sandybridge", "Nano"),
        *("Opteron", "Opteron_SSE3", "Barcelona", "Bobcat", "Bulldozer", "Piledriver", "Steamroller"),
    }
)
"""Core types without AVX2, as OpenBLAS calls them."""


def better(core: str, can: frozenset[str]) -> str | None:
    """The core type that a processor that can do this deserves; None where `core` is as good."""
    if core not in _OLD:
        return None
    return next((name for name, needed in _NEEDS if needed <= can), None)


def load(name: str) -> ctypes.CDLL:
    """This OpenBLAS, globally, with kernels that suit the processor, unless the user has named some. Raises OSError."""
    library = ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
    if VARIABLE in os.environ or platform.machine() not in ("x86_64", "AMD64"):
        return library
    wanted = better(core(library), instruction_sets())
    if wanted is None or not _unload(library, name):
        return library
    os.environ[VARIABLE] = wanted
    return ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)


def core(library: Any) -> str:
    """What it calls the kernels that it takes; nothing where it does not say."""
    try:
        asked = library.openblas_get_corename
    except AttributeError:
        return ""
    asked.restype = ctypes.c_char_p
    return bytes(asked() or b"").decode("ascii", "replace")


def _unload(library: ctypes.CDLL, name: str) -> bool:
    """Whether it is gone: somebody else may have loaded it too."""
    ctypes.CDLL(None).dlclose(ctypes.c_void_p(library._handle))
    try:
        ctypes.CDLL(name, mode=os.RTLD_NOLOAD)
    except OSError:
        return True
    return False
