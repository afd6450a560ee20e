"""Whole conversations: exchanges of every kind in a row, with system prompts, tools, and long ones."""

from __future__ import annotations

import random
from collections.abc import Callable

from . import asked
from .draft import Draft
from .exchange import arithmetic, extract, memory, part, recall, system, talk, transforms
from .exchange.haystack import haystack
from .sample import Exchange, Sample
from .tool import tools

Maker = Callable[[random.Random, bool], Exchange]

TASKS: dict[str, tuple[Maker, float]] = {
    "facts": (talk.fact, 34),
    "greetings": (talk.greeting, 5),
    "owning up": (talk.unknown, 12),
    "repeat": (transforms.repeat, 7),
    "change case": (transforms.upper, 9),
    "reverse words": (transforms.reverse, 7),
    "count": (transforms.count, 7),
    "spell": (transforms.spell, 7),
    "pick a word": (transforms.ends, 3),
    "arithmetic": (arithmetic.arithmetic, 13),
    "extract JSON": (extract.extract, 20),
}
_MAKERS, _WEIGHTS = zip(*TASKS.values(), strict=True)


def _any(rng: random.Random, held: bool) -> Exchange:
    return rng.choices(_MAKERS, _WEIGHTS)[0](rng, held)


def _talk(draft: Draft, turns: int = 1) -> None:
    """Exchanges of any kind."""
    for _ in range(turns):
        draft.turn(_any(draft.rng, draft.held))


def _recall(draft: Draft) -> None:
    earlier = [message["content"] for message in draft.messages if message["role"] == "user"]
    draft.turn(recall.recall(draft.rng, draft.held, earlier))


def _plain_system(draft: Draft, share: float = 0.25) -> None:
    if draft.rng.random() < share:
        draft.system(system.PLAIN.pick(draft.rng, draft.held).replace("<name>", "me"))


def single(draft: Draft, task: str | None = None) -> Sample:
    """One exchange; an evaluation names its task."""
    draft.turn(TASKS[task][0](draft.rng, draft.held) if task else _any(draft.rng, draft.held))
    if not task:
        _plain_system(draft)
    return draft.done()


def comparing(draft: Draft) -> Sample:
    """Facts that are easily taken for each other, one after the other."""
    for fact in talk.near(draft.rng, draft.rng.randint(2, 6)):
        draft.turn(talk.about(draft.rng, fact, False))
    _plain_system(draft)
    return draft.done()


def several(draft: Draft, low: int = 2, high: int = 5) -> Sample:
    for _ in range(draft.rng.randint(low, high)):
        if len(draft.messages) > 1 and draft.rng.random() < 0.1:
            _recall(draft)
        else:
            _talk(draft)
    _plain_system(draft)
    return draft.done()


def remembering(draft: Draft, fill: int = 2, least: int = 0) -> Sample:
    """Things are told, other talk follows, then they are asked for."""
    rng, held = draft.rng, draft.held
    if rng.random() < 0.25:
        exchange, placed = memory.things(rng, held, rng.randint(1, 5))
        draft.turn(exchange)
        _talk(draft, rng.randint(least, fill))
        rng.shuffle(placed)
        for thing, place in placed[: rng.randint(1, 3)]:
            draft.turn(memory.where(rng, held, thing, place))
        _plain_system(draft)
        return draft.done()
    taken: set[str] = set()
    known: list[tuple[memory.Topic, str]] = []
    for _ in range(rng.randint(1, 3)):
        facts = [memory.choose(rng, held, taken) for _ in range(rng.choices((1, 2, 3), (60, 30, 10))[0])]
        draft.turn(memory.telling(rng, held, facts))
        known += facts
        if rng.random() < 0.4:
            _talk(draft)
    if rng.random() < 0.15:
        which = rng.randrange(len(known))
        exchange, value = memory.change(rng, held, known[which][0])
        draft.turn(exchange)
        known[which] = (known[which][0], value)
    _talk(draft, rng.randint(least, fill))
    for _ in range(rng.randint(1, 3)):
        if rng.random() < 0.12:
            topic, _ = memory.choose(rng, held, set(taken))
            draft.turn(memory.asking(rng, held, topic, None))
        else:
            draft.turn(memory.asking(rng, held, *rng.choice(known)))
    _plain_system(draft)
    return draft.done("memory")


def recalling(draft: Draft) -> Sample:
    _talk(draft, draft.rng.randint(1, 3))
    _recall(draft)
    return draft.done()


def styled(draft: Draft) -> Sample:
    """A system prompt that changes every answer."""
    rng, held = draft.rng, draft.held
    style = system.style(rng, held)
    known: list[tuple[memory.Topic, str]] = []
    taken: set[str] = set()
    for i in range(rng.choices((1, 2, 3), (55, 30, 15))[0]):
        while True:
            roll = rng.random()
            if roll < 0.15 and not i:
                known = [memory.choose(rng, held, taken)]
                exchange = memory.telling(rng, held, known)
            elif known and roll < 0.6:
                exchange = memory.asking(rng, held, *known[0])
            else:
                exchange = _any(rng, held)
            if exchange.styled and (not style.needs_short or exchange.short):
                break
        draft.turn(style.apply(exchange))
    draft.system(style.prompt)
    return draft.done(style.task)


def playing(draft: Draft) -> Sample:
    """A system prompt with a part to play or with things to know."""
    rng, held = draft.rng, draft.held
    prompt, ask = (part.character if rng.random() < 0.5 else part.knowledge)(rng, held)
    turns = rng.randint(1, 3)
    for i in range(turns):
        if i + 1 == turns or rng.random() < 0.5:
            draft.turn(ask(rng, held))
        else:
            draft.turn((arithmetic.arithmetic if rng.random() < 0.5 else transforms.repeat)(rng, held))
    draft.system(prompt)
    return draft.done()


def calling(draft: Draft, finish: bool | None = None) -> Sample:
    """Tools are given; most requests need one of them, some need none."""
    rng, held = draft.rng, draft.held
    box = tools.toolbox(rng, held, rng.choices((1, 2, 3, 4, 5, 6), (20, 24, 24, 16, 10, 6))[0])
    draft.tools = [tool.schema for tool in box]
    _plain_system(draft)
    turns = rng.choices((1, 2, 3), (70, 22, 8))[0]
    for i in range(turns):
        last = i + 1 == turns
        if rng.random() < 0.15 and finish is None:
            _talk(draft)
        else:
            draft.call(box, finish=(rng.random() < 0.5 if finish is None else finish) if last else True)
    return draft.done()


def untooled(draft: Draft) -> Sample:
    """Tools are given and the question needs none."""
    draft.tools = [tool.schema for tool in tools.toolbox(draft.rng, draft.held, draft.rng.randint(1, 4))]
    _talk(draft)
    return draft.done("no tool needed")


def long(draft: Draft) -> Sample:
    """1,000 to 8,000 tokens."""
    rng = draft.rng
    roll = rng.random()
    if roll < 0.4:
        return haystack(draft, int(25 * 16 ** rng.random()))
    if roll < 0.75:
        return remembering(draft, fill=rng.choice((15, 30, 60, 90)))
    return several(draft, 12, rng.choice((20, 35, 50)))


_KINDS: tuple[tuple[Callable[[Draft], Sample], float], ...] = (
    (single, 40),
    (comparing, 14),
    (several, 8),
    (remembering, 14),
    (recalling, 3),
    (styled, 13),
    (playing, 6),
    (calling, 22),
    (untooled, 3),
)
_KIND_MAKERS, _KIND_WEIGHTS = zip(*_KINDS, strict=True)
THINKING_SHARE = 0.4


def conversation(rng: random.Random) -> Sample:
    """One training conversation, mostly below a thousand tokens."""
    draft = Draft(rng, False, rng.random() < THINKING_SHARE)
    if rng.random() < 0.01:
        return haystack(draft, rng.randint(5, 40))
    return rng.choices(_KIND_MAKERS, _KIND_WEIGHTS)[0](draft)


def long_conversation(rng: random.Random) -> Sample:
    return long(Draft(rng, False, rng.random() < THINKING_SHARE))


_CASES: dict[str, Callable[[Draft], Sample]] = {
    **{name: (lambda draft, name=name: single(draft, name)) for name in TASKS},  # type: ignore[misc]
    "memory": remembering,
    "recall": recalling,
    "system prompt": styled,
    "character and knowledge": playing,
    "tool call": lambda draft: calling(draft, finish=False),
    "tool result": lambda draft: calling(draft, finish=True),
    "no tool needed": untooled,
    "long conversation": lambda draft: remembering(draft, fill=80, least=15),
    "long context": lambda draft: haystack(draft, draft.rng.randint(100, 370)),
}


CASES = (*_CASES, *asked.SAMPLES)


def case(task: str, seed: int) -> Sample:
    """One evaluation case: only wordings, names, numbers and tools that training never sees."""
    if task in asked.SAMPLES:
        return asked.SAMPLES[task][seed]
    rng = random.Random(f"{task} {seed}")
    sample = _CASES[task](Draft(rng, True, seed % 2 == 1))
    sample.task = task
    return sample


def cases(task: str, numbers: range) -> list[Sample]:
    """Those with these numbers; written by hand there are so many and no more."""
    most = len(asked.SAMPLES[task]) if task in asked.SAMPLES else numbers.stop
    return [case(task, number) for number in numbers if number < most]
