"""`python -m mlx_serve.daemon.engine.probe`: what MLX computes with here, tried by one product, as a line of JSON.

A process of its own, because MLX may end the one that tries it. It exits with 1 and a sentence where that fails.
"""

from __future__ import annotations

import json
import sys

from .blas import prefer_openblas

_SIDE = 64


def main() -> int:
    hint = prefer_openblas()
    try:
        import mlx.core as mx

        from .device import describe

        found = describe(())
        ones = mx.ones((_SIDE, _SIDE))
        if (ones @ ones).sum().item() != _SIDE**3:
            raise RuntimeError(f"a product of two matrices of ones came out wrong on {found.device}")
    except (ImportError, RuntimeError, OSError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    answer = {"backend": found.backend, "device": found.device, "memory": found.device_memory, "blas": hint}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
