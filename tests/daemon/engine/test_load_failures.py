"""What a load that fails says."""

from __future__ import annotations

import pytest

from mlx_serve.daemon.engine.serve import _load_failed

FULL = "memory ran out for it; end what else takes memory there, unload another model, or take a smaller one"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (MemoryError(), "insufficient_memory", f"{FULL} (MemoryError)"),
        (
            RuntimeError("[malloc] Unable to allocate 12 bytes."),
            "insufficient_memory",
            f"{FULL} (RuntimeError: [malloc] Unable to allocate 12 bytes.)",
        ),
        (
            RuntimeError("cudaMallocAsync(&data, size, stream) failed: out of memory"),
            "insufficient_memory",
            f"{FULL} (RuntimeError: cudaMallocAsync(&data, size, stream) failed: out of memory)",
        ),
        (OSError("/home/me/models/x has\nno file"), "internal_error", "OSError: the model has no file"),
    ],
)
def test_where_memory_ran_out_it_says_what_to_do(error: Exception, code: str, message: str) -> None:
    """Whichever way a backend says so; of anything else the error, without a path of this machine."""
    failed = _load_failed(error, "/home/me/models/x")
    assert (failed.code, failed.message) == (code, message)
