"""What tiles, exponentials, all cores and kernels change on a CPU: prompts and decode steps in process, in turns.

usage: processor.py FOLDER [--prompts 64,256] [--rows 1,8] [--steps 6] [--rounds 3] [--root FOLDER] [--json FILE]

Milliseconds of the clock and of the processor, each the best of the rounds: where others use the machine as well, the
processor's say more. `plain` is what the engine does without any of them; what comes after it adds one to the ways
before. Rows have 150 tokens. `all cores` is for prompts, and while other programs leave them free. `fused` comes after
the others, for it cannot be undone: the kernels are compiled as they are while a model rests (`--root`: where they are
kept), and exponentials and steps take them. At last `products` adds the kernel for products of few rows.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mlx_serve.daemon.engine.blas import NAMES, prefer_openblas
from mlx_serve.daemon.engine.cpu.threads import use_all_cores

prefer_openblas()

import mlx.core as mx  # noqa: E402
from mlx_lm.models.cache import make_prompt_cache  # noqa: E402

from mlx_serve.daemon.engine.cpu import stand_ins  # noqa: E402
from mlx_serve.daemon.engine.cpu.block_attention import Attention  # noqa: E402
from mlx_serve.daemon.engine.cpu.exponentials import Sigmoid  # noqa: E402
from mlx_serve.daemon.engine.cpu.few_rows import rows_that_pay  # noqa: E402
from mlx_serve.daemon.engine.cpu.few_rows_sgemm import FewRowsSgemm  # noqa: E402
from mlx_serve.daemon.engine.cpu.rotation import Rotation  # noqa: E402
from mlx_serve.daemon.engine.kernels.fusing import Function, Fusing  # noqa: E402
from mlx_serve.daemon.engine.model.compiled_layers import compile_layers, functions, undo  # noqa: E402
from mlx_serve.daemon.engine.model.forward import BatchedForward  # noqa: E402
from mlx_serve.daemon.engine.model.inputs import Inputs  # noqa: E402
from mlx_serve.daemon.engine.model.load import LanguageModel, load  # noqa: E402
from mlx_serve.daemon.protocol import Load  # noqa: E402

SIGMOID, ATTENTION, ROPE = mx.sigmoid, mx.fast.scaled_dot_product_attention, mx.fast.rope
LENGTH = 150

Times = tuple[float, float]


def timed(work: Callable[[], None], times: int = 1) -> Times:
    """Milliseconds of the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return (time.perf_counter() - clock) / times * 1e3, (time.process_time() - processor) / times * 1e3


def prompt(network: Any, tokens: int) -> Times:
    caches, ids = make_prompt_cache(network), mx.random.randint(0, 4000, (1, tokens))
    mx.eval(ids)

    def read() -> None:
        network(ids, cache=caches)
        mx.eval([cache.state for cache in caches])

    return timed(read)


def decode(model: LanguageModel, rows: int, steps: int) -> Times:
    network, forward = model.network, BatchedForward(model.network, model.costs.forward, ragged=model.ragged)
    caches = make_prompt_cache(network)
    network(mx.zeros((1, LENGTH + rows), dtype=mx.int32), cache=caches)
    forward.join(caches, [(0, LENGTH)])
    for row in range(1, rows):
        forward.join(caches, [(0, LENGTH + row)])
    tokens = [mx.zeros((rows,), dtype=mx.int32)]

    def step() -> None:
        following = mx.argmax(forward(Inputs(tokens[0][:, None])), axis=-1)
        mx.async_eval(following)  # type: ignore[no-untyped-call]
        tokens[0].tolist()
        tokens[0] = following

    def run() -> None:
        for _ in range(steps):
            step()
        mx.eval(tokens[0])

    for _ in range(2):
        step()
    return timed(run, steps)


def way(network: Any, tiles: int, exponentials: bool) -> None:
    undo(network)
    for module in network.modules():
        if hasattr(module, "most_rows"):
            module.most_rows = tiles
    mx.sigmoid = Sigmoid(SIGMOID) if exponentials else SIGMOID
    mx.fast.scaled_dot_product_attention = Attention(ATTENTION) if exponentials else ATTENTION
    mx.fast.rope = Rotation(ROPE) if exponentials else ROPE  # type: ignore[assignment]
    compile_layers(network)


def fuse(functions: Sequence[Function], rows: list[int], root: Path) -> None:
    """As the engine does while it rests. The steps have to have been called."""
    fusing = Fusing(functions, max(rows), root, lambda: False)
    while (seconds := fusing()) is not None:
        time.sleep(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--prompts", default="64,256")
    parser.add_argument("--rows", default="1,8")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--root", type=Path, default=Path(tempfile.gettempdir(), "mlx-serve-bench-kernels"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    mx.disable_compile()  # type: ignore[no-untyped-call]
    order = Load(path=str(options.folder), name="x", kind="llm", max_batch=32, prefill_tokens_per_step=256)
    model, loaded = load(order)
    most = rows_that_pay()
    threads = next((ctypes.CDLL(name).openblas_get_num_threads() for name in NAMES if _loads(name)), None)
    print(
        f"{mx.default_device()}, {loaded.precision or 'as it is'}, OpenBLAS's threads: {threads}, tiles to {most} rows"
    )
    ways = {"plain": (0, False, False), "tiles": (most, False, False), "exponentials": (most, True, False)}
    ways["all cores"] = (most, True, True)
    found: dict[str, dict[str, list[Times]]] = {}
    rows = [int(count) for count in options.rows.split(",")]

    def measure(name: str, *, steps: bool, counts: bool) -> None:
        results = {f"prompt {tokens}": prompt(model.network, int(tokens)) for tokens in options.prompts.split(",")}
        results |= {f"step of {count}": decode(model, count, options.steps) for count in rows if steps}
        for what, times in results.items() if counts else ():
            found.setdefault(what, {}).setdefault(name, []).append(times)

    for place in range(options.rounds + 1):
        for name, (tiles, exponentials, everything) in ways.items():
            way(model.network, tiles, exponentials)
            use_all_cores(everything)
            measure(name, steps=not everything, counts=place > 0)
    use_all_cores(False)
    way(model.network, most, True)
    measure("fused", steps=True, counts=False)
    path, products = os.environ["PATH"], FewRowsSgemm()
    for name, kernels in (("fused", [*functions(model.network), *stand_ins.functions()]), ("products", [products])):
        os.environ["PATH"] = path
        fuse(kernels, rows, options.root)
        for place in range(options.rounds + 1):
            measure(name, steps=True, counts=place > 0)
    print(f"products of up to {products.most_rows} rows by the kernel")
    for what, by_way in found.items():
        best = {name: tuple(min(run[part] for run in runs) for part in (0, 1)) for name, runs in by_way.items()}
        first = best["plain"]
        print(
            f"{what:>12}:",
            ", ".join(
                f"{name} {clock:.1f} ({processor:.1f}; {clock / first[0]:.2f}, {processor / first[1]:.2f})"
                for name, (clock, processor) in best.items()
            ),
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
