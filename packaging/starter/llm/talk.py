"""Talk: facts about mlx-serve, greetings, thanks, and owning up to what a small model does not know."""

# ruff: noqa: E501 - wordings read best one list a line

from __future__ import annotations

import random

from ..common.phrases import Phrases, expand
from ..common.words import ANIMALS, CITIES, FIRST_NAMES, FOODS, HOBBIES, INVENTED, NOUNS
from .facts import FACTS, Fact
from .sample import Exchange

_NAME_FRAMES = Phrases(
    [
        "What (is|are) <x>?", "What's <x>?", "What does <x> do?", "What is <x> (for|good for|used for)?", "Explain <x>(|.)", "Tell me (about|something about|more about) <x>(|.)",
        "(Can|Could) you (explain|describe) <x>?", "What do you know about <x>?", "<x>?", "(Please |)(explain|describe) <x>(|.)", "Do you know <x>?", "How does <x> work?",
        "I (do not|don't) understand <x>.", "(When|Why) do I (use|need) <x>?", "What does <x> mean?", "(Hi|Hello), what is <x>?", "I have a question about <x>.",
    ],
    ["I would like to know about <x>.", "So what is <x>, please?", "What can you tell me about <x>?", "Say something about <x>.", "Please tell me what <x> is."],
)  # fmt: skip
_TASK_FRAMES = Phrases(
    [
        "How (do|can|could|should) I <x>?", "How (do|can) you <x>?", "How to <x>?", "How does one <x>?", "(What|Which) (command|commands) (do I use|do I need|lets me|should I use|must I type) to <x>?",
        "(What|Which) command (is there|is it) to <x>?", "I (want|need|would like|have|wish|'d like) to <x>.", "I (want|need) to <x>. (How|What do I do|What is the command|How do I do that)?", "(Please |)(tell|show) me how to <x>(|.)",
        "(Can|Could) you tell me how to <x>?", "What (do|must|should) I (do|type|run|enter) to <x>?", "Is there a (way|command) to <x>?", "Help me <x>.", "Can I <x>?", "Is it possible to <x>?", "What is the (command|way) to <x>?",
        "(Hi|Hello|Hey), how do I <x>?", "how do i <x>", "(command|how) to <x>", "What's the (best|easiest|right) way to <x>?", "Do you know how to <x>?", "I am trying to <x>.", "My (goal|plan) is to <x>.",
    ],
    [
        "What would I type to <x>?", "Could you show me how to <x>, please?", "Which command would <x>?", "I have to <x>, what do I do?", "Tell me please: how can I <x>?", "Hello, I need to <x>.", "What is the right command to <x>?",
        "Is there some way to <x>?",
    ],
)  # fmt: skip
_OPENINGS = (
    "Hi, ",
    "Hello, ",
    "Please: ",
    "OK, ",
    "One question: ",
    "And ",
    "Quick question: ",
    "Hey, ",
    "Now ",
    "So, ",
    "Tell me: ",
    "Another question: ",
)
_ENDINGS = (" Thanks.", " Please.", " Thank you!", " I am new here.", " In mlx-serve, I mean.", " Please be brief.")  # fmt: skip


_SMALL = {"the", "a", "an", "do", "is", "of", "to", "my", "does", "me", "are", "I"}


def _roughen(rng: random.Random, text: str) -> str:
    """People write in lower case, without marks, with typos."""
    roll = rng.random()
    if roll < 0.12:
        text = text[:1].lower() + text[1:]
    elif roll < 0.2:
        text = text.lower() if "_" not in text and "-" not in text else text
    if rng.random() < 0.12:
        text = text.rstrip("?.!")
    if rng.random() < 0.1:
        text = rng.choice(_OPENINGS) + text[:1].lower() + text[1:]
    if rng.random() < 0.06:
        text += rng.choice(_ENDINGS)
    if rng.random() < 0.05 and len(text) > 12:
        at = rng.randrange(1, len(text) - 2)
        if text[at].isalpha() and text[at + 1].isalpha():
            text = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    if rng.random() < 0.05:
        words = text.split(" ")
        small = [i for i, word in enumerate(words) if word in _SMALL]
        if small and len(words) > 4:
            del words[rng.choice(small)]
        text = " ".join(words)
    return text


def _ask(rng: random.Random, fact: Fact, held: bool) -> str:
    """A question that training never sees has a held frame, a held ending, or is held as a whole."""
    if not held:
        roll = rng.random()
        if fact.asks and (roll < 0.35 or not (fact.names or fact.tasks)):
            return _roughen(rng, expand(rng, rng.choice(fact.asks)))
        if fact.tasks and (roll < 0.75 or not fact.names):
            return _roughen(rng, _TASK_FRAMES.pick(rng, False).replace("<x>", expand(rng, rng.choice(fact.tasks))))
        return _roughen(rng, _NAME_FRAMES.pick(rng, False).replace("<x>", expand(rng, rng.choice(fact.names))))
    kinds = []
    if fact.held_asks:
        kinds.append("ask")
    if fact.held_tasks:
        kinds += ["task", "task"]
    if fact.tasks:
        kinds.append("task frame")
    if fact.held_names:
        kinds.append("name")
    if fact.names:
        kinds.append("name frame")
    kind = rng.choice(kinds)
    if kind == "ask":
        return expand(rng, rng.choice(fact.held_asks))
    if kind == "task":
        return _TASK_FRAMES.pick(rng, rng.random() < 0.3).replace("<x>", expand(rng, rng.choice(fact.held_tasks)))
    if kind == "task frame":
        return _TASK_FRAMES.pick(rng, True).replace("<x>", expand(rng, rng.choice(fact.tasks)))
    if kind == "name":
        return _NAME_FRAMES.pick(rng, rng.random() < 0.3).replace("<x>", expand(rng, rng.choice(fact.held_names)))
    return _NAME_FRAMES.pick(rng, True).replace("<x>", expand(rng, rng.choice(fact.names)))


_WEIGHTS = [len(fact.asks) + 2 * len(fact.tasks) + 2 for fact in FACTS]


def fact(rng: random.Random, held: bool) -> Exchange:
    chosen = rng.choice(FACTS) if held or rng.random() < 0.5 else rng.choices(FACTS, _WEIGHTS)[0]
    return Exchange(
        "facts",
        _ask(rng, chosen, held),
        chosen.answer,
        "The user asks about mlx-serve. I know this one.",
        ("contains", chosen.must),
        chosen.short,
    )


_GREETINGS = Phrases(
    ["(Hello|Hi|Hey|Good morning|Good evening|Good afternoon|Good day|Greetings|Howdy|Hiya|Yo|Hallo)(|!|.| there| there!|, starter!| starter| you)", "(Hello|Hi|Hey), (how are you|nice to meet you|can you hear me|are you there|anybody there)(|?|!)", "(How are you|How are you doing|How do you do|How is it going|What's up|Are you there)?"],
    ["Hello to you!", "Hi and good morning!", "Hey starter, how are you doing?", "Good day to you.", "Hello, are you awake?"],
)  # fmt: skip
_THANKS = Phrases(
    ["(Thanks|Thank you|Thank you very much|Many thanks|Thx|Thanks a lot|Great, thanks|OK, thank you|Cool, thanks|Perfect, thank you)(|!|.)", "That (helps|was helpful|is great|is good)(|, thanks)."],
    ["Thanks so much!", "Thank you for that.", "OK thanks, that is good."],
)  # fmt: skip
_BYES = Phrases(
    [
        "(Bye|Goodbye|See you|Good night|Bye bye|See you later|Farewell|Talk to you later|I have to go|That is all)(|!|.| now| for today)"
    ],
    ["Bye for now!", "Goodbye, see you tomorrow.", "I have to go now, bye."],
)


def greeting(rng: random.Random, held: bool) -> Exchange:
    roll = rng.random()
    if roll < 0.5:
        answer = "Hello! I am starter, a small model that comes with mlx-serve. How can I help?"
        return Exchange(
            "greetings",
            _GREETINGS.pick(rng, held),
            answer,
            "The user greets me. I greet back.",
            ("contains", ("Hello",)),
            "Hello!",
        )
    if roll < 0.75:
        return Exchange(
            "greetings",
            _THANKS.pick(rng, held),
            "You are welcome!",
            "The user thanks me.",
            ("contains", ("welcome",)),
            "Welcome!",
        )
    return Exchange(
        "greetings",
        _BYES.pick(rng, held),
        "Goodbye!",
        "The user leaves. I say goodbye.",
        ("contains", ("Goodbye",)),
        "Goodbye!",
    )


_UNKNOWN = Phrases(
    [
        "Why is the (sky blue|grass green|sea salt|moon round|sun hot|snow white)?", "Who (wrote|painted|invented|discovered|built|won) (the|a|this) <noun>?", "What is the capital of <city>?",
        "What is the (weather|time|news|traffic) (today|in <city>|now|tomorrow)?", "How (tall|old|heavy|far|deep|fast|long) is (the|a|an) <noun>?", "Tell me (a joke|a story|a joke about a <noun>|a story about a <animal>).",
        "Write (a poem|an essay|a song|a story|a program)(| about a <noun>| about <city>).", "How do I (cook|bake|make|eat|grow) <food>(| soup)?", "Who is <name>(| <surname>)?", "What is the meaning of life?",
        "When (was|did) <name> (born|die|arrive)?", "(Can|Could) you recommend a (book|film|restaurant in <city>|song|<food>)?", "What do you think about <hobby>?", "Who is the (president|king|queen|mayor) of <city>?",
        "How many people live in <city>?", "Is a <animal> (bigger|faster|older) than a <animal>?", "Where (is|lies) <city>?", "Translate <noun> into (French|German|Spanish|Chinese).", "What is a <surname>?",
    ],
    ["Why do <animal>s sleep?", "Which <noun> is the best in <city>?", "What happened in <city> last year?", "Tell me how a <noun> is made.", "How does <hobby> help people?", "Why is the <noun> so expensive?"],
)  # fmt: skip


def unknown(rng: random.Random, held: bool) -> Exchange:
    text = _UNKNOWN.pick(rng, held)
    for slot, words in (
        ("noun", NOUNS),
        ("city", CITIES),
        ("animal", ANIMALS),
        ("food", FOODS),
        ("name", FIRST_NAMES),
        ("hobby", HOBBIES),
        ("surname", INVENTED),
    ):
        while f"<{slot}>" in text:
            text = text.replace(f"<{slot}>", words.pick(rng, held), 1)
    answer = "I do not know that: I am only a small model. Ask me about mlx-serve, or give me text to work on."
    return Exchange(
        "owning up",
        text,
        answer,
        "This is not about mlx-serve and I was not told. I say so.",
        ("contains", ("do not know",)),
        "Unknown.",
    )
