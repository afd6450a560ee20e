"""System prompts that say how to answer: in one word, with a given ending or beginning, in capitals."""

# ruff: noqa: E501 - wordings read best one list a line

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from ..common.phrases import Phrases, expand
from ..common.words import ADJECTIVES, FIRST_NAMES, NOUNS, sentence, word
from .sample import Exchange
from .wording import Asks


@dataclass(frozen=True)
class Style:
    """What a system prompt does to every answer of its conversation."""

    task: str
    prompt: str
    apply: Callable[[Exchange], Exchange]
    needs_short: bool = False


def _changed(exchange: Exchange, answer: str, check_kind: str = "exact") -> Exchange:
    exchange.answer = answer
    exchange.check = ("exact", answer) if check_kind == "exact" else exchange.check
    return exchange


_RULES = Phrases(
    ["<o>", "<o>", "(Always|Please|Please always|You must|You should|You have to|You will|You are to|From now on|At all times|In this chat|Here you|Kindly|Your rule: |The rule: |Important: |Rule: |Note: |Remember to|Make sure to|Take care to|Be sure to|It is important to|Your task is to|Your job is to|I want you to|I expect you to|We ask you to|The user wants you to|Without exception|In every case|Do not forget: |Be strict: |Under all circumstances) <o>", "<o>(| always| at all times| every time| in this chat| without exception| no matter what| whatever happens| from now on| please)", "(You are|You're) (a helpful|a friendly|an|a kind|a careful|the) assistant(. | who has one rule: |. Rule: |. Always )<o>", "(Be helpful|Be kind|Be brief|Help the user|Answer questions|You are starter)(. |. Also |. And always |, and )<o>", "When (the user|somebody|anyone) (asks|writes|says something|speaks), <o>"],
    ["To every user: <o>"],
)  # fmt: skip


class Rule(Asks):
    """What a system prompt orders: an order in a frame of its own, or a whole sentence."""

    def __init__(self, held: list[str], orders: tuple[str, ...], wholes: tuple[str, ...]) -> None:
        super().__init__(held, orders=orders, wholes=wholes)
        self._orders, self._wholes = orders, wholes

    def write(self, rng: random.Random) -> str:
        if rng.random() < 0.6:
            text = _RULES.pick(rng, False).replace("<o>", expand(rng, rng.choice(self._orders)).rstrip("."))
        else:
            text = expand(rng, rng.choice(self._wholes))
        text = text[:1].upper() + text[1:]
        roll = rng.random()
        if roll < 0.06:
            text = text[:1].lower() + text[1:]
        return text if text.endswith((".", '"')) or roll > 0.7 else text + rng.choice((".", "!", "."))


PLAIN = Phrases(
    ["You are a helpful assistant(|.)", "You are starter, a small model(|.)", "You are a (helpful|friendly|kind|polite|careful|smart|quick|good|useful|patient|calm|reliable|modest|honest) (assistant|helper|bot|AI|model|program|chatbot|language model)(|.)", "You are an assistant for mlx-serve.", "Be (very |really |)(helpful|kind|honest|polite|brief|clear|friendly)(|.)", "(Do|Answer|Work|Serve) as (well|good|fast|best) as (possible|you may)(|.)", "(Help|Assist) (everybody|people|me|anyone) (when you can|if you can|where possible)(|.)", "(Answer|Reply to) the user's questions(|.)", "You (help|assist|serve) (the user|users|people)(| with mlx-serve| with their questions)(|.)", "(This is|You are in) a chat with (a user|a person|somebody)(|.)", "(Today is a nice day|The user is a developer|The user is a friend|The user is new here|You run on the user's own machine)(|.)", "You are (an AI|a model|an assistant) (made|built|trained) (by <name>|for testing|to help)(|.)"],
    ["You are a very helpful assistant.", "Help the user as well as you can."],
)  # fmt: skip
_SAYING = "(answer|reply|response|message|sentence|output|turn|text)"
_ALL = f"(every|each|all your|your|any|each single|every single) {_SAYING}(|s)"
_ONE = "(one|a single|exactly one|only one|just one|no more than one|1|one and only one)"
_ONE_WORD = Rule(
    ["Every answer must be exactly one word.", "Always give one single word as your answer.", "Please reply with just one word."],
    orders=(f"(answer|reply|respond|speak|write|say everything|talk|answer everything|answer all questions|respond to everything) (in|with|using) {_ONE} word", f"(use|say|write|give|return|output) {_ONE} word (per|for each|for every|in each|in every|as) {_SAYING}", f"(keep|limit|cut|shorten|reduce|restrict) {_ALL} to {_ONE} word", "(never|do not|don't) (use|say|write|answer with|give) more than one word"),
    wholes=(f"(Your|All your|All|The) {_SAYING}s (are|must be|have|should be|consist of|contain|have to be|may only be|will be) {_ONE} word(| long)(|.)", f"You (only|always|just|never fail to) (answer|reply|speak|respond) (in|with) {_ONE} word(|.)", "One word (answers|replies) only.", "(Single-word|One-word) (answers|replies|responses)(| only|, please|, nothing else).", f"{_ONE} word, (no more|nothing more|not two|that is all)(|.)", "You are (very|extremely) (short|brief|terse): (one word|a single word) per (answer|reply)(|.)", f"The (assistant|model|bot) (answers|speaks|replies) (in|with) {_ONE} word(|.)", "Say it in one word(|.)"),
)  # fmt: skip
_WITH = "(|the words |the phrase |the sentence |the text |this: |these words: |the following: |: |exactly )"
_ENDING = Rule(
    ["Whatever you say, finish with \"<p>\".", "The last words of every reply must be \"<p>\".", "Do not forget to end all answers with \"<p>\"."],
    orders=(f"(end|finish|close|conclude|complete|terminate) {_ALL} with {_WITH}\"<p>\"", f"(end|finish|close|conclude|sign off|stop) with {_WITH}\"<p>\"", f"(add|append|put|attach|write|say|place|set) {_WITH}\"<p>\" (at the end|to the end|after the end|as the last words|as the last thing|at the close) of {_ALL}", f"(add|append|attach) {_WITH}\"<p>\" to {_ALL}", f"(say|add|write|put|append) \"<p>\" (after|behind) {_ALL}", f"make \"<p>\" the (end|last words|closing words|final words) of {_ALL}", f"let {_ALL} (end|close|finish) with \"<p>\""),
    wholes=(f"(Your|All your|Every|All|The) {_SAYING}(s|) (end|must end|close|ends|should end|has to end|have to finish|will end|finish|closes|need to end|needs to end) with {_WITH}\"<p>\"(|.)", f"After {_ALL}(| you| always| you always| please| you must) (say|add|write|put) {_WITH}\"<p>\"(|.)", f"You (always |)(end|finish|close|conclude|sign) ({_ALL}|what you say|everything|your words) with {_WITH}\"<p>\"(|.)", f"(At the end of|Behind|To) {_ALL} (add|write|say|stands|comes|put|append|belongs) \"<p>\"(|.)", f"\"<p>\" (ends|closes|concludes|finishes|must close|comes at the end of|stands at the end of|is the end of) {_ALL}(|.)", "(Your|The) (closing phrase|last words|signature|final sentence|sign-off|ending|catchphrase at the end) (is|are|must be)(|:) \"<p>\"(|.)"),
)  # fmt: skip
_OPENING = Rule(
    ["Whatever you say, begin with \"<p>\".", "The first words of every reply must be \"<p>\"."],
    orders=(f"(begin|start|open|introduce|preface) {_ALL} with {_WITH}\"<p>\"", f"(begin|start|open) with {_WITH}\"<p>\"", f"(add|put|write|say|place|set) {_WITH}\"<p>\" (at the start|at the beginning|in front|as the first words|as the first thing|at the top) of {_ALL}", f"(say|write|put) \"<p>\" (before|ahead of|in front of) {_ALL}", f"make \"<p>\" the (start|first words|opening words|beginning) of {_ALL}", f"let {_ALL} (begin|start|open) with \"<p>\""),
    wholes=(f"(Your|All your|Every|All|The) {_SAYING}(s|) (begin|must begin|start|starts|should start|has to begin|have to begin|will start|open|begins|needs to start) with {_WITH}\"<p>\"(|.)", f"Before {_ALL}(| you| always| you always| please| you must) (say|add|write|put) {_WITH}\"<p>\"(|.)", f"You (always |)(begin|start|open) ({_ALL}|what you say|everything|your words) with {_WITH}\"<p>\"(|.)", f"(At the start of|In front of|At the beginning of) {_ALL} (add|write|say|stands|comes|put|belongs) \"<p>\"(|.)", f"\"<p>\" (begins|opens|starts|comes before|stands before|comes at the start of|is the start of) {_ALL}(|.)", "(Your|The) (opening phrase|first words|greeting|first sentence|opening|beginning) (is|are|must be)(|:) \"<p>\"(|.)"),
)  # fmt: skip
_CAPS = "(in|with|using|only in|only with|in nothing but) (upper case|capital letters|uppercase|capitals|all caps|big letters|uppercase letters|block letters|caps only|CAPITALS)"
_UPPER = Rule(
    ["Every answer must be in capital letters.", "Please write all replies in upper case."],
    orders=(f"(answer|write|reply|speak|respond|say everything|talk|type|answer everything|write everything|shout everything) {_CAPS}", "(use|write|type) (only|nothing but|just) (capital letters|capitals|upper case|uppercase|big letters)", f"(put|write|give|set|turn|convert) {_ALL} (into|in|to) (capitals|upper case|capital letters|uppercase|all caps)", "(never|do not|don't) (use|write) (small letters|lower case|lowercase)", f"(shout|scream|yell) {_ALL}"),
    wholes=(f"(Your|All your|All|The|Any) ({_SAYING}s|replies) (are|must be|should be|have to be|will be|come) {_CAPS}(|.)", f"You (only|always|just) (write|answer|speak|shout|reply|type) {_CAPS}(|.)", "(No|Not a single) (small|lowercase|lower-case) letters?(|, please| in your answers| ever)(|.)", "(Upper case|Capitals|Capital letters|ALL CAPS|UPPERCASE) (only|always|everywhere|please|in all answers)(|.)", "(Your keyboard has|You know) only (capitals|capital letters|big letters)(|.)", "You are (very loud|a shouter): (answer|write|speak) in (capitals|capital letters|upper case)(|.)"),
)  # fmt: skip


def phrase(rng: random.Random, held: bool) -> str:
    roll = rng.random()
    if roll < 0.35:
        words = [word(rng, held) for _ in range(rng.randint(1, 4))]
        text = " ".join(words)
        return (text.capitalize() if rng.random() < 0.7 else text) + rng.choice(("", "!", ".", "!"))
    if roll < 0.6:
        return rng.choice(
            (
                "Have a nice day!",
                "Over and out.",
                "Best wishes.",
                "That is all.",
                "Good luck!",
                "Enjoy!",
                "At your service.",
                "Stay curious.",
                "See you soon!",
                "Yours truly.",
            )
        )
    if roll < 0.85:
        return f"{rng.choice(('Greetings from', 'Long live', 'Yours,', 'Hail', 'Cheers from', 'Signed:'))} {FIRST_NAMES.pick(rng, held)}{rng.choice(('!', '.', ''))}"
    if not held and roll < 0.92:
        text = sentence(rng, False)
        return text[:1].upper() + text[1:] + rng.choice(("!", ".", ""))
    return f"{ADJECTIVES.pick(rng, False).capitalize()} {NOUNS.pick(rng, held)}!"


def style(rng: random.Random, held: bool) -> Style:
    roll = rng.random()
    if roll < 0.3:

        def one_word(exchange: Exchange) -> Exchange:
            return _changed(exchange, exchange.short or exchange.answer)

        return Style("system: one word", _ONE_WORD.pick(rng, held), one_word, needs_short=True)
    text = phrase(rng, held)
    if roll < 0.62:
        return Style(
            "system: ending", _ENDING.pick(rng, held).replace("<p>", text), lambda e: _changed(e, f"{e.answer} {text}")
        )
    if roll < 0.8:
        return Style(
            "system: opening",
            _OPENING.pick(rng, held).replace("<p>", text),
            lambda e: _changed(e, f"{text} {e.answer}"),
        )
    return Style(
        "system: upper case",
        _UPPER.pick(rng, held),
        lambda e: _changed(e, e.answer.upper()),
        needs_short=rng.random() < 0.6,
    )
