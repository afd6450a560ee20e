"""What every child process does first: it dies with its parent, leaves signals to it, and imports mlx_lm unharmed and
soon, and no PyTorch."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any


def inherit() -> socket.socket:
    """The socket to the parent (`--fd N`), in a process that ends when the parent does."""
    sock = socket.socket(fileno=int(sys.argv[sys.argv.index("--fd") + 1]))
    die_with_parent()
    leave_out_torch()
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    return sock


def leave_out_torch() -> None:
    """Where PyTorch is installed, Transformers imports it, before it reads a tokenizer: many seconds of the processor
    and hundreds of MB in every child, for nothing that is computed here. So it is as if it were not installed."""
    for name in ("torch", "torchvision", "torchaudio"):
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


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
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import_transformers()
    import resource

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit, original = (lambda *_: None), resource.setrlimit
    import mlx_lm.utils  # noqa: F401

    resource.setrlimit = original
    original(resource.RLIMIT_NOFILE, limits)


@cache
def import_transformers() -> None:
    """It reads the 1,600 files of its models when it is imported, and again when the first of them is used, because
    the folder has another name there; the second time takes as long as all else of this import."""
    leave_out_torch()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    import transformers
    from transformers.utils import import_utils

    scan = getattr(import_utils, "create_import_structure_from_path", None)
    if scan is None:  # a version that does otherwise
        return
    models = Path(transformers.__file__).parent / "models"
    again = str(models / "__init__.py")

    def scanned(module_path: Any) -> Any:
        return scan(models if module_path == again else module_path)  # Transformers keeps its last results

    import_utils.create_import_structure_from_path = scanned
