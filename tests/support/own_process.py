"""A module of the tests run to its end in a process of its own: what it imports stays out of this one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_RUN = """
import runpy, sys
from mlx_serve.daemon.engine.blas import prefer_openblas
prefer_openblas()
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
TESTS = Path(__file__).parents[1]
SECONDS = 280  # until it counts as a hang; less than a test may take


def run_module(name: str, *arguments: object, fusing: bool = True) -> None:
    """`python -m NAME ARGUMENTS` with the tests' folder as its own, and the BLAS that a model's process has. `fusing`:
    MLX fuses operations, for which it runs a C++ compiler. Raises CalledProcessError."""
    fused = {} if fusing else {"MLX_DISABLE_COMPILE": "1"}
    subprocess.run(
        [sys.executable, "-c", _RUN, name, *map(str, arguments)],
        check=True,
        cwd=TESTS,
        env=os.environ | {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"} | fused,
        timeout=SECONDS,
    )
