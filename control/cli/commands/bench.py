"""bench: how fast a model is, as a client of the public HTTP sees it."""

from __future__ import annotations

import os
import random
import sys
import time
from dataclasses import asdict

from ..bench import last_run
from ..bench.level import Level, summed, together
from ..bench.prompt_words import fitting, words
from ..bench.stream_timing import BenchFailed, Endpoint, Timing, post
from ..display.tables import ago, table
from ..display.terminal import is_terminal, note, width
from ..session import CommandFailed, Session, path_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..client import Client

_TRIES = 4
_CLOSE = 0.02


def bench(session: Session) -> int:
    options = session.options
    client = session.daemon()
    model = client.get(path_of(options.name))["model"]
    if model["kind"] not in ("llm", "vlm"):
        raise CommandFailed(f"{options.name} writes nothing: it is a model of the kind {model['kind']}")
    status = client.get("/control/v1/status")
    endpoint = Endpoint(str(status["url"]), client.get("/control/v1/key")["key"])
    progress = _Progress()
    try:
        loaded, seconds = _load(client, str(model["name"]), progress)
        _check_lengths(options, int(loaded["context_length"]))
        run = {
            "model": model["name"],
            "digest": model["id"],
            "version": status["version"],
            "backend": loaded["backend"],
            "device": loaded["device"],
            "time": time.time(),
            "prompt": options.prompt,
            "tokens": options.tokens,
            "load_seconds": seconds,
            **_measure(endpoint, str(model["name"]), options, progress),
        }
    except BenchFailed as error:
        raise CommandFailed(str(error), "see: mlx-serve logs") from error
    finally:
        progress.clear()
    file = last_run.path(session.target.home, str(model["id"]), options.prompt, options.tokens)
    before = last_run.read(file)
    try:
        last_run.write(file, run, before)
    except OSError as error:
        note(f"this run is not kept for the next one: {file}: {error.strerror or error}")
    if session.json:
        session.print_json({**run, "last": before})
    else:
        _print(run, before)
    return 0


class _Progress:
    """What is being done: one line that changes on a terminal, a line a step elsewhere."""

    def __init__(self) -> None:
        self._drawing = is_terminal(sys.stderr)
        self._step = ""

    def step(self, text: str) -> None:
        self._step = text
        if self._drawing:
            self._draw(text)
        else:
            note(text)

    def pieces(self, count: int, of: int) -> None:
        if self._drawing:
            self._draw(f"{self._step}: {count} of {of} tokens" if count else f"{self._step}: reading the prompt")

    def _draw(self, text: str) -> None:
        sys.stderr.write(f"\r\x1b[2K{text[: width(sys.stderr) - 1]}")
        sys.stderr.flush()

    def clear(self) -> None:
        if self._drawing and self._step:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()


def _load(client: Client, name: str, progress: _Progress) -> tuple[dict[str, Any], float | None]:
    """The loaded model, and the seconds that it took; None where it was there already."""
    there = any(row["name"] == name for row in client.get("/control/v1/ps")["models"])
    progress.step(f"loading {name}")
    started = time.perf_counter()
    loaded = client.post("/control/v1/load", {"name": name})
    return loaded, None if there else time.perf_counter() - started


def _check_lengths(options: Any, context: int) -> None:
    if options.prompt + options.tokens > context:
        raise CommandFailed(
            f"a prompt of {options.prompt} tokens and {options.tokens} new ones "
            f"do not fit into the model's context of {context}",
            "choose less with --prompt and --tokens",
        )


def _measure(endpoint: Endpoint, model: str, options: Any, progress: _Progress) -> dict[str, Any]:
    """The first answer is not counted: kernels are compiled for it. Raises BenchFailed."""
    source = random.Random(os.urandom(16))
    progress.step("choosing prompts")
    count = _word_count(endpoint, model, options.prompt, source)

    def streams(prompts: list[str], what: str) -> list[Timing]:
        progress.step(what)
        of = len(prompts) * options.tokens
        return together(endpoint, model, prompts, options.tokens, lambda pieces: progress.pieces(pieces, of))

    streams([words(count, source)], "warming up")
    prompt = words(count, source)
    cold = summed(streams([prompt], "a new prompt"))
    warm = summed(streams([prompt], "the same prompt again"))
    levels = [
        cold if number == 1 else summed(streams([words(count, source) for _ in range(number)], f"{number} streams"))
        for number in options.concurrency
    ]
    return {"cold_ms": cold.first_ms, "warm_ms": warm.first_ms, "levels": [_rounded(level) for level in levels]}


def _word_count(endpoint: Endpoint, model: str, wanted: int, source: random.Random) -> int:
    """So many words that the prompt, with all that the template adds, has about the wanted number of tokens."""
    count = wanted
    for _ in range(_TRIES):
        messages = [{"role": "user", "content": words(count, source)}]
        found = post(endpoint, "/v1/tokenize", {"model": model, "messages": messages})
        tokens = int(found["data"][0]["token_count"])
        if tokens <= wanted and wanted - tokens <= max(2, wanted * _CLOSE):
            break
        count = fitting(count, tokens, wanted)
    return count


def _rounded(level: Level) -> dict[str, Any]:
    return {name: round(value, 2) if isinstance(value, float) else value for name, value in asdict(level).items()}


def _print(run: dict[str, Any], before: dict[str, Any] | None) -> None:
    load = "" if run["load_seconds"] is None else f", loaded in {run['load_seconds']:.1f} s"
    print(f"{run['model']} on {run['device']} ({run['backend']}){load}")
    print(f"first token: {_compared(run, before, 'cold_ms', ' ms')} for a new prompt, "
          f"{_compared(run, before, 'warm_ms', ' ms')} for the same one again\n")  # fmt: skip
    names = ("first_ms", "first_most_ms", "prefill", "decode", "each")
    rows = []
    for level in run["levels"]:
        last = last_run.level_of(before, level["streams"])
        figures = [_compared(level, last, name, "") for name in names]
        rows.append((str(level["streams"]), f"{level['prompt_tokens']:.0f}", str(level["tokens"]), *figures))
    header = ("STREAMS", "PROMPT", "NEW", "FIRST MS", "LAST'S MS", "PREFILL TOK/S", "DECODE TOK/S", "EACH TOK/S")
    print(table(header, rows))
    if before is not None:
        print(f"\n(in brackets: beside the last run, {ago(before['time'])}, mlx-serve {before['version']})")


def _compared(now: dict[str, Any], before: dict[str, Any] | None, name: str, unit: str) -> str:
    value = float(now[name])
    text = f"{value:.0f}{unit}" if value >= 100 else f"{value:.1f}{unit}"
    change = last_run.change(value, (before or {}).get(name))
    return f"{text} ({change})" if change else text
