"""Engines whose steps a thread of its own hands to MLX, as on an NVIDIA GPU; nobody evaluates beside it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import pytest

from mlx_serve.daemon.engine.generate.dispatch import Dispatch


@contextlib.contextmanager
def dispatch_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dispatch]:
    """For one engine of this thread. An evaluation here while the other thread may be at one is an AssertionError."""
    before = mx.default_stream(mx.default_device())
    mx.set_default_stream(mx.new_thread_unsafe_stream(mx.default_device()))
    dispatch, own = Dispatch(threaded=True), threading.current_thread()

    def guarded(evaluate: Any) -> Any:
        def call(*arrays: Any) -> None:
            assert threading.current_thread() is not own or not dispatch.under_way, "evaluated beside the other thread"
            evaluate(*arrays)

        return call

    with monkeypatch.context() as patched:
        for name in ("eval", "async_eval"):
            patched.setattr(mx, name, guarded(getattr(mx, name)))
        try:
            yield dispatch
        finally:
            dispatch.close()
            mx.set_default_stream(before)
