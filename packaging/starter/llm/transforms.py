"""Work on given text: repeat, change case, reverse, count, spell."""

# ruff: noqa: E501 - wordings read best one list a line

from __future__ import annotations

import random
import string

from ..common.phrases import Phrases
from ..common.words import FIRST_NAMES, INVENTED, NOUNS, number, sentence, word
from .sample import Exchange
from .wording import Asks, with_text

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
            piece = rng.choice(
                (
                    str(number(rng, held, 0, 9999)),
                    FIRST_NAMES.pick(rng, held),
                    word(rng, held).capitalize(),
                    word(rng, held).upper(),
                )
            )
            parts.insert(rng.randint(0, len(parts)), piece)
        if not held and rng.random() < 0.5:
            parts.insert(rng.randint(0, len(parts)), _odd(rng))
        text = " ".join(parts)
    roll = rng.random()
    if roll < 0.3:
        text = text[0].upper() + text[1:] + rng.choice((".", "!", "?", "."))
    return text


_QUOTES = ('"<x>"', "<x>", '"<x>"', "<x>", "'<x>'", "`<x>`", "\n<x>", "“<x>”")


def _asked(rng: random.Random, phrases: Phrases, text: str, held: bool) -> str:
    wording = with_text(rng, phrases.pick(rng, held))
    quote = rng.choice(_QUOTES)
    return wording.replace("<x>", quote.replace("<x>", text)).replace(": \n", ":\n")


_IT = "(this|that|it|the following|the text|this text|the following text|the sentence|this sentence|these words|the words|the following words|this line|the line|the message|the phrase|the string|what follows|what comes next|the text below|the words below|the next words|all of this|everything here|what I write here)"
_OF = "(this|that|it|the following|the text|this text|the following text|the sentence|this sentence|the line|this line|the message|the phrase|the list|this list|the text below|what follows|my text|my sentence|the next line)"
_REPEAT = Asks(
    ["Say it back to me: <x>", "Please echo this text exactly: <x>", "I want you to repeat: <x>", "Just repeat the following text: <x>", "Could you please copy this for me? <x>"],
    orders=(
        f"(repeat|say|echo|copy|write|print|output|type|reproduce|return|restate|show|display|quote|mirror|recite|pronounce|utter|speak|transcribe|duplicate|write down|read out|give back|send back|type out|say again) {_IT}(| exactly| word for word| verbatim| as it is| unchanged| without (changes|changing it|any change)| once more| once again| one more time| again| for me| back| back to me| after me| precisely| faithfully| in full| completely)",
        "(repeat|say|echo|copy|print|write)(| exactly| after me)", "(repeat|say|copy|write|echo|print|return|output) <x>(| exactly| again| once more)", "(answer|reply|respond|come back) with (exactly |just |only |nothing but |)(this|the same|the following) (text|sentence|line|words|message)", "(do not change|keep) (the text|this|it) and (repeat|say|write|copy|print) it", "(be my|play|act as) (echo|parrot|copier)", "(say|write|repeat) (only|exactly|just|precisely) (this|the following|what I say|what follows|these words)", "make (a copy|an exact copy) of (this|the text|it)",
    ),
    things=(f"(an exact copy|a copy|the exact words|a repetition|the same words|an echo|a verbatim copy) of {_OF}", "(the same|this|that) (text|sentence|line|message)(| again| once more| back| unchanged)"),
    wholes=("<x> - (repeat|say|echo|copy) (that|this|it)(| please|.)", "(Repeat|Say|Echo|Copy) after me:? <x>", "(What did I (write|say) here|What does this say|How does this text go)?", "What is it that I say here?"),
    share=(7, 2, 0, 3),
)  # fmt: skip
_UP = "(in|into|to|using|with) (upper case|uppercase|capital letters|capitals|all caps|big letters|upper-case letters|uppercase letters|only capitals|block letters|caps|CAPS)"
_DOWN = "(in|into|to|using|with) (lower case|lowercase|small letters|lower-case letters|lowercase letters|only small letters|little letters)"
_CHANGE = "(write|put|turn|convert|change|make|print|give|say|transform|set|rewrite|type|show|bring|return|translate|switch|output|spell|repeat|render)"
_UPPER = Asks(
    ["Please write this text in capital letters: <x>", "I need this in upper case: <x>", "How does <x> look in capitals?", "Change the following words into all caps: <x>"],
    orders=(f"{_CHANGE} {_IT} {_UP}", f"{_CHANGE} {_UP}", f"{_CHANGE} <x> {_UP}", f"(uppercase|capitalise|capitalize|upcase) (every letter of |all letters of |all of |){_IT}", f"(make|turn) (all|all the|every) letters? (of|in) {_OF} (big|upper case|uppercase|capital|capitals)", "(shout|scream|yell) (this|the text|it|these words|the sentence)", f"(use|take) (only |)(capitals|capital letters|upper case|uppercase) for {_OF}", f"raise (all |)the letters of {_OF}"),
    things=(f"{_OF} {_UP}", f"<x> {_UP}", f"the (uppercase|upper-case|capital|upper case|all-caps) (version|form|spelling) of {_OF}", f"the (capitals|capital letters|big letters) of {_OF}"),
    wonders=(f"(how|what) {_OF} (looks like|is|looks|reads) {_UP}", f"how to write {_OF} {_UP}"),
    wholes=("(Upper case|Uppercase|Capitals|All caps|UPPERCASE|Shout|Big letters|CAPS|Upper)(| this| please| only)", f"(What does|How would|How does) {_OF} (look like|read|look|be) {_UP}?", f"How (do you|would you|do I|can one) write {_OF} {_UP}?", f"What is <x> {_UP}?", f"How (does|would|will|do|should|could) <x> (look|read|appear|look like|go|come out) {_UP}?", f"<x> {_UP}(|, please|?)"),
)  # fmt: skip
_LOWER = Asks(
    ["Please write this text in small letters: <x>", "I need this in lower case: <x>"],
    orders=(f"{_CHANGE} {_IT} {_DOWN}", f"{_CHANGE} {_DOWN}", f"{_CHANGE} <x> {_DOWN}", f"(lowercase|downcase|lower) (every letter of |all letters of |all of |){_IT}", f"(make|turn) (all|all the|every) letters? (of|in) {_OF} (small|lower case|lowercase|little)", f"(use|take) (only |)(small letters|lower case|lowercase) for {_OF}", f"remove (all |the |)(capitals|capital letters) from {_OF}", "(do not shout|stop shouting)"),
    things=(f"{_OF} {_DOWN}", f"<x> {_DOWN}", f"the (lowercase|lower-case|small-letter|lower case) (version|form|spelling) of {_OF}", f"{_OF} without (capitals|capital letters)"),
    wonders=(f"(how|what) {_OF} (looks like|is|looks|reads) {_DOWN}", f"how to write {_OF} {_DOWN}"),
    wholes=("(Lower case|Lowercase|Small letters|lowercase|No capitals|Lower)(| this| please| only)", f"(What does|How would|How does) {_OF} (look like|read|look|be) {_DOWN}?", f"How (do you|would you|do I|can one) write {_OF} {_DOWN}?", f"What is <x> {_DOWN}?", f"How (does|would|will|do|should|could) <x> (look|read|appear|look like|go|come out) {_DOWN}?", f"<x> {_DOWN}(|, please|?)"),
)  # fmt: skip
_BACK = "(in reverse|backwards|backward|in reverse order|in reversed order|from last to first|from the last to the first|from the end to the start|in the opposite order|the other way round|from back to front|from end to beginning|starting with the last|last word first|in the inverse order)"
_WORDS = "(the words|these words|the following words|all words|all the words|its words|my words|each word|every word|the words below)"
_REVERSE = Asks(
    ["Please give me these words from last to first: <x>", "I want the words of this reversed: <x>", "Say the following words in reverse order please: <x>", "Could you reverse the words here? <x>"],
    orders=(f"(reverse|flip|invert|turn around|turn|mirror|swap|swap round|reorder) {_WORDS}(| (of|in|from) {_OF})", f"(reverse|flip|invert|turn around|mirror) the (order|word order|sequence) (of the words |of these words |)(of|in) {_OF}", "(reverse|flip|invert) the (order of words|word order|order of the words|sequence of words)", f"(write|say|repeat|put|give|list|print|read|show|arrange|order|bring|return|output|name|tell) {_WORDS}(| (of|in|from) {_OF}) {_BACK}", "(start|begin) with the last word and (end|finish|stop) with the first", f"(go|read|walk) through {_WORDS} {_BACK}", "(reverse|flip) the words of <x>", f"(write|say|repeat|give|read) {_OF} {_BACK}, word by word"),
    things=(f"{_WORDS}(| (of|in|from) {_OF}) {_BACK}", f"(the reverse|the opposite|the inverse|the reversed) (word order|order of words|order of the words)(| (of|in|for) {_OF})", f"{_WORDS} of {_OF} (reversed|turned around|flipped)", f"the reversed (words|word list|text)(| of {_OF})"),
    wonders=(f"how {_OF} (reads|goes|looks|sounds) {_BACK}", f"what {_OF} is {_BACK}"),
    wholes=("What is <x> with the words (reversed|in reverse order|backwards|turned around)?", f"(What|How) (is|are|do|does|would) {_WORDS} (look |go |read |be |){_BACK}?", "(Reverse|Reversed|Backwards|Words reversed|Reverse order|Reverse word order)(|, please)"),
)  # fmt: skip
_COUNT = Asks(
    ["Tell me how many words this has: <x>", "Please count how many words there are: <x>", "I need the number of words in this text: <x>", "Can you tell the word count of this? <x>"],
    orders=(f"count (the|all|all the|up the|up all|out the) words(| (in|of|from) {_OF}| here| below| that follow| that I write)", f"(find|determine|compute|calculate|work out|say|tell|give|state|report|check|see|get|figure out) (how many words (are in|make up|stand in|are there in|I have in|you see in|you find in) {_OF}|the number of words|the word count|the count of words)", f"(do|make) a word count(| (of|for|on) {_OF})", "count the words in <x>", f"count {_OF} in words"),
    things=(f"the (number of words|word count|count of words|amount of words|words count|total of words|total number of words)(| (in|of|for) {_OF}| here)", f"the (length|size) of {_OF} in words", f"a word count(| (of|for) {_OF})"),
    wonders=(f"how many words (there are|are there|are|I have|I wrote|I used|you see|you count|you find|stand)(| (in|within) {_OF}| here)", f"how many words {_OF} (has|contains|holds|is made of|consists of|counts)", f"(how long {_OF} is in words|how many words are in {_OF})"),
    wholes=(f"How many words (are there in|are in|has|make up|stand in|do you see in|do you count in|do you find in|did I write in|did I use in|can you count in|belong to) {_OF}?", f"How many words does {_OF} (have|contain|hold|use|count|consist of)?", "How many words(| are these| are there| do you see| here| is that| is this| in total| did I write)(:|?)", "(Word count|Number of words|Words|Count of words|Words in total|How many words)(| of this| please| here)", "How many words are in <x>?", f"(How long is|What is the length of) {_OF} in words?"),
)  # fmt: skip
_A_WORD = "(the word |the name |this word |the term |)<x>"
_LETTERS = Asks(
    ["Tell me how many letters the word <x> has.", "Please count the letters here: <x>"],
    orders=(f"count (the|all|all the|up the) (letters|characters) (in|of) {_A_WORD}", "count the (letters|characters)(| of this word| in this word| of the word| of the following word)", f"(find|determine|work out|say|give|state|check) (how many letters are in|the number of letters in|the letter count of) {_A_WORD}"),
    things=(f"the (number of letters|letter count|count of letters|amount of letters|number of characters) (in|of) {_A_WORD}", f"the length of {_A_WORD} in letters"),
    wonders=(f"how many letters (there are|are there|are|you see|you count) in {_A_WORD}", f"how many (letters|characters) {_A_WORD} (has|contains|needs)", f"how long {_A_WORD} is"),
    wholes=(f"How many (letters|characters) (are in|has|are there in|make up|do you count in) {_A_WORD}?", f"How many (letters|characters) does {_A_WORD} (have|contain|need)?", "(Number of letters|How many letters|Letter count|Letters)(:|?) <x>", f"How long is {_A_WORD}(| in letters)?", "How many letters (are here|do you see here|stand here|does this have|is this): <x>"),
)  # fmt: skip
_SPELL = Asks(
    ["I want you to spell <x> for me.", "Tell me how <x> is spelled.", "Please spell the following word: <x>", "Which letters are in the word <x>, one by one?"],
    orders=(f"spell(| out| for me| me) {_A_WORD}(| letter by letter| slowly| out loud| out| with dashes| one letter at a time)", f"(write|say|list|give|name|show|print|read|tell) (all |)(the |)(single |)letters (of|in) {_A_WORD}(| one by one| one after the other| one at a time| with dashes| in order| separately)", f"(write|say|give|read|print) {_A_WORD} letter by letter", f"(break|split|cut|divide|separate|take apart) {_A_WORD} (into|in) (its |single |)letters", f"(put|write) (dashes|a dash|hyphens) between the letters of {_A_WORD}", "spell <x>(| for me| for us| to me| aloud| right now|, letter by letter)", "spell (this|this word|that word|the word|the name|it|the following|the next word|the following name)(| out| letter by letter)"),
    things=(f"(the|all|all the) (letters|single letters|characters) (of|in) {_A_WORD}(| one by one| in order| one at a time| separately)", f"the spelling of {_A_WORD}", f"{_A_WORD} (letter by letter|spelled out|in single letters|as letters)"),
    wonders=(f"how (to spell|I spell|you spell|one spells|one writes) {_A_WORD}", f"how {_A_WORD} is (spelt|spelled|written|spelled out)", "how (the |a |)(word|name|term) <x> is (spelt|spelled|written)", "how <x> is (spelled|spelt|written)", f"(what|which) letters {_A_WORD} (has|is made of|consists of)", f"(what|which) letters are in {_A_WORD}"),
    wholes=(f"How (do you|do I|is|would you|does one|can I|should I) (spell|spelled|spelt|write) {_A_WORD}?", "(Letter by letter|Spelling|Spell it|Spell|Spelled out)(:|, please:) <x>", "<x> - (spell it|spell that|letter by letter|spelling please)", f"(What are|Which are) the letters (of|in) {_A_WORD}?", f"How (is|do I get) {_A_WORD} (spelt|spelled out|written in letters)?"),
)  # fmt: skip
_ENDS = Asks(
    ["I want the <which> word of this text: <x>", "Please tell me the <which> word here: <x>"],
    orders=(f"(give|say|write|name|print|find|pick|take|repeat|copy|show|return|output|read|choose|select|fetch) (only |just |)the <which> word(| (of|in|from) {_OF}| here)", f"(leave|drop|skip|remove) all but the <which> word(| (of|in|from) {_OF})"),
    things=(f"(only |just |)the <which> word(| (of|in|from) {_OF}| that I write| below)", f"the word that (is|comes|stands) <which>(| (in|of) {_OF})"),
    wonders=(f"(what|which) word (is|comes|stands|I write) <which>(| (in|of) {_OF})", f"what the <which> word (is|was|says)(| (in|of) {_OF})"),
    wholes=(f"(Which|What) word (is|comes|stands|do you see|do you find|do you read) <which>(| (in|of) {_OF})?", "<which> word(|, please)", "(Which|What) is the <which> word(| of this| here| in this text| of my text)?"),
)  # fmt: skip


def repeat(rng: random.Random, held: bool, longest: int = 16) -> Exchange:
    text = _text(rng, held, longest)
    return Exchange("repeat", _asked(rng, _REPEAT, text, held), text, "I repeat the text exactly.", ("exact", text))


def upper(rng: random.Random, held: bool) -> Exchange:
    text = _text(rng, held, 6)
    lower = rng.random() < (0.25 if held else 0.45)
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
    if rng.random() < (0.3 if held else 0.45):
        text = rng.choice((NOUNS, FIRST_NAMES, INVENTED)).pick(rng, held)
        if " " not in text:
            # Spelled first: what is written can be counted.
            answer = f"{'-'.join(text)}: {len(text)} letters."
            thought = ", ".join(f"{letter} {i}" for i, letter in enumerate(text, 1)) + "."
            short = str(len(text)) if len(text) < 8 else None
            return Exchange("count", _asked(rng, _LETTERS, text, held), answer, thought, ("number", len(text)), short)
    words = _words(rng, held, 2, 10)
    if rng.random() < 0.1:
        words = sentence(rng, held).split(" ")
    answer = f"{len(words)} words."
    thought = ", ".join(f"{w} {i}" for i, w in enumerate(words, 1)) + "."
    asked = _asked(rng, _COUNT, " ".join(words), held)
    return Exchange("count", asked, answer, thought, ("number", len(words)), str(len(words)))


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
