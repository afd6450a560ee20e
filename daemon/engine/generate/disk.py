"""Where the blocks of one loaded model are on disk, or its whole turns."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from ...protocol import Hello, PrefixFiles
from ..device import backend
from ..model.load import LanguageModel
from ..prefix.disk.block_bytes import whole_layout
from ..prefix.disk.cache_layout import Layout
from ..prefix.disk.disk_store import DiskStore, Numerics
from ..prefix.disk.logit_change import measure, sample
from ..prefix.disk.turn_store import TurnStore
from ..prefix.layers import keepable, unknown
from .prompts_on_disk import Disk

_LIBRARIES = ("mlx", "mlx-lm", "mlx-vlm")
_ROOM = 1 << 20  # bytes of a block's file beside its tensors


def open_disk(model: LanguageModel, files: PrefixFiles, hello: Hello) -> Disk | None:
    """None where the caches of such a network can be neither cut nor written as they are, or the folder is not to be
    used, which the log says."""
    caches = make_prompt_cache(model.network)
    if keepable(caches):
        model.network(mx.array([[0, 0]]), cache=caches)  # not evaluated: shapes and types are all that is asked for
        layout = Layout.of(caches)
    else:
        layout = whole_layout(model.network)
        if layout is None:
            names = ", ".join(unknown(caches))
            reason = f"the caches of this model can be neither cut into blocks nor written as they are ({names})"
            _report(f"keep no prompts on disk reason={reason!r}")
    if layout is None:
        return None
    packed = files.bits is not None and layout.whole is None
    numerics = Numerics(
        model=files.model,
        layout=repr(layout),
        libraries=tuple(f"{name} {_version(name)}" for name in _LIBRARIES),
        backend=hello.backend,
        device=hello.device,
        bits=files.bits if packed else None,
    )
    folder, key = Path(files.folder), numerics.key()
    if layout.whole is not None:
        store: DiskStore = TurnStore(folder, key, files.budget)
    else:
        store = DiskStore(folder, key, files.budget, layout.largest + _ROOM, packed=packed)
    if not store.readable:
        _report(f"keep no prompts on disk reason='it is another user's, or open to others: chmod 700 {files.folder}'")
        return None
    if packed:
        _tell_change(model)
    # The copies of a GPU are a matter of microseconds there; those of a CPU would hold up what it computes.
    stream = mx.new_stream(mx.cpu) if backend() == "cpu" else None
    return Disk(store, layout, _report, stream, in_place=backend() != "cuda", staged=backend() == "cuda")


def _tell_change(model: LanguageModel) -> None:
    try:
        change = measure(model.network, sample(model.tokenizer, model.prefill_rate, model.rows))
    except (RuntimeError, MemoryError) as error:
        _report(f"keep prompts on disk in 8 bits change=unknown reason={' '.join(str(error).split())[:200]!r}")
        return
    if change is not None:
        _report(f"keep prompts on disk in 8 bits {change}")


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "none"


def _report(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()
