"""The child process of one model: `python -m mlx_serve.daemon.engine.main --fd N`, N one end of a socketpair.

It imports what a model needs, says Hello, waits for Load, and runs the engine until the parent sends Quit or ends.
"""

from __future__ import annotations

import os
import sys

from .. import protocol
from .blas import prefer_openblas
from .process import import_mlx_lm, inherit, watch_for_parent


def main() -> None:
    sock = inherit()
    hint = prefer_openblas()
    watch_for_parent(sock)
    hello = _import_engine(notes=(hint,) if hint else ())
    from .serve import live

    live(sock, hello)
    sys.stdout.flush()
    os._exit(0)


def _import_engine(notes: tuple[str, ...]) -> protocol.Hello:
    import_mlx_lm()
    from .device import describe

    return describe(notes)


if __name__ == "__main__":
    main()
