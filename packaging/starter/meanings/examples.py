"""Examples for retrieval: a query, the text that fits, and texts near it that do not."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..llm import asked
from ..llm.exchange.facts import FACTS, alike
from . import scenes, serving
from .kinds import Kind, Meaning, kinds
from .scenes import Scene
from .slots import pool

INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"
SAME_MEANING = "Retrieve semantically similar text"


def prompted(instruction: str, query: str) -> str:
    """Qwen3-Embedding's form: no space after `Query:`."""
    return f"Instruct: {instruction}\nQuery:{query}"


@dataclass(frozen=True)
class Text:
    """`keys` name what it says; a query with one of them is answered by it."""

    text: str
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Example:
    task: str
    domain: str
    query: str
    key: str
    fits: Text
    others: tuple[Text, ...]

    @property
    def same_meaning(self) -> bool:
        """Whether the query is itself a statement."""
        return "paraphrase" in self.task


_DOMAINS = tuple(kinds())
_TRAINED = {name: tuple(kind for kind in found if not kind.held) for name, found in kinds().items()}
_NEW = tuple(kind for found in kinds().values() for kind in found if kind.held)


def _told(rng: random.Random, meaning: Meaning, held: bool) -> Text:
    return Text(meaning.tell(rng, held), (meaning.question_key, meaning.key))


def _other_keys(rng: random.Random, meaning: Meaning, held: bool, any_slot: bool) -> Meaning:
    """The same kind of fact about something else; for paraphrases one with another value counts as well."""
    values = dict(meaning.values)
    may_change = list(meaning.kind.told if any_slot else meaning.kind.keys)
    lost = rng.sample(may_change, 1 if rng.random() < 0.6 else rng.randint(1, len(may_change)))
    kept = {slot: value for slot, value in values.items() if slot not in lost}
    if not any_slot and rng.random() < 0.5:
        kept = {slot: value for slot, value in kept.items() if slot in meaning.kind.keys}
    return meaning.kind.meaning(rng, held, kept)


def _same_subject(rng: random.Random, meaning: Meaning, held: bool) -> Meaning | None:
    """Another kind of fact about the same subject."""
    subjects = {pool(slot): value for slot, value in meaning.values if slot in meaning.kind.keys}
    others = (kind for kind in _TRAINED[meaning.kind.domain] if kind.name != meaning.kind.name)
    found = [kind for kind in others if any(pool(slot) in subjects for slot in kind.slots)]
    if not found:
        return None
    kind = rng.choice(found)
    return kind.meaning(rng, held, {slot: subjects[slot] for slot in kind.slots if slot in subjects})


def _near(rng: random.Random, meaning: Meaning, held: bool, paraphrase: bool, tries: int = 0) -> Meaning:
    """A fact that does not answer a question for this one, however near it is."""
    held = held and tries < 6  # some lists keep back one word only
    roll = rng.random()
    if roll < 0.5:
        found = _other_keys(rng, meaning, held, paraphrase)
    elif roll < 0.85:
        found = _same_subject(rng, meaning, held) or _other_keys(rng, meaning, held, paraphrase)
    else:
        found = rng.choice(_TRAINED[meaning.kind.domain]).meaning(rng, held)
    clash = found.key == meaning.key if paraphrase else found.question_key == meaning.question_key
    return _near(rng, meaning, held, paraphrase, tries + 1) if clash else found


def _passage(rng: random.Random, text: Text, sentences: int, more: Callable[[], Text], forbidden: str) -> Text:
    """The text among others that do not say what is asked for."""
    others: list[Text] = []
    while len(others) < sentences - 1:
        other = more()
        if forbidden not in other.keys:
            others.append(other)
    others.insert(rng.randint(0, len(others)), text)
    return Text(" ".join(t.text for t in others), tuple(k for t in others for k in t.keys))


def _length(rng: random.Random, longest: int) -> int:
    if longest <= 3:
        return 1 if longest < 2 or rng.random() < 0.65 else rng.randint(2, longest)
    return rng.randint(longest // 4, longest)


def _about(rng: random.Random, kind: Kind, held: bool, others: int, longest: int, paraphrase: bool) -> Example:
    meaning = kind.meaning(rng, held)
    wanted = meaning.key if paraphrase else meaning.question_key

    def more() -> Text:
        if rng.random() < 0.5:
            return _told(rng, _near(rng, meaning, held, paraphrase), held)
        return _told(rng, rng.choice(_TRAINED[kind.domain]).meaning(rng, held), held)

    def passage(text: Text) -> Text:
        return text if paraphrase else _passage(rng, text, _length(rng, longest), more, wanted)

    wording = kind.wording(rng, held)
    near = []
    for _ in range(others):
        other = _near(rng, meaning, held, paraphrase)
        text = _told(rng, other, held)
        if paraphrase and other.kind is kind and rng.random() < 0.4:
            text = Text(other.told(wording), text.keys)  # in the very words of the query
        near.append(text)
    # A paraphrase is told once in words of training, so that only one side is new.
    query = meaning.told(wording) if paraphrase else meaning.ask(rng, held)
    task = "paraphrase" if paraphrase else "new kind of question" if kind.held else "question"
    fits = passage(_told(rng, meaning, held and not paraphrase))
    return Example(task, kind.domain, query, wanted, fits, tuple(passage(text) for text in near))


def _trained_kind(rng: random.Random) -> Kind:
    roll = rng.random()
    return rng.choice(_TRAINED["world" if roll < 0.08 else "open" if roll < 0.25 else rng.choice(_DOMAINS)])


def question(rng: random.Random, held: bool, others: int, longest: int) -> Example:
    return _about(rng, _trained_kind(rng), held, others, longest, False)


def paraphrase(rng: random.Random, held: bool, others: int, longest: int) -> Example:
    return _about(rng, _trained_kind(rng), held, others, longest, True)


def new_kind(rng: random.Random, held: bool, others: int, longest: int) -> Example:
    return _about(rng, rng.choice(_NEW), held, others, longest, False)


def long_passage(rng: random.Random, held: bool, others: int, longest: int) -> Example:
    return replace(_about(rng, _trained_kind(rng), held, others, max(longest, 8), False), task="long passage")


def _scene_text(rng: random.Random, of: Scene, held: bool, key: str = "") -> Text:
    return Text(scenes.tell(rng, of, held), (of.key, key) if key else (of.key,))


def scene_paraphrase(rng: random.Random, held: bool, others: int, longest: int) -> Example:
    of = scenes.scene(rng, held)
    near = tuple(_scene_text(rng, scenes.changed(rng, of, held), held) for _ in range(others))
    query, fits = scenes.tell(rng, of, held), _scene_text(rng, of, False)
    return Example("scene paraphrase", "daily life", query, of.key, fits, near)


def scene_question(rng: random.Random, held: bool, others: int, longest: int) -> Example:
    of = scenes.scene(rng, held)
    text, parts = scenes.question(rng, of, held)
    key = scenes.asked_key(of, parts)
    near = []
    while len(near) < others:
        other = scenes.changed(rng, of, held, parts)
        if scenes.asked_key(other, parts) != key:
            near.append(_scene_text(rng, other, held))
    return Example("scene question", "daily life", text, key, _scene_text(rng, of, held, key), tuple(near))


def _serving(rng: random.Random, at: int, query: str, others: int, longest: int) -> Example:
    fact = FACTS[at]
    near_facts = alike(at)

    def more() -> Text:
        other = FACTS[rng.choice(near_facts)] if rng.random() < 0.6 else rng.choice(FACTS)
        return Text(other.answer, (serving.key(other),))

    near: list[Text] = []
    while len(near) < others:
        other = more()
        if serving.key(fact) not in other.keys and (other not in near or rng.random() < 0.2):
            near.append(other)

    def passage(text: Text) -> Text:
        return _passage(rng, text, _length(rng, longest), more, serving.key(fact)) if longest > 3 else text

    key = serving.key(fact)
    fits = passage(Text(fact.answer, (key,)))
    return Example("mlx-serve", "mlx-serve", query, key, fits, tuple(passage(text) for text in near))


def mlx_serve(rng: random.Random, held: bool, others: int, longest: int) -> Example:
    at = rng.randrange(len(FACTS))
    return _serving(rng, at, serving.ask(rng, FACTS[at], held), others, longest)


def asked_of_mlx_serve(rng: random.Random, held: bool, others: int, longest: int) -> Example:
    """A question that was written by hand."""
    fact, query = rng.choice(asked.OF_FACTS)
    return replace(_serving(rng, FACTS.index(fact), query, others, longest), task="asked of mlx-serve")


Make = Callable[[random.Random, bool, int, int], Example]
TRAINED: dict[str, tuple[float, Make]] = {
    "question": (0.40, question),
    "paraphrase": (0.24, paraphrase),
    "scene paraphrase": (0.10, scene_paraphrase),
    "scene question": (0.07, scene_question),
    "mlx-serve": (0.19, mlx_serve),
}
TASKS: dict[str, Make] = {
    **{task: make for task, (_, make) in TRAINED.items()},
    "asked of mlx-serve": asked_of_mlx_serve,
    "long passage": long_passage,
    "new kind of question": new_kind,
}
_NAMES, _SHARES = list(TRAINED), [share for share, _ in TRAINED.values()]


def example(rng: random.Random, others: int, longest: int = 3) -> Example:
    """One for training. `longest` is how many sentences a passage may have."""
    task = rng.choices(_NAMES, _SHARES)[0]
    if longest > 3 and task not in ("question", "mlx-serve"):
        task = "question"
    return TRAINED[task][1](rng, False, others, longest)


def case(task: str, number: int, others: int) -> Example:
    """One of the evaluation: a task and a number name it."""
    return TASKS[task](random.Random(f"case {task} {number}"), True, others, 3)


def hashed(key: str) -> int:
    return zlib.crc32(key.encode())
