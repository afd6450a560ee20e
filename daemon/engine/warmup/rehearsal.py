"""On NVIDIA GPUs, a child that waits for its model loads a tiny one and answers with it.

What a process does for the first time takes time once: libraries are opened, handles made, kernels brought to the GPU,
modules imported, some hundred ms each of a second and more. None of it depends on the model, so it is done while nobody
waits. The way is that of every model, so nothing is left out by being forgotten here. On Metal nobody has measured what
it would save, and a child that waits should be small there.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from ...protocol import Load
from ..cache import attention
from ..device import release_pool
from ..generate.engine_limits import Limits
from ..model.load import load
from .made_up import PLAIN, warm_up
from .small_checkpoint import write_small_checkpoint

ROWS, TOKENS = 8, 256
MEMORY = 1 << 28
PACKED_BITS = 4
PACKED_KERNELS = "quantized_product_*.ptx"
"""On disk where a model with packed weights was loaded on this machine: NVIDIA's compiler takes long for what these
need, and nobody shall wait for it who has none."""


def rehearse(busy: Callable[[], bool], environ: Mapping[str, str] = os.environ) -> None:
    """`busy`: whether there is something to do; it is asked before each part. What fails here fails in a load too, and
    is told there: the log has a line."""
    for bits in kinds(environ):
        if busy():
            break
        try:
            with tempfile.TemporaryDirectory(prefix="rehearsal-") as folder:
                _rehearse(Path(folder), bits, busy)
        except Exception as error:
            sys.stderr.write(f"rehearse: {type(error).__name__}: {' '.join(str(error).split())[:300]}\n")
            sys.stderr.flush()
            break
    attention.forget()
    gc.collect()
    release_pool()


def kinds(environ: Mapping[str, str]) -> tuple[int | None, ...]:
    """Bits of the weights, None where they are not packed."""
    kept = environ.get("MLX_PTX_CACHE_DIR")
    packed = kept is not None and any(Path(kept).glob(PACKED_KERNELS))
    return (None, PACKED_BITS) if packed else (None,)


def _rehearse(folder: Path, bits: int | None, busy: Callable[[], bool]) -> None:
    write_small_checkpoint(folder, bits)
    request = Load(path=str(folder), name="rehearsal", kind="llm", max_batch=ROWS, prefill_tokens_per_step=TOKENS)
    model, _ = load(request)
    if not busy():
        limits = Limits(max_batch=ROWS, tokens_per_step=TOKENS, memory=MEMORY)
        warm_up(model, limits, PLAIN)
