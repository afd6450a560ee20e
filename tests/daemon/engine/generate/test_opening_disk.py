"""What it takes to know where a model's blocks are on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import pytest
from mlx.utils import tree_map
from mlx_lm.models.cache import make_prompt_cache
from reference.checkpoints import make
from support.disk_engine import PLENTY

from mlx_serve.daemon.engine.generate.disk import open_disk
from mlx_serve.daemon.engine.model.load import LanguageModel, load
from mlx_serve.daemon.engine.prefix.disk.cache_layout import Layout
from mlx_serve.daemon.protocol import Hello, Load, PrefixFiles

HELLO = Hello(protocol=0, pid=0, backend="cpu", device="this one", device_memory=PLENTY)


@pytest.mark.parametrize("name", ["llama", "gemma3", "qwen3_next"])
def test_nothing_is_computed(name: str, loaded: Callable[[str], LanguageModel], tmp_path: Path) -> None:
    """A load of gigabytes waits for no pass through the network: here its weights cannot even be read. What is found
    is what caches with tokens in them have."""
    files = PrefixFiles(str(tmp_path / "files"), "model", PLENTY)
    computed = loaded(name)
    request = Load(
        path=str(make(name, tmp_path).folder), name=name, kind="llm", max_batch=8, prefill_tokens_per_step=64
    )
    model = load(request)[0]
    lost = tmp_path / "lost.safetensors"
    mx.save_safetensors(str(lost), {"nothing": mx.zeros(1)})
    nothing = mx.load(str(lost))["nothing"]
    lost.write_bytes(b"")
    model.network.update(tree_map(lambda array: array + nothing.astype(array.dtype), model.network.parameters()))
    caches = make_prompt_cache(computed.network)
    mx.eval(computed.network(mx.array([[0, 0]]), cache=caches))
    opened = open_disk(model, files, HELLO)
    assert opened is not None and opened.layout == Layout.of(caches)
    with pytest.raises(RuntimeError):
        mx.eval(model.network(mx.array([[1]])))
