"""What MLX allows on this machine: a bare pipelined decode loop over equal prompts, with no server around it.

usage: ceiling.py FOLDER [-c 1,8,32] [--tokens 128] [--prompt 210] [--repeats 3]
Prints one JSON object per line, medians of the repeats: streams, prefill_tok_s, decode_tok_s, tok_s, step_ms;
tok_s is new tokens over prefill and decoding together.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from openblas import preload


def measure(model: Any, streams: int, prompt: int, tokens: int) -> tuple[float, float]:
    """Seconds of prefill and of decoding."""
    import mlx.core as mx
    from mlx_lm.models.cache import make_prompt_cache

    ids, cache = mx.random.randint(0, 4000, (streams, prompt)), make_prompt_cache(model)
    mx.eval(ids)

    def step(tokens: Any) -> Any:
        return mx.argmax(model(tokens, cache=cache)[:, -1], axis=-1)

    started = time.perf_counter()
    current = step(ids)
    mx.eval(current)
    prefilled = time.perf_counter()
    for _ in range(tokens):
        following = step(current[:, None])
        mx.async_eval(following)  # type: ignore[no-untyped-call]
        current.tolist()
        current = following
    mx.eval(current)
    return prefilled - started, time.perf_counter() - prefilled


def run(folder: Path, streams: str, prompt: int, tokens: int) -> dict[int, dict[str, Any]]:
    """The same from a process of its own, keyed by streams. Raises RuntimeError with what it said."""
    options = ["-c", streams, "--tokens", str(tokens), "--prompt", str(prompt)]
    done = subprocess.run([sys.executable, __file__, str(folder), *options], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"ceiling.py: {done.stderr[-2000:]}")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["streams"]: line for line in lines}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("-c", "--streams", default="1,8,32")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--prompt", type=int, default=210)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    preload()
    import mlx_lm

    model = mlx_lm.load(arguments.folder)[0]
    for streams in map(int, arguments.streams.split(",")):
        measure(model, streams, arguments.prompt, 4)
        runs = [measure(model, streams, arguments.prompt, arguments.tokens) for _ in range(arguments.repeats)]
        prefill, decode = (statistics.median(run[part] for run in runs) for part in (0, 1))
        result = {
            "streams": streams,
            "prefill_tok_s": round(streams * arguments.prompt / prefill),
            "decode_tok_s": round(streams * arguments.tokens / decode, 1),
            "tok_s": round(streams * arguments.tokens / (prefill + decode), 1),
            "step_ms": round(decode / arguments.tokens * 1e3, 3),
        }
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
