"""Prompts that are made to hurt, against a child as the daemon has it: each fails alone, within bounds."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from support.engine_client import Engine, EngineSilent, Sequence
from support.extent import LONG, only_long
from support.live_daemon import wait_until
from support.process_use import gone, memory

from mlx_serve.daemon.protocol import ChatPrompt, Sampling, TextPrompt

CONTEXT = 1 << 20
MEGABYTES_16 = "The quick brown fox jumps over the lazy dog; und er läuft.\n" * (16_000_000 // 60)
DIFFERENT_16 = "".join(
    f"The {n} foxes jump {n * 7919 % 1_000_003} times over {n * 104_729 % 15_485_863} dogs.\n" for n in range(300_000)
)
"""As long, and no part of it comes twice: what is known of a text is tokenized in no time."""
BOUND = 700 << 20
"""What the processes for prompts may take together beside a small model, in bytes: one template that takes all it may,
and the copies that were allowed before it noticed."""
BOMBS = {
    "two loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "endless text": "{% for i in range(99999) %}{% for j in range(99999) %}0123456789abcdef{% endfor %}{% endfor %}",
    "28 doublings": "{% set ns = namespace(x='x') %}{% for i in range(28) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}"
    "{{ ns.x | length }}",
    "doubled lists": "{% set ns = namespace(x=[1]) %}{% for i in range(40) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "a long product": "{{ ('x' * 10**10) | length }}",
    "a long power": "{{ 10 ** (10 ** 9) % 7 }}",
    "a huge join": "{{ range(99999) | join('y' * 100000) | length }}",
    "a huge pad": "{{ '%9999999999d' % 1 }}",
    "a huge replacement": "{{ ('x' * 100000).replace('x', 'y' * 100000) | length }}",
    "a macro of itself": "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
    "a macro of two": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "many brackets": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
}
BY_THE_CLOCK = ("two loops", "a long power", "a macro of two")


@pytest.fixture(scope="module")
def engine(checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A tiny model with a context of a million tokens."""
    folder = tmp_path_factory.mktemp("long") / "llama"
    shutil.copytree(checkpoint("llama"), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": CONTEXT}))
    with Engine() as child:
        child.load(folder, max_batch=4)
        yield child


@pytest.fixture(autouse=True)
def others_go_on(engine: Engine) -> Iterator[None]:
    """The child and its prompt process are the same before and after, and nothing waits."""
    hello(engine)
    before = prompt_process(engine)
    yield
    hello(engine)
    assert prompt_process(engine) == before
    assert engine.ping().gauges.waiting == 0


def prompt_process(engine: Engine) -> psutil.Process:
    (process,) = psutil.Process(engine.process.pid).children()
    return process


def workers(engine: Engine) -> set[int]:
    return {child.pid for child in prompt_process(engine).children()}


def large_workers(engine: Engine) -> set[int]:
    return {child.pid for child in prompt_process(engine).children() if memory(child) > 100 << 20}


def hello(engine: Engine) -> None:
    sequence = engine.generate(TextPrompt(text="hello"), max_tokens=2, sampling=Sampling(temperature=0.0))
    engine.finish([sequence])
    assert sequence.finished is not None, sequence.rejected


def template(engine: Engine, source: str) -> Sequence:
    return engine.generate(ChatPrompt(messages=({"role": "user", "content": "x"},), template=source))


def held(engine: Engine) -> int:
    """What the processes for prompts hold together, shared memory counted once."""
    total = 0
    for process in psutil.Process(engine.process.pid).children(recursive=True):
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return total


# Those of BY_THE_CLOCK take their five seconds each.
@pytest.mark.parametrize("bomb", [name for name in BOMBS if LONG or name not in BY_THE_CLOCK[1:]])
def test_a_template_that_is_a_bomb_fails_alone(engine: Engine, bomb: str) -> None:
    """Refused as the template's fault, while others are answered."""
    request, most = template(engine, BOMBS[bomb]), 0
    while not request.done:
        hello(engine)
        most = max(most, held(engine)) if sys.platform == "linux" else 0
        if bomb in BY_THE_CLOCK:  # it takes no memory, but its time
            with suppress(EngineSilent):
                engine.read_until(lambda: request.done, 0.1)
    assert request.rejected is not None
    assert request.rejected.code in ("template_error", "context_length_exceeded")
    assert request.rejected.param == "messages"
    assert "chat template" in request.rejected.message or "the process that did so ended" in request.rejected.message
    assert bomb not in BY_THE_CLOCK or "longer than 5 s" in request.rejected.message
    assert most < BOUND


@only_long
def test_four_at_once_are_no_more_than_a_wait(engine: Engine) -> None:
    """All the workers there are: the next prompt is prepared when they are ended."""
    requests = [template(engine, BOMBS["two loops"]) for _ in range(4)]
    hello(engine)
    engine.finish(requests)
    assert all(each.rejected is not None and "longer than 5 s" in each.rejected.message for each in requests)


def test_megabytes_hold_nobody_up_and_end_when_nobody_wants_them(engine: Engine) -> None:
    """The text would fit: others are answered while it is tokenized, and a cancel ends that work."""
    long = engine.generate(TextPrompt(text=DIFFERENT_16), max_tokens=1)
    working = wait_until(lambda: large_workers(engine), "a worker is at it")
    for _ in range(5):
        hello(engine)
    assert large_workers(engine) == working
    assert not long.done
    engine.cancel(long)
    wait_until(lambda: not working & workers(engine), "its worker is ended")
    assert engine.ping().gauges.waiting == 0
    assert not long.done


def test_a_text_that_cannot_fit_is_not_even_tokenized(engine: Engine) -> None:
    """The refusal has both numbers."""
    request = engine.generate(TextPrompt(text=MEGABYTES_16), context_length=10_000)
    engine.finish([request])
    assert request.rejected is not None
    assert (request.rejected.code, request.rejected.param) == ("context_length_exceeded", "prompt")
    assert f"{len(MEGABYTES_16.encode())} bytes" in request.rejected.message
    assert "10000 tokens" in request.rejected.message


def test_a_model_that_is_unloaded_leaves_nothing(checkpoint: Callable[[str], Path]) -> None:
    """Neither when it quits nor when it is killed, whatever its workers are at."""
    for end in (Engine.close, lambda child: child.process.kill()):
        with Engine() as child:
            child.load(checkpoint("llama"))
            hello(child)
            template(child, BOMBS["two loops"])
            hello(child)
            family = psutil.Process(child.process.pid).children(recursive=True)
            assert len(family) >= 3, "its prompt process and two workers"
            end(child)
            wait_until(lambda these=family: all(map(gone, these)), "they are gone")  # type: ignore[misc]
