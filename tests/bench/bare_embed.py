"""The other peer of bench/embed.py: the same model in a bare MLX loop, in a process of its own without HTTP.

Lines of JSON say what to encode: as many texts at once as are in flight over HTTP, tokenized by one call, padded,
computed, read. A batch is launched before the one before it is read.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from mlx_serve.daemon.engine.blas import prefer_openblas
from mlx_serve.daemon.engine.process import import_mlx_lm

prefer_openblas()
import_mlx_lm()

import mlx.core as mx  # noqa: E402
import numpy as np  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

from mlx_serve.daemon.engine.embed.embedder import load_embedder  # noqa: E402
from mlx_serve.daemon.engine.embed.pooling import normalized  # noqa: E402
from mlx_serve.daemon.engine.texts.row import Row  # noqa: E402
from mlx_serve.daemon.protocol import Load  # noqa: E402


def main() -> None:
    folder = sys.argv[1]
    load = Load(path=folder, name="local/bench", kind="embedding", max_batch=64, prefill_tokens_per_step=512)
    mx.set_cache_limit(2 << 30)  # as a daemon's child has it; unbounded, it takes what the other process needs
    embedder, _ = load_embedder(load)
    tokenizer = Tokenizer.from_file(str(Path(folder, "tokenizer.json")))

    def read(launched: mx.array) -> None:
        vectors = normalized(np.array(launched))
        assert np.isfinite(vectors).all()

    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        texts, at_once, times = order["texts"], order["at_once"], []
        began = time.perf_counter()
        before = None
        while (started := time.perf_counter()) - began < order["seconds"]:
            place = len(times) * at_once % len(texts)
            encoded = tokenizer.encode_batch(texts[place : place + at_once])
            launched = embedder.compute([Row(one.ids, number) for number, one in enumerate(encoded)])
            mx.async_eval(launched)
            if before is not None:
                read(before)
            before = launched
            times.append(time.perf_counter() - started)
        if before is not None:
            read(before)
        print(json.dumps({"seconds": time.perf_counter() - began, "times": times}), flush=True)


if __name__ == "__main__":
    main()
