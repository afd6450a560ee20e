"""What a grammar costs a token: decode steps of a batch free, in a shape, and in forced calls, and the mask by itself.

usage: grammar.py [--shape tiny] [--dtype float32] [--rows 1 8 32] [--rounds 5] [--steps 30]
On a GPU: grammar.py --shape 0.6b --dtype bfloat16 --rounds 3 --steps 60

The shape's weights are random. The kinds take turns, so that what else the machine does meets all of them, and the best
round counts. Processor time is that of all of the process's threads: on a CPU, beside other programs, it says more than
the clock. The ratio is the median over the rounds, of the clock on a GPU, of the processor on a CPU, beside the free
rows of the same round.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from make_model import make_model

from mlx_serve.daemon.engine.generate.engine_limits import Limits
from mlx_serve.daemon.engine.generate.generator import Generator
from mlx_serve.daemon.engine.grammar.answer_form import AnswerForm
from mlx_serve.daemon.engine.grammar.compiler import GrammarCompiler
from mlx_serve.daemon.engine.grammar.literals import Block
from mlx_serve.daemon.engine.model.load import load
from mlx_serve.daemon.engine.output.formats.table import find_family
from mlx_serve.daemon.engine.prompt.prepared import Prepared
from mlx_serve.daemon.engine.prompt.prompt_process import Ready
from mlx_serve.daemon.protocol import Calling, ChatPrompt, Generate, Grammar, Load, Sampling, TokenPrompt

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "kind": {"enum": ["guest", "admin"]}},
    "required": ["name", "age", "kind"],
}
# None of these can end before the measurement does.
KINDS: dict[str, Grammar | None] = {
    "free": None,
    "any values": Grammar(type="json_schema", source=json.dumps({"type": "array", "minItems": 10_000})),
    "a schema": Grammar(type="json_schema", source=json.dumps({"type": "array", "items": PERSON, "minItems": 10_000})),
    "an expression": Grammar(type="regex", source="([a-z]{2,9} [0-9]+, ){500,}"),
}
# A call that is forced, in JSON and in elements, and read as it is made; it cannot end either.
PEOPLE = {"type": "array", "items": PERSON, "minItems": 10_000}
TOOL = {
    "type": "function",
    "function": {
        "name": "save",
        "parameters": {"type": "object", "properties": {"people": PEOPLE}, "required": ["people"]},
    },
}
TEMPLATES = {"a call (hermes)": "<tool_call>", "a call (elements)": "<tool_call> <function= <parameter="}
HOT = Sampling(temperature=1.0)
PROMPT = tuple(range(20, 52))


class Prompts:
    """There is no prompt process here: every prompt is prepared."""

    busy = 0

    def put(self, ask: Any) -> None:
        raise AssertionError

    def cancel(self, number: int) -> bool:
        return False

    def claim(self, number: int) -> bool:
        return True


def steps(generator: Generator, asks: list[Prepared], count: int, numbers: Iterator[int]) -> tuple[float, float]:
    """Milliseconds a step, the median of so many with all of these in the batch: by the clock, and of the processor."""
    given = [next(numbers) for _ in asks]
    for number, prepared in zip(given, asks, strict=True):
        generator.receive(Ready(number, prepared))
    while len(generator._batch) < len(asks):
        generator.step()
    for _ in range(3):
        generator.step()
    clock, processor = [], []
    for _ in range(count):
        began, used = time.perf_counter(), time.process_time()
        generator.step()
        clock.append(time.perf_counter() - began)
        processor.append(time.process_time() - used)
    if len(generator._batch) < len(asks):
        raise RuntimeError("a row has ended: the figures are of fewer")
    for number in given:
        generator.cancel(number)
    while not generator.idle:
        generator.step()
    generator.drain()
    return statistics.median(clock) * 1e3, statistics.median(processor) * 1e3


def masks(compiled: Any, rows: int, tokens: int = 200) -> tuple[float, float]:
    """Microseconds for one row's mask, and for one token's way through the grammar: means of random answers."""
    chance = np.random.default_rng(1)
    constraint = compiled.constraint()
    filled = followed = 0.0
    for _ in range(tokens):
        if constraint.ended:
            constraint = compiled.constraint()
        words = np.full((1, (rows + 31) // 32), -1, dtype=np.int32)
        began = time.perf_counter()
        constraint.fill(words)
        filled += time.perf_counter() - began
        allowed = np.flatnonzero(np.unpackbits(words.view(np.uint8), count=rows, bitorder="little"))
        token = int(chance.choice(allowed))
        began = time.perf_counter()
        constraint.advance(token)
        followed += time.perf_counter() - began
    return filled / tokens * 1e6, followed / tokens * 1e6


def wanted(name: str) -> tuple[Generate, AnswerForm]:
    """What is asked of the kind of this name, and what its answers look like."""
    if name in KINDS:
        asked = Generate(prompt=TokenPrompt(ids=PROMPT), sampling=HOT, grammar=KINDS[name], ignore_eos=True)
        return asked, AnswerForm(Block("", ""), Block("", ""), None, {})
    prompt = ChatPrompt(messages=({"role": "user", "content": "x"},), tools=(TOOL,), template=TEMPLATES[name])
    asked = Generate(
        prompt=prompt,
        sampling=HOT,
        ignore_eos=True,
        parse_tools=True,
        stream_calls=True,
        calling=Calling(required=True, parallel=False),
    )
    return asked, AnswerForm(Block("", ""), Block("", ""), find_family(TEMPLATES[name]).shape, {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="tiny")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "model"
        make_model(folder, options.shape, dtype=options.dtype)
        request = Load(path=str(folder), name="bench", kind="llm", max_batch=32, prefill_tokens_per_step=512)
        model = load(request)[0]
    compiler = GrammarCompiler(model.vocabulary, model.rows, model.stop_tokens)
    began = time.perf_counter()
    compiler._tokenizer()
    ready = time.perf_counter() - began
    print(f"{mx.default_device()}, {options.shape} in {options.dtype}, {model.rows} tokens")
    print(f"the vocabulary is ready in {ready:.2f} s, once")
    prepared: dict[str, Prepared] = {}
    for name in (*KINDS, *TEMPLATES):
        asked, form = wanted(name)
        began = time.perf_counter()
        compiled = compiler.compile(form.grammar(asked, "", False)) if name != "free" else None
        if compiled:
            took = (time.perf_counter() - began) * 1e3
            mask, follow = masks(compiled, model.rows)
            print(f"{name}: tried and compiled in {took:.1f} ms; a mask {mask:.0f} us, a token {follow:.0f} us")
        prepared[name] = Prepared(asked, list(PROMPT), 10_000, False, False, "", compiled=compiled)
    column = 1 if mx.default_device() == mx.Device(mx.cpu) else 0
    numbers = iter(range(1, 1 << 30))
    limits = Limits(max_batch=max(options.rows), tokens_per_step=512)
    for rows in options.rows:
        names = [*KINDS, *TEMPLATES, *(["one of them bound"] if rows > 1 else [])]
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
        for _ in range(options.rounds):
            for name in names:
                given = [prepared["free" if name == "one of them bound" else name]] * rows
                given[0] = prepared["a schema"] if name == "one of them bound" else given[0]
                generator = Generator(model, limits, Prompts())  # type: ignore[arg-type]
                found[name].append(steps(generator, given, options.steps, numbers))
        for name, measured in found.items():
            clock, processor = (min(column) for column in zip(*measured, strict=True))
            ratio = statistics.median(
                each[column] / free[column] for each, free in zip(measured, found["free"], strict=True)
            )
            print(
                f"{rows:3} rows, {name:18} {clock:8.2f} ms a step, {ratio:5.2f} of a free one, "
                f"{processor:8.2f} ms of the processor",
                flush=True,
            )


if __name__ == "__main__":
    main()
