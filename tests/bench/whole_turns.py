"""What whole turns give where caches cannot be cut: the next turn of a conversation, by what is known of the last one.

    python tests/bench/whole_turns.py [--words 2000] [--more 50] [--layers 8] [--rounds 3]

Times to the first token through HTTP, in milliseconds, of a made model of Llama 4's architecture: the first message of
a conversation, and its second turn from memory, after a restart of the daemon, and in one that keeps nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import servers
from load import text

from mlx_serve.daemon import prefix_folder


def write_llama4(folder: Path, layers: int) -> None:
    """Random weights, with the tokenizer that make_model writes."""
    maker = Path(__file__).with_name("make_model.py")
    subprocess.run([sys.executable, str(maker), str(folder), "tiny"], check=True, stdout=subprocess.DEVNULL)
    import mlx.core as mx
    from mlx.utils import tree_flatten, tree_map
    from mlx_lm.models import llama4

    config = folder / "config.json"
    words = json.loads(config.read_text())["vocab_size"]
    network: dict[str, Any] = {
        "attention_bias": False, "attention_chunk_size": 1024, "head_dim": 32, "hidden_size": 256, "rope_theta": 1e4,
        "intermediate_size": 256, "intermediate_size_mlp": 512, "interleave_moe_layer_step": 2, "rms_norm_eps": 1e-5,
        "max_position_embeddings": 1 << 16, "model_type": "llama4_text", "num_attention_heads": 8, "use_qk_norm": True,
        "num_experts_per_tok": 1, "num_hidden_layers": layers, "num_key_value_heads": 4, "num_local_experts": 4,
        "rope_scaling": None, "vocab_size": words,
    }  # fmt: skip
    whole = {"model_type": "llama4", "text_config": network}
    model = llama4.Model(llama4.ModelArgs.from_dict(whole))
    model.update(tree_map(lambda one: mx.random.normal(one.shape) / one.shape[-1] ** 0.5, model.parameters()))
    for path in folder.glob("*.safetensors*"):
        path.unlink()
    mx.save_safetensors(str(folder / "model.safetensors"), dict(tree_flatten(model.parameters())), {"format": "mlx"})
    config.write_text(json.dumps(whole))


async def _first(server: servers.Server, messages: Sequence[dict[str, str]]) -> tuple[float, int]:
    body = {"model": server.model, "messages": messages, "max_tokens": 8, "stream": True, "temperature": 0}
    body["stream_options"] = {"include_usage": True}
    cached, began, first = 0, time.perf_counter(), 0.0
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3600)) as session,
        session.post(f"{server.url}/v1/chat/completions", json=body) as response,
    ):
        async for line in response.content:
            if line.startswith(b"data: {"):
                event = json.loads(line[6:])
                if event["choices"] and event["choices"][0]["delta"].get("content"):
                    first = first or 1e3 * (time.perf_counter() - began)
                usage = event.get("usage") or {}
                cached = max(cached, (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0))
    return first, cached


def said(server: servers.Server, *contents: str) -> tuple[float, int]:
    """Milliseconds to the first token, and how many tokens of the prompt were not read."""
    roles = ("user", "assistant")
    return asyncio.run(_first(server, [{"role": roles[n % 2], "content": one} for n, one in enumerate(contents)]))


def one_round(folder: Path, source: random.Random, arguments: argparse.Namespace) -> dict[str, float]:
    first = text(source, arguments.words)
    seconds = [text(source, arguments.more) for _ in range(3)]
    with tempfile.TemporaryDirectory(prefix="mlx-serve-bench-") as home:
        with servers.ours(folder, home=home) as server:
            said(server, text(source, 5))
            unknown, _ = said(server, first)
            memory, known = said(server, first, "Yes.", seconds[0])
        stored = sum(path.stat().st_size for path in prefix_folder.root(Path(home)).glob("*/*"))
        with servers.ours(None, home=home) as server:
            said(server, text(source, 5))
            restarted, also = said(server, first, "Yes.", seconds[1])
        with servers.ours(None, home=home, environ={"MLX_SERVE_CACHE_PREFIX_CACHE_MB": "0"}) as server:
            said(server, text(source, 5))
            nothing, none = said(server, first, "Yes.", seconds[2])
    if min(known, also) < arguments.words // 2 or none:
        raise RuntimeError(f"of {known} known tokens {also} came from files, and {none} where nothing is kept")
    return {
        "first turn": unknown, "second, from memory": memory, "second, after a restart": restarted,
        "second, nothing kept": nothing, "known tokens": known, "MB on disk": stored / 1e6,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("words", 2000), ("more", 50), ("layers", 8), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mlx-serve-bench-model-") as folder:
        write_llama4(Path(folder), arguments.layers)
        rounds = []
        for number in range(arguments.rounds):
            rounds.append(one_round(Path(folder), random.Random(number), arguments))
            print({name: round(value, 1) for name, value in rounds[-1].items()}, flush=True)
    print("medians:", {name: round(statistics.median(one[name] for one in rounds), 1) for name in rounds[0]})


if __name__ == "__main__":
    main()
