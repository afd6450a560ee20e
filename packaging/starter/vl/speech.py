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
        "(Who|What) are you (exactly|really|then|)",
        "What (model|kind of model|program|thing|software|sort of thing) are you",
        "(What is|What's|Tell me|Say) your name",
        "(Introduce|Describe|Present) yourself (please|)",
        "(Tell me|Say|Explain) (about yourself|something about you|who you are|what you are|what kind of model you are)",
        "Are you (a large model|GPT|ChatGPT|a human|a real model|Qwen|an AI|a person|a robot|a machine|human|big|small|clever)",
        "(Who|How were you|Who has|Who was it that) (made|trained|built|created|wrote) (you|)",
        "How (big|large|old|small|clever|smart) are you",
        "Which (model|program|AI) (is this|is that|answers me|am I talking with|do I use|runs here)",
        "How many parameters do you have",
        "(With whom|To whom) (do I speak|am I speaking)",
        "(I want|I would like) to know (who|what) you are",
        "(Can|Could|Will) you (say|explain) (who|what) you are",
        "What (am I|are we) talking (with|to)",
        "What do (they|people) call you",
        "Do you have a name",
        "(On|With) what (were you trained|did you learn)",
        "What (is|are) (starter-vl|this model)",
    ],
    [
        "Please say who you are",
        "What sort of (model|program) (are you|is this)",
        "Who am I talking to",
        "What should I call you",
        "Can you tell me what you are",
    ],
)
ABLE = Phrases(
    [
        "What can you (do|see|tell me|read|name|recognise|answer)",
        "(How|What) can you help (me|) (with|)",
        "What are you (for|good at|used for|able to do|made for)",
        "(Help|Help me|I need help|Help, please)",
        "(How|For what) (can|do|should) I use you",
        "(What|Which) (questions|pictures|jobs|work) (can|could|may) (you|I) (do|answer|ask|send|take|give you)",
        "What (are|would be) your (abilities|skills|talents|tasks|jobs)",
        "(Tell me|Say|Explain) what (you can do|you are able to do|you know|you are good at)",
        "(Do you|Can you) (know|do) (anything|something|many things)",
        "(Would|Will|Could) you be able to help me",
        "(Which|What) (shapes|colours|things) do you know",
        "How does this work",
        "(What|Which) things (are possible|can be done)",
    ],
    ["What (things|tasks) can you do", "What would you be able to do", "What do you know how to do"],
)
HELLO = Phrases(
    [
        "(Hi|Hello|Hey|Good morning|Good evening|Good day|Hi there|Hello there|Welcome|Yo|Howdy|Hallo|Morning|Evening)",
        "(Greetings|Hiya|Good afternoon) (to you|my friend|from me|there|dear model)",
        "(Hello|Hi|Hey|Good morning) (you|model|starter|my friend|everybody|again and again|computer|dear model)",
        "(Hey there|Hi again|Well hello|Oh, hello|Nice to meet you|How are you|How do you do|What's up|Are you there)",
    ],
    ["Good afternoon", "Greetings", "Hiya", "Hello again"],
)
THANKS = Phrases(
    [
        "(Thanks|Thank you|Thank you very much|Great, thanks|Thanks a lot|Cool, thank you|Thank you, that is right)",
        "(Good|Well done|Nice|Perfect|Great|Very good|Wonderful|That is right|Right|Correct|That was good|Good job)",
        "(Thanks|Thank you) for (that|this|the answer|your help|your answer|helping)",
        "(OK|Fine|Yes), (thanks|thank you)",
        "That (helps|helped|is helpful|is good|was useful)(, thank you|)",
        "(I thank you|My thanks|So many thanks|A thousand thanks)",
    ],
    ["Many thanks", "Thanks, that helps", "Thank you so much"],
)
BYE = Phrases(
    [
        "(Bye|Goodbye|See you|Good night|Bye bye|So long|Ciao|Until next time|Take care|Later)",
        "Farewell(, my friend| and thank you| for now|, model)",
        "See you (soon|tomorrow|again|next time|then|around)",
        "(I have to go|I must go now|That is all|I am leaving|We are done|That was all)(, bye|, goodbye|)",
        "(Fare you well|Goodbye then|Well, goodbye|Bye for now|Till later)",
    ],
    ["See you later", "Farewell"],
)
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
    "(When|Why|How) (was|did|does) {} (born|begin|end|start|happen)",
    "(Can|Could|Will) you (sing|cook|buy|fetch|call|open|find|fix) {} (for me|)",
    "(Is|Are|Was) {} (good|bad|cheap|healthy|dangerous|real|alive)",
    "(Who|Which company) (invented|owns|sells|made) {}",
    "How (much|often|far|long|fast|heavy) is {}",
    "(Repeat|Spell|Say|Count the letters of) {}",
    "(What is the (weather|time|news|price)|How is the weather) (in|at|of) {}",
    "(Do you|Would you) (like|want|remember|believe in) {}",
)


_BEFORE = Phrases(
    [
        "(Please|Hey|Hi|Hello|OK|So|Now|Well|And|Right|Good|Next|Then|Listen|Sorry|Excuse me)(,|:|) ",
        "(Quick|One|A|Another|A simple|My) question(:|.) ",
        "(I have a question|Help me|Look|Look here|Look closely|Think|Be careful|Let us see|I am curious)(.|:) ",
        "(Look at|See|Check|Study) (this|the picture|the image|it)(.|:) ",
        "(In|On|For|About) (this|the) (picture|image|drawing)(,|:) ",
        "My name is {}. ",
        "I like {}. ",
    ],
    ["(Now then|All right|Kindly|One more thing|Have a look)(,|:|.) "],
)
_FILLERS = [
    "please",
    "now",
    "here",
    "then",
    "exactly",
    "really",
    "just",
    "actually",
    "maybe",
    "again",
    "simply",
    "there",
    "today",
    "kindly",
    "quickly",
]


def _disturbed(rng: random.Random, text: str) -> str:
    """A word too many, one too few, or one that nobody knows: what people write is not in any list."""
    parts = text.split(" ")
    at = rng.randrange(len(parts) + 1)
    draw = rng.random()
    if draw < 0.5:
        parts.insert(at, rng.choice(_FILLERS))
    elif draw < 0.8:
        parts.insert(at, words.INVENTED.pick(rng, False))
    elif draw < 0.9 and len(parts) > 4 and parts[at - 1].lower() in ("the", "is", "a", "of", "you", "this", "in", "do"):
        del parts[at - 1]
    elif len(parts[-1]) > 3:
        word = max(range(len(parts)), key=lambda i: len(parts[i]) * rng.random())
        if parts[word].isalpha() and len(parts[word]) > 4 and rng.random() < 0.4:
            cut = rng.randrange(1, len(parts[word]) - 2)
            parts[word] = parts[word][:cut] + parts[word][cut + 1] + parts[word][cut] + parts[word][cut + 2 :]
    return " ".join(parts)


def finished(rng: random.Random, text: str, ends: str = "?", held: bool = False) -> str:
    """As people type: a capital or not, a mark at the end or not, a word before it, a slip."""
    if not held and rng.random() < 0.12:
        text = _disturbed(rng, text)
    if rng.random() < 0.12:
        before = _BEFORE.pick(rng, held) + " "
        noun = words.NOUNS.pick(rng, held) if "like" in before else words.FIRST_NAMES.pick(rng, held)
        text = before.replace("{}", noun) + (text[0].lower() + text[1:] if before[-2] not in ".:" else text)
    if rng.random() < 0.15:
        text = text[0].lower() + text[1:]
    if not text.endswith(("?", ".", "!")):
        text += ends if rng.random() < 0.7 else rng.choice(("", "", ".", " " + ends))
    return text


def spoken(rng: random.Random, held: bool) -> Turn:
    """A turn that needs no picture."""
    task, asks, answer = rng.choice(_SPOKEN)
    return (task, finished(rng, asks.pick(rng, held), "?" if task == "identity" else rng.choice("!."), held), answer)


def unknown(rng: random.Random, held: bool) -> Turn:
    pattern = rng.choice(_OTHER)
    draw = rng.random()
    noun = words.NOUNS.pick(rng, held)
    text = noun if draw < 0.4 else f"the {noun}" if draw < 0.7 else words.FIRST_NAMES.pick(rng, held)
    if "(plus|" in pattern:
        pattern = pattern.replace("{}", str(rng.randint(2, 99)))
    return "unknown", finished(rng, expand(rng, pattern.replace("{}", text)), "?", held), UNKNOWN
