"""The child process of one model: `python -m mlx_serve.daemon.engine.main --fd N`, N one end of a socketpair.

It imports what a model needs, says Hello, waits for Load, and runs the engine until the parent says Quit or is gone.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading

from .. import protocol
from .blas import prefer_openblas


def main() -> None:
    sock = socket.socket(fileno=int(sys.argv[sys.argv.index("--fd") + 1]))
    _die_with_parent()
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    hint = prefer_openblas()
    _watch_for_parent(sock)
    hello = _import_engine(notes=(hint,) if hint else ())
    from .life import live

    live(sock, hello)
    sys.stdout.flush()
    os._exit(0)


def _die_with_parent() -> None:
    """Linux ends the child when the parent's thread ends; elsewhere the closed socket does."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _watch_for_parent(sock: socket.socket) -> None:
    """Until the mailbox reads the socket, notice a parent that goes away during the imports."""

    def watch() -> None:
        if sock.recv(1, socket.MSG_PEEK) == b"":
            os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def _import_engine(notes: tuple[str, ...]) -> protocol.Hello:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit, original = (lambda *_: None), resource.setrlimit
    import mlx_lm.utils  # noqa: F401

    resource.setrlimit = original
    original(resource.RLIMIT_NOFILE, limits)
    from .device import describe

    return describe(notes)


if __name__ == "__main__":
    main()
