"""What every child process does first: it dies with its parent, leaves signals to it, and imports mlx_lm unharmed."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading


def inherit() -> socket.socket:
    """The socket to the parent (`--fd N`), in a process that ends when the parent does."""
    sock = socket.socket(fileno=int(sys.argv[sys.argv.index("--fd") + 1]))
    die_with_parent()
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    return sock


def die_with_parent() -> None:
    """Linux ends the child when the parent's thread ends; elsewhere the closed socket does."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def watch_for_parent(sock: socket.socket) -> None:
    """Until the mailbox reads the socket, notice a parent that goes away during the imports."""

    def watch() -> None:
        if sock.recv(1, socket.MSG_PEEK) == b"":
            os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def import_mlx_lm() -> None:
    """Importing mlx_lm lowers the limit of open files for good, so it meets a setrlimit that does nothing."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit, original = (lambda *_: None), resource.setrlimit
    import mlx_lm.utils  # noqa: F401

    resource.setrlimit = original
    original(resource.RLIMIT_NOFILE, limits)
