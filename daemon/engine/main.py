"""The child process of one model: `python -m mlx_serve.daemon.engine.main --fd N`, N one end of a socketpair.

It imports what a model needs, has its prompt process do the same, says Hello, waits for Load, and runs the engine until
the parent sends Quit or ends.
"""

from __future__ import annotations

import gc
import os
import sys

from ... import machine
from .. import protocol
from .blas import prefer_openblas
from .cuda import cudnn_files
from .mailbox import Mailbox
from .process import import_mlx_lm, inherit, watch_for_parent


def main() -> None:
    sock = inherit()
    hint = prefer_openblas()
    watch_for_parent(sock)
    mailbox = Mailbox(sock)
    gc.disable()
    try:
        from .prompt.prompt_process import PromptProcess

        prompts = PromptProcess(mailbox.queue.put)  # its imports take as long as a small model's load
        hello = _import_engine(notes=(hint,) if hint else ())
    except Exception as error:
        sock.sendall(protocol.encode(protocol.Fatal(message=_cannot_start(error))))
        raise
    cudnn_files.begin(hello.backend)
    from .serve import live

    gc.freeze()  # what modules make stays: no pass of the collector looks at it, neither during the imports nor later
    gc.enable()
    live(mailbox, prompts, hello)
    sys.stdout.flush()
    os._exit(0)


def _import_engine(notes: tuple[str, ...]) -> protocol.Hello:
    import_mlx_lm()
    from .device import describe

    return describe(notes)


def _cannot_start(error: Exception) -> str:
    """The first line of what went wrong: the others of an import's error are the loader's paths."""
    reason = machine.problem() or "install mlx-serve anew, in a virtual environment of its own"
    return f"MLX cannot be used: {str(error).partition(chr(10))[0][:200] or type(error).__name__}; {reason}"


if __name__ == "__main__":
    main()
