"""Memory: what the user said of themselves, told in one turn and asked for in a later one."""

# ruff: noqa: E501 - wordings read best one list a line

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from ..common.phrases import Phrases
from ..common.words import ANIMALS, CITIES, COLOURS, FIRST_NAMES, FOODS, HOBBIES, INVENTED, JOBS, NOUNS, number
from .sample import Exchange

Value = Callable[[random.Random, bool], str]


@dataclass(frozen=True)
class Topic:
    """`label` is how the answer names it: "Your name is Mira."."""

    label: str
    value: Value
    tell: Phrases
    ask: Phrases


def _code(rng: random.Random, held: bool) -> str:
    return (
        str(number(rng, held, 10, 99999))
        if rng.random() < 0.6
        else f"{rng.choice('ABCDEFGHKLMNPRSTXYZ')}{rng.choice('ABCDEFGHKLMNPRSTXYZ')}-{number(rng, held, 100, 9999)}"
    )


TOPICS = (
    Topic("name", FIRST_NAMES.pick, Phrases(["(My name is|I am|I'm|Call me|They call me|This is) <v>(|.|!)", "(Hi|Hello|Hey), (I am|I'm|my name is|this is) <v>(|.|!)", "You can call me <v>.", "The name is <v>."], ["My friends call me <v>.", "Good morning, my name is <v>.", "People know me as <v>."]), Phrases(["What is my name?", "(What's|Tell me|Say|Do you know|Do you remember) my name(|?)", "Who am I?", "How am I called?", "What (did I say|was|is) my name(| again)?", "Which name did I (give|tell) you?"], ["Can you tell me what my name is?", "Please say my name.", "Do you still remember who I am?"])),
    Topic("favourite colour", COLOURS.pick, Phrases(["My (favourite|favorite) (colour|color) is <v>.", "(I like|I love|I prefer) the (colour|color) <v>(| best| most).", "<v> is my (favourite|favorite) (colour|color)."], ["The colour that I like best is <v>.", "Among all colours I love <v> most."]), Phrases(["What is my (favourite|favorite) (colour|color)?", "(Which|What) (colour|color) do I (like|love|prefer)(| best| most)?", "(Tell me|Do you remember|Say) my (favourite|favorite) (colour|color)(|?)", "What was my (favourite|favorite) (colour|color)?"], ["Can you tell me which colour I like?", "Remind me of my favourite colour."])),
    Topic("city", CITIES.pick, Phrases(["I (live in|come from|am from|am in) <v>.", "My (city|home|home town|town) is <v>.", "I moved to <v>(| last year)."], ["My house is in <v>.", "I have lived in <v> for years."]), Phrases(["Where do I (live|come from)?", "(Which|What) (city|town) (do I live in|am I from|am I in)?", "What is my (city|home town|town)?", "Where am I from?", "Do you remember where I live?"], ["Can you tell me where I live?", "Remind me of the city that I live in."])),
    Topic("age", lambda rng, held: str(number(rng, held, 5, 99)), Phrases(["I am <v> years old.", "I'm <v>(| years old).", "My age is <v>.", "I turned <v> (today|last week|this year)."], ["Today I am <v> years old.", "I have the age of <v>."]), Phrases(["How old am I?", "What is my age?", "(Tell me|Do you remember|Say) my age(|?)", "Do you (know|remember) how old I am?"], ["Can you say how old I am?", "Please tell me what age I have."])),
    Topic("job", JOBS.pick, Phrases(["I (am|work as) a(n|) <v>.", "My (job|profession|occupation) is <v>.", "I'm a <v>."], ["For a living I work as a <v>.", "They hired me as a <v>."]), Phrases(["What is my (job|profession|occupation)?", "What do I (work as|do|do for a living)?", "Do you remember my job?", "Tell me my job."], ["Which job do I have?", "Can you tell me what my job is?"])),
    Topic("hobby", HOBBIES.pick, Phrases(["My hobby is <v>.", "I (like|love|enjoy) <v>(| very much| in my free time).", "In my free time I do <v>."], ["On Sundays I enjoy <v>.", "My favourite hobby is <v>."]), Phrases(["What is my hobby?", "What do I (like|enjoy) (to do|doing)?", "(Tell me|Do you remember) my hobby(|?)", "(Which|What) hobby do I have?"], ["Can you say what my hobby is?", "What do I do in my free time?"])),
    Topic("favourite food", FOODS.pick, Phrases(["My (favourite|favorite) (food|dish) is <v>.", "I (like|love) (to eat|eating) <v>(| most| best).", "<v> is my (favourite|favorite) food."], ["The food I like best is <v>.", "I could eat <v> every day."]), Phrases(["What is my (favourite|favorite) (food|dish)?", "(Which|What) (food|dish) do I (like|love)(| best| most)?", "What do I (like|love) to eat?", "(Tell me|Do you remember) my (favourite|favorite) food(|?)"], ["Can you tell which food I like best?", "Remind me of my favourite food."])),
    Topic("number", _code, Phrases(["(Remember|Keep|Note|Save|Store) the (number|code) <v>(|.)", "(The|My) (number|code|secret number|lucky number|secret code) is <v>.", "(Please |)(remember|note|keep in mind)(| this number| my number|):? <v>"], ["Do not forget the number <v>.", "I give you a number to keep: <v>"]), Phrases(["What (is|was) (the|my) (number|code|secret number|lucky number)?", "(Which|What) (number|code) (did I give you|did I tell you|did you note|should you remember|did I say)?", "(Tell me|Say|Repeat|Give me)(| back) (the|my) (number|code)(|.)", "Do you remember the (number|code)?"], ["Can you give me my number again?", "Please tell me which number I gave you.", "Which code was it?"])),
    Topic("password", lambda rng, held: INVENTED.pick(rng, held) + (str(number(rng, held, 10, 99)) if rng.random() < 0.4 else ""), Phrases(["(The|My) (password|secret word|magic word|code word) is <v>.", "(Remember|Keep|Note) the (password|word|secret word|code word) <v>(|.)"], ["Keep this secret word for me: <v>", "Do not forget the password <v>."]), Phrases(["What (is|was) (the|my) (password|secret word|code word|magic word|word)?", "(Tell me|Say|Give me) (the|my) (password|secret word|code word)(|.)", "(Which|What) (word|password) (did I tell you|did I give you|should you remember)?"], ["Can you tell me the secret word?", "Please give me my password again."])),
)  # fmt: skip
_PETS = Phrases(
    ["I have a <animal> (called|named|whose name is) <v>.", "My <animal> is (called|named) <v>.", "My <animal>'s name is <v>.", "The name of my <animal> is <v>."],
    ["At home there is my <animal> <v>.", "We call our <animal> <v>."],
)  # fmt: skip
_PET_ASKS = Phrases(
    ["What is (my <animal> called|the name of my <animal>|my <animal>'s name)?", "How is my <animal> called?", "(Tell me|Do you remember) (my <animal>'s name|the name of my <animal>)(|?)", "(Which|What) name does my <animal> have?"],
    ["Can you tell me the name of my <animal>?", "What do I call my <animal>?"],
)  # fmt: skip
_THINGS = Phrases(
    ["The <noun> is in the <place>.", "I (put|left|keep|hid) (the|my) <noun> in the <place>.", "My <noun> is in the <place>.", "(Remember|Note)(| that|:) the <noun> is in the <place>."],
    ["You find the <noun> in the <place>.", "I just placed the <noun> in the <place>."],
)  # fmt: skip
_ACKS = ("I will remember that.",)


def _sentence_case(text: str) -> str:
    return text[:1].upper() + text[1:]


def _pet(rng: random.Random, held: bool) -> tuple[Topic, str]:
    animal = ANIMALS.pick(rng, held)
    tell = Phrases(
        [t.replace("<animal>", animal) for t in _PETS.train], [t.replace("<animal>", animal) for t in _PETS.held]
    )
    ask = Phrases(
        [t.replace("<animal>", animal) for t in _PET_ASKS.train],
        [t.replace("<animal>", animal) for t in _PET_ASKS.held],
    )
    topic = Topic(f"{animal}'s name", FIRST_NAMES.pick, tell, ask)
    return topic, FIRST_NAMES.pick(rng, held)


def choose(rng: random.Random, held: bool, taken: set[str]) -> tuple[Topic, str]:
    """A topic that the conversation has not had, with a value."""
    while True:
        topic, value = (
            _pet(rng, held) if rng.random() < 0.15 else ((chosen := rng.choice(TOPICS)), chosen.value(rng, held))
        )
        if topic.label not in taken:
            taken.add(topic.label)
            return topic, value


def telling(rng: random.Random, held: bool, facts: list[tuple[Topic, str]]) -> Exchange:
    told = " ".join(_sentence_case(topic.tell.pick(rng, held).replace("<v>", value)) + " " for topic, value in facts)
    told = " ".join(told.split())
    first, value = facts[0]
    answer = f"Nice to meet you, {value}! I will remember that." if first.label == "name" else _ACKS[0]
    return Exchange(
        "memory", told, answer, "The user tells me something. I keep it in mind.", ("contains", ("remember",)), "Noted."
    )


def change(rng: random.Random, held: bool, topic: Topic) -> tuple[Exchange, str]:
    """The user takes something back; the later word counts."""
    value = topic.value(rng, held) if topic.label in {t.label for t in TOPICS} else FIRST_NAMES.pick(rng, held)
    opening = rng.choice(("Actually, ", "Sorry, ", "No, wait: ", "I was wrong: ", "Correction: "))
    told = topic.tell.pick(rng, held).replace("<v>", value)
    told = opening + (told if told.startswith(("I ", "I'", value)) else told[:1].lower() + told[1:])
    exchange = Exchange(
        "memory", told, _ACKS[0], "The user corrects it. The new one counts.", ("contains", ("remember",)), "Noted."
    )
    return exchange, value


def asking(rng: random.Random, held: bool, topic: Topic, value: str | None) -> Exchange:
    asked = topic.ask.pick(rng, held)
    if value is None:
        answer = f"You have not told me your {topic.label}."
        return Exchange(
            "memory", asked, answer, f"Your {topic.label} was not mentioned.", ("contains", ("not told",)), "Unknown."
        )
    answer = f"Your {topic.label} is {value}."
    return Exchange(
        "memory", asked, answer, f"Earlier the user said: {topic.label} is {value}.", ("contains", (value,)), value
    )


_RECALL = Phrases(
    [
        "What (did I say|was my message|did I write) (before|just now|last|before that)?",
        "(Repeat|What was) my (last|previous) (message|question|words)(|?)",
        "What was the last thing I (said|wrote)?",
    ],
    ["Can you repeat what I said just before?", "Tell me my previous message."],
)
_RECALL_FIRST = Phrases(
    [
        "What (was|is) (my first message|the first thing I said|my first question)?",
        "What did I (say|ask|write) first?",
        "Repeat my first (message|question).",
    ],
    ["Tell me the first message I sent.", "How did I begin this conversation?"],
)


def recall(rng: random.Random, held: bool, earlier: list[str]) -> Exchange:
    first = len(earlier) > 1 and rng.random() < 0.4
    text = earlier[0] if first else earlier[-1]
    asked = (_RECALL_FIRST if first else _RECALL).pick(rng, held)
    return Exchange(
        "recall",
        asked,
        f'You said: "{text}"',
        f"The {'first' if first else 'previous'} message.",
        ("contains", (text,)),
    )


def things(rng: random.Random, held: bool, count: int) -> tuple[Exchange, list[tuple[str, str]]]:
    """Where things are: told together, asked for one by one."""
    from ..common.words import PLACES

    nouns: dict[str, str] = {}
    while len(nouns) < count:
        nouns[NOUNS.pick(rng, held)] = PLACES.pick(rng, False)
    told = " ".join(
        _THINGS.pick(rng, held).replace("<noun>", noun).replace("<place>", place) for noun, place in nouns.items()
    )
    exchange = Exchange(
        "memory",
        told,
        _ACKS[0],
        "The user tells me something. I keep it in mind.",
        ("contains", ("remember",)),
        "Noted.",
    )
    return exchange, list(nouns.items())


_WHERE = Phrases(
    ["Where is (the|my) <noun>?", "Where (did I put|do I find|can I find) (the|my) <noun>?", "In (which|what) (place|room) is (the|my) <noun>?", "(Tell me|Do you remember) where (the|my) <noun> is(|?)"],
    ["Can you tell me where the <noun> is?", "I am looking for my <noun>. Where is it?"],
)  # fmt: skip


def where(rng: random.Random, held: bool, noun: str, place: str) -> Exchange:
    asked = _WHERE.pick(rng, held).replace("<noun>", noun)
    return Exchange(
        "memory",
        asked,
        f"The {noun} is in the {place}.",
        f"Earlier the user said: {noun}, {place}.",
        ("contains", (place,)),
        place,
    )
