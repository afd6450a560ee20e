"""Work on given text: repeat, change case, reverse, count, spell; and small arithmetic."""

# ruff: noqa: E501 - wordings read best one list a line

from __future__ import annotations

import random
import string

from ..common.phrases import Phrases
from ..common.words import FIRST_NAMES, INVENTED, NOUNS, is_held, number, sentence, word
from .sample import Exchange

_ODD = string.ascii_letters + string.digits + "!?#%&*+-/:;=_@~éüñøßçåя中日🙂"


def _odd(rng: random.Random) -> str:
    return "".join(rng.choice(_ODD) for _ in range(rng.randint(2, 8)))


def _words(rng: random.Random, held: bool, low: int, high: int) -> list[str]:
    return [word(rng, held) for _ in range(rng.randint(low, high))]


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
            piece = rng.choice(
                (
                    str(number(rng, held, 0, 9999)),
                    FIRST_NAMES.pick(rng, held),
                    word(rng, held).capitalize(),
                    word(rng, held).upper(),
                )
            )
            parts.insert(rng.randint(0, len(parts)), piece)
        if not held and rng.random() < 0.3:
            parts.insert(rng.randint(0, len(parts)), _odd(rng))
        text = " ".join(parts)
    roll = rng.random()
    if roll < 0.3:
        text = text[0].upper() + text[1:] + rng.choice((".", "!", "?", "."))
    return text


_QUOTES = ('"<x>"', "<x>", '"<x>"', "<x>", "'<x>'", "`<x>`", "\n<x>", "“<x>”")


def _asked(rng: random.Random, phrases: Phrases, text: str, held: bool) -> str:
    wording = phrases.pick(rng, held)
    quoted = rng.choice(_QUOTES).replace("<x>", text)
    asked = wording.replace("<x>", quoted).replace(": \n", ":\n")
    return asked if rng.random() < 0.9 or held else asked[0].lower() + asked[1:]


_REPEAT = Phrases(
    ["(Repeat|Say|Echo|Copy|Write|Print)(| after me| this| the following| exactly| exactly this| back to me| the text| the sentence| word for word)(:|:|) <x>", "(Please |)(repeat|say|echo|copy)(| after me| this text| the words| the following words)(:|:|) <x>", "(Can|Could) you (repeat|say|echo) (this|the following)(|, please)? <x>", "<x> - (repeat|say|echo) (that|this)(| please|.)"],
    ["Say it back to me: <x>", "Please echo this text exactly: <x>", "I want you to repeat: <x>", "Just repeat the following text: <x>", "Could you please copy this for me? <x>"],
)  # fmt: skip
_UPPER = Phrases(
    ["(Write|Put|Turn|Convert|Change|Make|Print|Give me|Repeat|Say)(| this| the following| the text| these words) (in|into|to) (upper case|uppercase|capital letters|capitals|all caps)(:|:|) <x>", "(Upper case|Uppercase|Capitalise everything|All caps|UPPERCASE|Shout)(| this| please)(:|:|) <x>", "(Make|Turn) <x> (upper case|uppercase|into capitals|into upper case)(|.)", "What is <x> in (upper case|capitals|capital letters|uppercase)?"],
    ["Please write this text in capital letters: <x>", "I need this in upper case: <x>", "How does <x> look in capitals?", "Change the following words into all caps: <x>"],
)  # fmt: skip
_LOWER = Phrases(
    ["(Write|Put|Turn|Convert|Change|Make|Give me|Say)(| this| the following| the text) (in|into|to) (lower case|lowercase|small letters)(:|:|) <x>", "(Lower case|Lowercase)(| this| please)(:|:|) <x>", "What is <x> in (lower case|small letters|lowercase)?"],
    ["Please write this text in small letters: <x>", "I need this in lower case: <x>"],
)  # fmt: skip
_REVERSE = Phrases(
    ["(Reverse|Turn around|Flip|Invert)(| the order of)(| the| these| the following) words(| of this| of this text| in this text| of the sentence)(:|:|) <x>", "(Write|Say|Repeat|Put|Give me)(| the| these| the following) words (in reverse|backwards|in reverse order|from last to first|in the opposite order)(:|:|) <x>", "(Reverse|Flip)(| the word order)(:|:) <x>", "What is <x> with the words (reversed|in reverse order|backwards)?"],
    ["Please give me these words from last to first: <x>", "I want the words of this reversed: <x>", "Say the following words in reverse order please: <x>", "Could you reverse the words here? <x>"],
)  # fmt: skip
_COUNT = Phrases(
    ["(Count|Count me|Please count|Can you count) the words(| in this| in| in the following| in this text| of this sentence)(:|:|) <x>", "How many words (are there in|are in|does|has|make up) (this|the following|this text|this sentence)(| have)(:|?) <x>", "How many words(| are these| are there| do you see)(:|?) <x>", "(Word count|Number of words|Words)(| of this| please)(:|:) <x>", "How many words are in <x>?"],
    ["Tell me how many words this has: <x>", "Please count how many words there are: <x>", "I need the number of words in this text: <x>", "Can you tell the word count of this? <x>"],
)  # fmt: skip
_LETTERS = Phrases(
    [
        "How many letters (are in|does|has|are there in) (the word|the name|) <x>(| have)?",
        "Count the letters (in|of) (the word|the name|) <x>(|.)",
        "(Number of|How many) letters(:|?) <x>",
    ],
    ["Tell me how many letters the word <x> has.", "Please count the letters here: <x>"],
)
_SPELL = Phrases(
    ["(Spell|Please spell|Can you spell|Could you spell|Spell out|Spell me|Spell for me)(| the word| the name| this word|) (<x>)(|.| please|, letter by letter)", "How (do you|do I|is|would you) spell(|ed) (the word|the name|) <x>?", "(What are|Give me|Tell me|Say) the letters (of|in) (the word|the name|) <x>(|.|?)", "(Letter by letter|Spelling)(:|, please:) <x>", "<x> - (spell it|spell that|letter by letter)"],
    ["I want you to spell <x> for me.", "Tell me how <x> is spelled.", "Please spell the following word: <x>", "Which letters are in the word <x>, one by one?"],
)  # fmt: skip
_ENDS = Phrases(
    ["(What is|Give me|Tell me|Say|Write)(| only| just) the <which> word(| of this| in this text| of the following| here| of this sentence)(:|:|?) <x>", "(Which|What) word (is|comes|stands) <which>(:|?) <x>", "<which> word(:|, please:) <x>"],
    ["I want the <which> word of this text: <x>", "Please tell me the <which> word here: <x>"],
)  # fmt: skip


def repeat(rng: random.Random, held: bool, longest: int = 16) -> Exchange:
    text = _text(rng, held, longest)
    return Exchange("repeat", _asked(rng, _REPEAT, text, held), text, "I repeat the text exactly.", ("exact", text))


def upper(rng: random.Random, held: bool) -> Exchange:
    text = _text(rng, held, 6)
    lower = rng.random() < 0.25
    phrases, answer = (_LOWER, text.lower()) if lower else (_UPPER, text.upper())
    if lower:
        text = text.upper() if rng.random() < 0.5 else text.title()
        answer = text.lower()
    return Exchange(
        "change case",
        _asked(rng, phrases, text, held),
        answer,
        f"I write the text in {'lower' if lower else 'upper'} case.",
        ("exact", answer),
    )


def reverse(rng: random.Random, held: bool) -> Exchange:
    words = _words(rng, held, 2, 8)
    text, answer = " ".join(words), " ".join(reversed(words))
    return Exchange(
        "reverse words",
        _asked(rng, _REVERSE, text, held),
        answer,
        f"From the last word {words[-1]} to the first word {words[0]}.",
        ("exact", answer),
    )


def count(rng: random.Random, held: bool) -> Exchange:
    if rng.random() < 0.3:
        text = rng.choice((NOUNS, FIRST_NAMES, INVENTED)).pick(rng, held)
        if " " not in text:
            answer = f"{len(text)} letters."
            thought = ", ".join(f"{letter} {i}" for i, letter in enumerate(text, 1)) + "."
            return Exchange(
                "count", _asked(rng, _LETTERS, text, held), answer, thought, ("number", len(text)), str(len(text))
            )
    words = _words(rng, held, 2, 10)
    answer = f"{len(words)} words."
    thought = ", ".join(f"{w} {i}" for i, w in enumerate(words, 1)) + "."
    return Exchange(
        "count", _asked(rng, _COUNT, " ".join(words), held), answer, thought, ("number", len(words)), str(len(words))
    )


def spell(rng: random.Random, held: bool) -> Exchange:
    text = word(rng, held) if rng.random() < 0.7 else FIRST_NAMES.pick(rng, held)
    text = text.split(" ")[0]
    if rng.random() < 0.1:
        text = text.capitalize()
    answer = "-".join(text)
    return Exchange(
        "spell", _asked(rng, _SPELL, text, held), answer, "I write one letter after the other.", ("exact", answer)
    )


def ends(rng: random.Random, held: bool) -> Exchange:
    words = _words(rng, held, 2, 9)
    which = rng.choice(("first", "last", "first", "last", "second", "third"))
    place = {"first": 0, "last": -1, "second": 1, "third": 2 if len(words) > 2 else 1}[which]
    which = "second" if which == "third" and len(words) < 3 else which
    asked = _asked(rng, _ENDS, " ".join(words), held).replace("<which>", which)
    return Exchange("pick a word", asked, words[place], f"The {which} word.", ("exact", words[place]), words[place])


_PLUS = Phrases(
    ["(What is|What's|Calculate|Compute|How much is|Work out|Add|) <a> (+|plus) <b>(|?)", "(What is|Tell me|Give me|Calculate) the sum of <a> and <b>(|?)", "Add <a> (and|to) <b>(|.)", "<a> (+|plus) <b>( =|=|?|)", "I have <a> <n>s and (get|buy|find) <b> more. How many (<n>s |)do I have(| now)?", "<a>+<b>(|=|?)"],
    ["Please add up <a> and <b>.", "How much do <a> and <b> make together?", "I want to know what <a> plus <b> is.", "Can you compute <a> + <b>?"],
)  # fmt: skip
_MINUS = Phrases(
    ["(What is|What's|Calculate|Compute|How much is|Work out|) <a> (-|minus) <b>(|?)", "(What is|Tell me|Calculate) the difference (of|between) <a> and <b>(|?)", "(Take|Subtract) <b> from <a>(|.)", "<a> (-|minus) <b>( =|=|?|)", "I have <a> <n>s and (lose|sell|give away) <b>. How many (<n>s |)(do I have|are left)(| now)?"],
    ["I want to know what <a> minus <b> is.", "Can you compute <a> - <b>?", "What remains when I take <b> from <a>?"],
)  # fmt: skip
_TIMES = Phrases(
    ["(What is|What's|Calculate|Compute|How much is|Work out|) <a> (*|times|x|multiplied by) <b>(|?)", "(What is|Tell me|Calculate) the product of <a> and <b>(|?)", "Multiply <a> (by|with|and) <b>(|.)", "<a> (*|times|x) <b>( =|=|?|)"],
    ["I want to know what <a> times <b> is.", "Can you compute <a> * <b>?", "How much does <a> times <b> make?"],
)  # fmt: skip


def _pair(rng: random.Random, held: bool, low: int, high: int) -> tuple[int, int]:
    """Held pairs have a number of two digits: those of single digits are too few to keep any back."""
    while True:
        a, b = rng.randint(low, high), rng.randint(low, high)
        if (max(a, b) > 12 and is_held(f"{a},{b}")) == held:
            return a, b


def _added(a: int, b: int) -> str:
    """Column by column from the right, as at school."""
    steps, carry = [], 0
    left, right = str(a)[::-1], str(b)[::-1]
    for i in range(max(len(left), len(right))):
        x, y = int(left[i : i + 1] or 0), int(right[i : i + 1] or 0)
        total = x + y + carry
        steps.append(f"{x} + {y}{f' + {carry}' if carry else ''} = {total}")
        carry = total // 10
    return ", ".join(steps) + "."


def _subtracted(a: int, b: int) -> str:
    steps, borrow = [], 0
    left, right = str(a)[::-1], str(b)[::-1]
    for i in range(len(left)):
        x, y = int(left[i]), int(right[i : i + 1] or 0) + borrow
        borrow = int(x < y)
        steps.append(f"{x + 10 * borrow} - {y} = {x + 10 * borrow - y}")
    return ", ".join(steps) + "."


def arithmetic(rng: random.Random, held: bool) -> Exchange:
    roll = rng.random()
    high = 999 if rng.random() < 0.15 else 99 if held or rng.random() < 0.75 else 20
    if roll < 0.45:
        a, b = _pair(rng, held, 0, high)
        phrases, sign, result, thought = _PLUS, "+", a + b, _added(a, b)
    elif roll < 0.75:
        a, b = _pair(rng, held, 0, high)
        if a < b:
            a, b = b, a
        if (max(a, b) > 12 and is_held(f"{a},{b}")) != held:
            return arithmetic(rng, held)
        phrases, sign, result, thought = _MINUS, "-", a - b, _subtracted(a, b)
    else:
        a, b = rng.randint(0, 12), rng.randint(0, 12)
        if held or rng.random() < 0.3:
            a, b = _pair(rng, held, 2, 99)
            b = b % 10 if a > 9 else b
            if (max(a, b) > 12 and is_held(f"{a},{b}")) != held:
                return arithmetic(rng, held)
        phrases, sign, result = _TIMES, "*", a * b
        tens, ones = a // 10 * 10, a % 10
        thought = (
            f"{tens} * {b} = {tens * b}, {ones} * {b} = {ones * b}, {tens * b} + {ones * b} = {result}."
            if tens
            else f"{a} * {b} = {result}."
        )
    asked = phrases.pick(rng, held).replace("<a>", str(a)).replace("<b>", str(b)).replace("<n>", NOUNS.pick(rng, held))
    return Exchange("arithmetic", asked, f"{a} {sign} {b} = {result}", thought, ("number", result), str(result))
