"""Turns without a picture: greetings, what the model is, and that it sees none."""

# ruff: noqa: E501 - texts are kept as they come out

from __future__ import annotations

import random

from ..common import words
from ..common.phrases import Phrases, expand

Turn = tuple[str, str, str]  # task, what is said, the answer

WHAT_I_AM = (
    "I am starter-vl, a small model of a few million parameters that comes with mlx-serve. I was trained on drawings made by "
    "a program, for trying and testing: I name simple shapes and read a digit."
)
NO_PICTURE = "I see no picture. Please send one with your question."
UNKNOWN = "I do not know that. I am a small model that looks at simple drawings."
CAN = "I can name shapes and colours, count, say where things are, and read one large digit. Send me a simple drawing."
IDENTITY = Phrases(
    [
        "(Who|What) are you",
        "What (model|kind of model) are you",
        "(What is|What's) your name",
        "(Introduce|Describe) yourself",
        "Tell me (about yourself|who you are|what you are)",
        "Are you (a large model|GPT|ChatGPT|a human|a real model|Qwen|an AI|a person)",
        "(Who|How were you) (made|trained|built|created) (you|)",
        "How (big|large) are you",
        "Which model (is this|am I talking to)",
        "How many parameters do you have",
    ],
    [
        "(Please|) say who you are",
        "What sort of (model|program) (are you|is this)",
        "Who am I talking to",
        "What should I call you",
        "Can you tell me what you are",
    ],
)
ABLE = Phrases(
    ["What can you (do|see|tell me)", "(How|What) can you help (me|) (with|)", "What are you (for|good at)", "Help"],
    ["What (things|tasks) can you do", "What would you be able to do", "What do you know how to do"],
)
HELLO = Phrases(
    [
        "(Hi|Hello|Hey|Good morning|Good evening|Good day|Hi there|Hello there)",
        "Hello (you|model|starter)",
        "Hey there",
    ],
    ["Good afternoon", "Greetings", "Hiya", "Hello again"],
)
THANKS = Phrases(
    [
        "(Thanks|Thank you|Thank you very much|Great, thanks|Thanks a lot|Cool, thank you)",
        "(Good|Well done|Nice|Perfect)",
    ],
    ["Many thanks", "Thanks, that helps", "Thank you so much"],
)
BYE = Phrases(["(Bye|Goodbye|See you|Good night|Bye bye)"], ["See you later", "Farewell"])
_SPOKEN = (
    ("identity", IDENTITY, WHAT_I_AM),
    ("identity", ABLE, CAN),
    ("greetings", HELLO, "Hello! Send me a simple drawing and ask me about it."),
    ("greetings", THANKS, "You are welcome."),
    ("greetings", BYE, "Goodbye!"),
)
_OTHER = (
    "(What is|Where is|Who is|Tell me about|Explain|Do you know) {}",
    "(Write|Give me) a (poem|story|song|list) about {}",
    "How do I (repair|cook|find|buy|use) {}",
    "Why (is|does) {} (so|) (important|popular|expensive|work)",
    "Translate {} into (French|German|Spanish)",
    "What do you think (of|about) {}",
    "(What is|Calculate) {} (plus|times|minus|divided by) {}",
)


def finished(rng: random.Random, text: str, ends: str = "?") -> str:
    """As people type: a capital or not, a mark at the end or not, a please."""
    if rng.random() < 0.15:
        text = text[0].lower() + text[1:]
    if not text.endswith(("?", ".", "!")):
        text += ends if rng.random() < 0.7 else rng.choice(("", "", ".", " " + ends))
    return text


def spoken(rng: random.Random, held: bool) -> Turn:
    """A turn that needs no picture."""
    task, asks, answer = rng.choice(_SPOKEN)
    return (task, finished(rng, asks.pick(rng, held), "?" if task == "identity" else rng.choice("!.")), answer)


def unknown(rng: random.Random, held: bool) -> Turn:
    pattern = rng.choice(_OTHER)
    draw = rng.random()
    noun = words.NOUNS.pick(rng, held)
    text = noun if draw < 0.4 else f"the {noun}" if draw < 0.7 else words.FIRST_NAMES.pick(rng, held)
    if "(plus|" in pattern:
        pattern = pattern.replace("{}", str(rng.randint(2, 99)))
    return "unknown", finished(rng, expand(rng, pattern.replace("{}", text))), UNKNOWN
