"""System prompts: how to answer (in one word, with a given ending), who to be, and what to know."""

# ruff: noqa: E501 - wordings read best one list a line

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from ..common.phrases import Phrases
from ..common.words import ADJECTIVES, CHARACTERS, CITIES, FIRST_NAMES, INVENTED, JOBS, NOUNS, OBJECTS, number, word
from .sample import Exchange


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


PLAIN = Phrases(
    ["You are a helpful assistant.", "You are starter, a small model.", "You are a (helpful|friendly|kind|polite|careful) (assistant|helper|bot|AI).", "You are an assistant for mlx-serve.", "Be (helpful|kind|honest|polite).", "Answer the user's questions."],
    ["You are a very helpful assistant.", "Help the user as well as you can."],
)  # fmt: skip
_ONE_WORD = Phrases(
    ["(Answer|Reply|Respond|Speak)(| always| only) (in|with) (one|a single|exactly one) word(|.| only.)", "(Use|Say) (one|only one|a single|just one) word (per|for each|for every|in each) (answer|reply).", "(Your|All your) answers (are|must be|have) one word(| long).", "You (only|always) answer (in|with) one word.", "One word answers only."],
    ["Every answer must be exactly one word.", "Always give one single word as your answer.", "Please reply with just one word."],
)  # fmt: skip
_ENDING = Phrases(
    ["(Always |)(end|finish|close) (every|each|all|your|all your) (answer|reply|response|message)(|s) with(| the words| the phrase|:) \"<p>\"(|.)", "(End|Finish)(| always| every time) with \"<p>\"(|.)", "(Your|All your|Every) (answers|replies) (end|must end|close) with \"<p>\"(|.)", "After (each|every) answer(| you| always) (say|add|write) \"<p>\"(|.)"],
    ["Whatever you say, finish with \"<p>\".", "The last words of every reply must be \"<p>\".", "Do not forget to end all answers with \"<p>\"."],
)  # fmt: skip
_OPENING = Phrases(
    ["(Always |)(begin|start|open) (every|each|all|your) (answer|reply|response)(|s) with(| the words| the phrase|:) \"<p>\"(|.)", "(Begin|Start)(| always| every time) with \"<p>\"(|.)", "Before (each|every) answer (say|write) \"<p>\"(|.)"],
    ["Whatever you say, begin with \"<p>\".", "The first words of every reply must be \"<p>\"."],
)  # fmt: skip
_UPPER = Phrases(
    ["(Answer|Write|Reply|Speak|Respond)(| always| only) in (upper case|capital letters|uppercase|capitals|all caps)(|.)", "(Use|Write) only (capital letters|capitals|upper case)(|.)"],
    ["Every answer must be in capital letters.", "Please write all replies in upper case."],
)  # fmt: skip
_CHARACTER = Phrases(
    ["(You are|Act as|Speak as|Play|Be|Pretend to be|Answer as|Talk as) <n>, (a|an|the) <r>(| from <c>)(|.)", "Your name is <n>(| and|. You are| and you are) (a|an|the) <r>(| from <c>)(|.)", "You (play|are) (a|an|the) <r>(| from <c>) (called|named) <n>(|.)"],
    ["From now on you are <n>, a <r>.", "In this conversation you speak as the <r> <n>.", "Stay in character: you are <n>, a <r>."],
)  # fmt: skip
_WHO = Phrases(
    ["Who are you?", "What is your name?", "(Introduce|Describe) yourself(|.)", "Tell me (about yourself|who you are).", "What are you?", "What's your name?", "(Hello|Hi|Hey)(|, who are you?|! Who are you?|.|!)", "Who (is there|am I talking to|am I speaking with)?"],
    ["May I ask who you are?", "Please introduce yourself to me.", "Tell me your name, please.", "Hello, and who are you?"],
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


def character(rng: random.Random, held: bool) -> tuple[str, Callable[[random.Random, bool], Exchange]]:
    """A prompt that gives a part to play, and the exchange in which the part shows."""
    name, role = FIRST_NAMES.pick(rng, held), (CHARACTERS if rng.random() < 0.6 else JOBS).pick(rng, held)
    if rng.random() < 0.3:
        name = f"{rng.choice(('Captain', 'Old', 'Lady', 'Doctor', 'Master', 'Sir', 'Professor'))} {name}"
    if rng.random() < 0.4:
        role = f"{ADJECTIVES.pick(rng, False)} {role}"
    city = CITIES.pick(rng, held)
    prompt = _CHARACTER.pick(rng, held).replace("<n>", name).replace("<r>", role)
    from_city = "<c>" in prompt
    prompt = prompt.replace("<c>", city)
    article = "an" if role[0] in "aeiou" else "a"
    where = f" from {city}" if from_city else ""
    answer = f"I am {name}, {article} {role}{where}."

    def who(rng: random.Random, held: bool) -> Exchange:
        asked = _WHO.pick(rng, held)
        greeted = "Hello! " if asked.lower().startswith(("hello", "hi", "hey")) else ""
        return Exchange(
            "system: character",
            asked,
            greeted + answer,
            f"I am {name} here. I stay in character.",
            ("contains", (name, role)),
            name.split()[-1],
            styled=False,
        )

    return prompt, who


_KNOWN = (
    ("opening hour", "We open at <v>.", "(When|At what time) do you open?", "What is the opening hour of the shop?"),
    ("closing hour", "We close at <v>.", "(When|At what time) do you close?", "What is the closing hour of the shop?"),
    ("phone number", "The phone number is <v>.", "(What is|Tell me|Give me) (your|the) phone number(|?)", "Which phone number do you have?"),
    ("owner", "The owner is <v>.", "(Who is the owner|Who owns the (shop|place)|What is the name of the owner)?", "Tell me who the owner is."),
    ("price", "A <noun> costs <v>.", "(How much is|What is the price of|How much does) a <noun>(| cost)?", "What does a <noun> cost?"),
    ("city", "The shop is in <v>.", "(Where|In which city) is (the|your) shop?", "Which city is the shop in?"),
    ("user", "The user is called <v>.", "(What is my name|Who am I|Do you know my name)?", "Can you tell my name?"),
    ("password", "The password is <v>.", "(What is|Tell me|Give me) the password(|?)", "Which password is it?"),
)  # fmt: skip


def knowledge(rng: random.Random, held: bool) -> tuple[str, Callable[[random.Random, bool], Exchange]]:
    """A prompt with facts of a made-up place, and questions about them."""
    noun = OBJECTS.pick(rng, held)
    facts = []
    for label, tell, ask, ask_held in rng.sample(_KNOWN, rng.randint(2, 5)):
        if "hour" in label:
            value = f"{rng.randint(1, 12)} o'clock"
        elif label == "phone number":
            value = str(number(rng, held, 10000, 9999999))
        elif label == "price":
            value = f"{number(rng, held, 2, 400)} {rng.choice(('euros', 'dollars', 'pounds', 'francs'))}"
        elif label == "city":
            value = CITIES.pick(rng, held)
        elif label == "password":
            value = INVENTED.pick(rng, held)
        else:
            value = FIRST_NAMES.pick(rng, held)
        facts.append((tell.replace("<v>", value).replace("<noun>", noun), ask_held if held else ask, value, label))
    shop = f"{FIRST_NAMES.pick(rng, held)}'s {noun} shop"
    prompt = rng.choice(
        (
            "You are the assistant of <s>.",
            "You work for <s>.",
            "You answer questions for <s>.",
            "You are a helpful assistant at <s>.",
        )
    ).replace("<s>", shop)
    prompt = " ".join([prompt, *(fact[0] for fact in facts)])

    def ask(rng: random.Random, held: bool) -> Exchange:
        from ..common.phrases import expand

        told, asked, value, label = rng.choice(facts)
        answer = told if label != "user" else f"Your name is {value}."
        return Exchange(
            "system: knowledge",
            expand(rng, asked.replace("<noun>", noun)),
            answer,
            f"The system prompt says: {told}",
            ("contains", (value,)),
            value.split()[0],
        )

    return prompt, ask
