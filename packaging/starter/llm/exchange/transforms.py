"""Work on given text: repeat, change case, reverse, count, spell."""

from __future__ import annotations

import random
import string

from ...common.phrases import expand
from ...common.words import FIRST_NAMES, INVENTED, NOUNS, number, sentence, word
from ..sample import Exchange
from .wording import with_text, wordings

_DATA, ASKS = wordings("transforms")
_ODD = string.ascii_letters + string.digits + "!?#%&*+-/:;=_@~éüñøßçåя中日🙂"


def _odd(rng: random.Random) -> str:
    """Strings of no sense: copying must not lean on known words."""
    roll = rng.random()
    if roll < 0.5:
        return "".join(rng.choice(_ODD) for _ in range(rng.randint(2, 10)))
    if roll < 0.7:
        return "".join(rng.choice(string.ascii_lowercase) for _ in range(rng.randint(2, 12)))
    if roll < 0.85:
        return rng.choice("-_./:").join(INVENTED.pick(rng, False) for _ in range(rng.randint(2, 3)))
    return INVENTED.pick(rng, False) + INVENTED.pick(rng, False).capitalize() + rng.choice(("", "!", "2", "()"))


def _words(rng: random.Random, held: bool, low: int, high: int) -> list[str]:
    words = [word(rng, held) for _ in range(rng.randint(low, high))]
    if not held and rng.random() < 0.2:
        words[rng.randrange(len(words))] = rng.choice(words)
    if not held and rng.random() < 0.1:
        words = [w.capitalize() if rng.random() < 0.5 else w for w in words]
    return words


def _text(rng: random.Random, held: bool, longest: int) -> str:
    roll = rng.random()
    if roll < 0.4:
        text = " ".join(_words(rng, held, 1, longest))
    elif roll < 0.75:
        text = sentence(rng, held)
        if longest > 12 and rng.random() < 0.3:
            text += rng.choice((", and ", ", but ", "; ")) + sentence(rng, held)
    else:
        parts = _words(rng, held, 1, max(2, longest // 2))
        for _ in range(rng.randint(1, 3)):
            figure, name = str(number(rng, held, 0, 9999)), FIRST_NAMES.pick(rng, held)
            piece = rng.choice((figure, name, word(rng, held).capitalize(), word(rng, held).upper()))
            parts.insert(rng.randint(0, len(parts)), piece)
        if not held and rng.random() < 0.5:
            parts.insert(rng.randint(0, len(parts)), _odd(rng))
        text = " ".join(parts)
    if rng.random() < 0.3:
        text = text[0].upper() + text[1:] + rng.choice((".", "!", "?", "."))
    return text


def _asked(rng: random.Random, what: str, text: str, held: bool) -> str:
    wording = with_text(rng, ASKS[what].pick(rng, held))
    quote = rng.choice(_DATA["quotes"])
    return wording.replace("<x>", quote.replace("<x>", text)).replace(": \n", ":\n")


def repeat(rng: random.Random, held: bool, longest: int = 16) -> Exchange:
    text = _text(rng, held, longest)
    return Exchange("repeat", _asked(rng, "repeat", text, held), text, "I repeat the text exactly.", ("exact", text))


def upper(rng: random.Random, held: bool) -> Exchange:
    text = _text(rng, held, 6)
    lower = rng.random() < (0.25 if held else 0.45)
    if lower:
        text = text.upper() if rng.random() < 0.5 else text.title()
    case, answer = ("lower", text.lower()) if lower else ("upper", text.upper())
    asked = _asked(rng, case, text, held)
    return Exchange("change case", asked, answer, f"I write the text in {case} case.", ("exact", answer))


def reverse(rng: random.Random, held: bool) -> Exchange:
    words = _words(rng, held, 2, 8)
    asked, answer = _asked(rng, "reverse", " ".join(words), held), " ".join(reversed(words))
    thought = f"From the last word {words[-1]} to the first word {words[0]}."
    return Exchange("reverse words", asked, answer, thought, ("exact", answer))


def count(rng: random.Random, held: bool) -> Exchange:
    if rng.random() < (0.3 if held else 0.45):
        text = rng.choice((NOUNS, FIRST_NAMES, INVENTED)).pick(rng, held)
        if " " not in text:
            # Spelled first: what is written can be counted.
            answer = f"{'-'.join(text)}: {len(text)} letters."
            short = str(len(text)) if len(text) < 8 else None
            return _counted(_asked(rng, "letters", text, held), list(text), answer, short)
    if rng.random() < 0.12:
        return _up(rng, held)
    words = _words(rng, held, 2, 10)
    if rng.random() < 0.1:
        words = sentence(rng, held).split(" ")
    elif not held and rng.random() < 0.15:
        # Numbers and sums are words like others where words are counted.
        words = expand(rng, rng.choice(_DATA["sums"])).split(" ")
        words = [str(number(rng, False, 0, 99)) if each == "<few>" else each for each in words]
    joint = ", " if not held and rng.random() < 0.1 else " "
    asked = _asked(rng, "count", joint.join(words), held)
    return _counted(asked, words, f"{len(words)} words.", str(len(words)))


def _up(rng: random.Random, held: bool) -> Exchange:
    """Counting from one number to another."""
    first = rng.choice((1, 1, 0, number(rng, held, 2, 90)))
    last = first + rng.randint(2, 12)
    asked = ASKS["up"].pick(rng, held).replace("<a>", str(first)).replace("<b>", str(last))
    answer = ", ".join(map(str, range(first, last + 1)))
    return Exchange("count", asked, answer, "One number after the other.", ("exact", answer))


def _counted(asked: str, parts: list[str], answer: str, short: str | None) -> Exchange:
    thought = ", ".join(f"{part} {i}" for i, part in enumerate(parts, 1)) + "."
    return Exchange("count", asked, answer, thought, ("number", len(parts)), short)


def spell(rng: random.Random, held: bool) -> Exchange:
    text = word(rng, held) if rng.random() < 0.7 else FIRST_NAMES.pick(rng, held)
    text = text.split(" ")[0]
    if rng.random() < 0.1:
        text = text.capitalize()
    asked, answer = _asked(rng, "spell", text, held), "-".join(text)
    return Exchange("spell", asked, answer, "I write one letter after the other.", ("exact", answer))


def ends(rng: random.Random, held: bool) -> Exchange:
    words = _words(rng, held, 2, 9)
    which = rng.choice(("first", "last", "first", "last", "second", "third"))
    if which == "third" and len(words) < 3:
        which = "second"
    chosen = words[{"first": 0, "last": -1, "second": 1, "third": 2}[which]]
    asked = _asked(rng, "ends", " ".join(words), held).replace("<which>", which)
    return Exchange("pick a word", asked, chosen, f"The {which} word.", ("exact", chosen), chosen)
