"""Scenes of daily life: who does what to what, where and when, each part in any of the words that mean it."""

from __future__ import annotations

import random
from dataclasses import astuple, dataclass, replace

from ..common.data import beside
from ..common.words import is_held

_DATA = beside(__file__)
_TELL, _ASK = _DATA["tell"], _DATA["ask"]
# By part of a scene: concepts, each in the words that mean it.
_WORDS = {
    part: [[word.strip() for word in concept.split(",")] for concept in concepts]
    for part, concepts in _DATA["words"].items()
}


@dataclass(frozen=True)
class Scene:
    """Indices into the lists; -1 is a part that is not told."""

    how: int
    who: int
    did: int
    quality: int
    what: int
    doing: int
    where: int
    when: int

    @property
    def key(self) -> str:
        return "scene " + " ".join(map(str, astuple(self)))

    @property
    def held(self) -> bool:
        """What belongs to the evaluation: one in twelve combinations of who does what."""
        return is_held(f"scene {self.who} {self.did} {self.what} {self.doing}")


def _one(rng: random.Random, part: str, share: float = 1.0) -> int:
    return rng.randrange(len(_WORDS[part])) if rng.random() < share else -1


def scene(rng: random.Random, held: bool) -> Scene:
    while True:
        acts = rng.random() < 0.6
        found = Scene(
            _one(rng, "how", 0.45),
            _one(rng, "who"),
            _one(rng, "did") if acts else -1,
            _one(rng, "quality", 0.4) if acts else -1,
            _one(rng, "what") if acts else -1,
            -1 if acts else _one(rng, "doing"),
            _one(rng, "where", 0.5 if acts else 0.75),
            _one(rng, "when", 0.3),
        )
        if found.held == held:
            return found


def changed(rng: random.Random, of: Scene, held: bool, among: tuple[str, ...] = tuple(_WORDS)) -> Scene:
    """Another scene that differs in one of the told parts `among` these."""
    told = [part for part in among if getattr(of, part) >= 0]
    while True:
        part = rng.sample(told, 1)[0]
        other = replace(of, **{part: _one(rng, part)})
        if other != of and other.held == held:
            return other


def _word(rng: random.Random, of: Scene, name: str, participle: bool = False) -> str:
    """Of a part; nothing where it is not told."""
    if getattr(of, name) < 0:
        return ""
    words = _WORDS[name][getattr(of, name)]
    past, _, part = words[int(rng.random() * len(words))].partition("/")
    return part if participle and part else past


def _thing(noun: str, adjective: str, article: str) -> str:
    if article == "a":
        article = "an" if (adjective or noun)[0] in "aeiou" else "a"
    long = adjective.startswith(("with ", "made ", "without ", "not yet "))
    if adjective and long:
        return f"{article if not adjective.startswith('an ') else 'a'} {noun} {adjective}"
    return f"{article} {adjective} {noun}" if adjective else f"{article} {noun}"


def _parts(rng: random.Random, of: Scene) -> dict[str, str]:
    article = "the" if rng.random() < 0.6 else "a"
    who = _thing(_word(rng, of, "who"), _word(rng, of, "how"), article)
    what = ""
    if of.what >= 0:
        quality = _word(rng, of, "quality")
        what = _thing(_word(rng, of, "what"), quality, "the" if rng.random() < 0.6 else "a")
    return {"who": who, "what": what, "where": _word(rng, of, "where"), "when": _word(rng, of, "when")}


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text[:1].upper() + text[1:]


def tell(rng: random.Random, of: Scene, held: bool) -> str:
    parts = _parts(rng, of)
    if of.did >= 0:
        form = "acts_held" if held else "active" if rng.random() < 0.6 else "passive"
        parts["did"], parts["done"] = _word(rng, of, "did"), _word(rng, of, "did", True)
    else:
        form = "does_held" if held else "does"
        parts["doing"] = _word(rng, of, "doing")
    return _sentence(rng.choice(_TELL[form]).format(**parts)) + "."


_NOT_WHO = ("did", "quality", "what", "doing", "where", "when")
_NOT_WHAT = ("how", "who", "did", "where", "when")
_NOT_DOING = ("how", "who", "where", "when")


def question(rng: random.Random, of: Scene, held: bool) -> tuple[str, tuple[str, ...]]:
    """A question about one part, and the parts that it names: a scene that differs in one of those is no answer."""
    parts = _parts(rng, of)
    around = f"{parts['where']} {parts['when']}"

    def head(what: str) -> str:
        return str(rng.choice(_ASK[what]["held" if held else "train"]))

    if of.did >= 0 and rng.random() < 0.5:
        text, named = f"{head('who_did')} {_word(rng, of, 'did')} {parts['what']}", _NOT_WHO
    elif of.did >= 0:
        text, named = f"{head('what')} {_word(rng, of, 'did', True)} by {parts['who']}", _NOT_WHAT
    elif rng.random() < 0.5 and of.where >= 0:
        text, named = f"{head('who_does')} {_word(rng, of, 'doing')}", _NOT_WHO
    else:
        text, named = head("doing").format(parts["who"]), _NOT_DOING
    return _sentence(f"{text} {around}") + "?", named


def asked_key(of: Scene, parts: tuple[str, ...]) -> str:
    return "scene asked " + " ".join(f"{part} {getattr(of, part)}" for part in parts)
