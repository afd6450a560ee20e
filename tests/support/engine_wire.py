"""An engine in this process without a socket: a mailbox that a test scripts, and the events that came out of it."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from mlx_serve.daemon.engine.cache.capacity import Costs, RowBytes
from mlx_serve.daemon.engine.generate.dispatch import Dispatch
from mlx_serve.daemon.engine.generate.engine_limits import Limits
from mlx_serve.daemon.engine.generate.generator import Generator
from mlx_serve.daemon.engine.grammar.compiler import GrammarCompiler
from mlx_serve.daemon.engine.loop import Loop
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.prompt.prompt_process import Ready
from mlx_serve.daemon.engine.prompt.render import Prompts
from mlx_serve.daemon.engine.prompt.text.encoding import open_encoding, tokenizer_data
from mlx_serve.daemon.engine.serve import model_data
from mlx_serve.daemon.protocol import Ask, Delta, Finished, Gauges, Generate, Quit, Sampling, Step, TokenPrompt

GREEDY = Sampling(temperature=0.0)


def prompts_of(model: LanguageModel) -> Prompts:
    """What the prompt process has for this model, in this process."""
    tokenizer = tokenizer_data(model.tokenizer)
    sight = None
    if model.sight is not None:
        from mlx_serve.daemon.engine.prompt.pictures.sight import Sight

        sight = Sight(model.sight)
    return Prompts(tokenizer, model_data(model), open_encoding(tokenizer), sight=sight)


class NoProcess:
    """Stands for the prompt process where the mailbox has every prompt prepared already."""

    busy = 0

    def put(self, ask: Ask) -> None:
        raise AssertionError("no prompt comes in unprepared")

    def cancel(self, number: int) -> bool:
        return False

    def claim(self, number: int) -> bool:
        return True


class Wire:
    """The mailbox of an engine under test: `script` says what arrives before each step, `events` what came out."""

    def __init__(self, model: LanguageModel) -> None:
        self.queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.prompts = prompts_of(model)
        self.grammars = GrammarCompiler(model.vocabulary, model.rows, model.stop_tokens)
        self.script: Iterator[list[Any]] = iter(())
        self.frames: list[Any] = []
        self.events: dict[int, list[Any]] = {}
        self.choices: dict[tuple[int, int], list[Any]] = {}
        self.gauges = Gauges()
        self.waits = self.rounds = 0

    def send(self, frame: Any) -> None:
        self.frames.append(frame)
        if isinstance(frame, Step):
            self.gauges = frame.gauges
            for event in frame.events:
                self.events.setdefault(event.id, []).append(event)
                self.choices.setdefault((event.id, getattr(event, "choice", 0)), []).append(event)

    def drain(self, *, wait: bool, seconds: float | None = None) -> list[Any]:
        self.rounds += 1
        self.waits += wait
        if self.rounds > 20_000:
            raise AssertionError("the engine spins")
        arrived = next(self.script, [Quit()] if wait else [])
        return [self._ready(one) if isinstance(one, Ask) else one for one in arrived]

    def _ready(self, ask: Ask) -> Ready:
        prepared = self.prompts.prepare(ask.work)
        compiled = self.grammars.compile(prepared.grammar) if prepared.grammar else None
        return Ready(ask.id, replace(prepared, compiled=compiled))

    def finished(self, number: int, choice: int = 0) -> Finished:
        last = self.choices[number, choice][-1]
        assert isinstance(last, Finished), last
        return last

    def tokens(self, number: int, choice: int = 0) -> list[int]:
        finished = self.finished(number, choice)
        return list((finished.context or ())[finished.prompt_tokens :])

    def deltas(self, number: int) -> list[Delta]:
        return [event for event in self.events.get(number, []) if isinstance(event, Delta)]


def ask(number: int, prompt: tuple[int, ...], count: int = 12, **options: Any) -> Ask:
    given: dict[str, Any] = {"sampling": GREEDY, "ignore_eos": True, "want_context": True} | options
    return Ask(id=number, work=Generate(prompt=TokenPrompt(ids=prompt), max_tokens=count, **given))


def generator(
    model: LanguageModel, wire: Wire, *, row_bytes: int = 0, dispatch: Dispatch | None = None, **limits: Any
) -> Generator:
    """Over a scripted mailbox; `row_bytes` is what a token takes, in place of what the model's caches do."""
    if row_bytes:
        model = replace(model, costs=Costs(RowBytes(row_bytes), model.costs.forward))
    given: dict[str, Any] = {"max_batch": 4, "tokens_per_step": 8} | limits
    return Generator(model, Limits(**given), NoProcess(), dispatch=dispatch)


def run(made: tuple[Generator, Wire], script: Iterator[list[Any]]) -> Wire:
    made[1].script = script
    Loop(made[0], made[1]).run()  # type: ignore[arg-type]
    return made[1]


def note_yields(generator: Generator) -> list[int]:
    """The ids of the requests of which a sequence had to wait again, as it happens."""
    scheduler, ids = generator._scheduler, []
    original = scheduler.put_back

    def put_back(request: Any) -> None:
        ids.append(request.id)
        original(request)

    scheduler.put_back = put_back  # type: ignore[method-assign]
    return ids
