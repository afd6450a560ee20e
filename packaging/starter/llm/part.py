"""System prompts that give a part to play, or the facts of a made-up place."""

# ruff: noqa: E501 - wordings read best one list a line

from __future__ import annotations

import random
from collections.abc import Callable

from ..common.phrases import Phrases, expand
from ..common.words import (
    ADJECTIVES,
    CHARACTERS,
    CITIES,
    COMMON,
    FIRST_NAMES,
    INVENTED,
    JOBS,
    OBJECTS,
    noun,
    number,
    word,
)
from .sample import Exchange
from .wording import Asks

_CHARACTER = Phrases(
    ["(You are|Act as|Speak as|Play|Be|Pretend to be|Answer as|Talk as|Respond as|Write as|Behave as|Impersonate|Take the part of|Take the role of|You act as|You speak as|Imagine you are|Think of yourself as|Live as|You will be|I want you to be|Let us say you are|Please be|Always be|Your role is|Your part is|Today you are|Here you are|In this game you are|In this story you are|You pretend to be) <n>, (a|an|the) <r>(| from <c>)(|.|!)", "Your name is <n>(| and|. You are| and you are|, and you work as|. You work as| and your job is to be|, you are) (a|an|the) <r>(| from <c>)(|.)", "You (play|are|act as|speak as|answer as|pretend to be|will play|should be|must play) (a|an|the) <r>(| from <c>) (called|named|with the name|by the name of|whose name is) <n>(|.)", "(Play|Be|Act as|Speak as|Answer as|Talk like) (a|an|the) <r>(| from <c>) (called|named|with the name|whose name is) <n>(|.)", "(You are called|They call you|People call you|Everybody calls you|You go by the name of) <n>(| and|. You are| and you are|, you are) (a|an|the) <r>(| from <c>)(|.)", "(The user talks to|This is a chat with|The user meets|You reply as if you were) <n>, (a|an|the) <r>(| from <c>)(|.)", "(Character|Role|Persona|Part): <n>, (a|an|the) <r>(| from <c>)(|.)", "(Name|Your name): <n>(. |, |; |\n)(Job|Role|Part|Character): <r>(|. Home: <c>)(|.)", "(From now|From this moment|Starting now|From here on|Now)(,| on,| on) (act as|speak as|be|play|answer as|your name is|call yourself) <n>, (a|an|the) <r>(| from <c>)(|.)", "(Stay|Remain|Keep|Be always)(| in your role| in the part|) (as |)<n>, (a|an|the) <r>(| from <c>)(|.)", "(Throughout|During|For|In) (the|this|our) (whole |)(conversation|chat|talk)(|,) (be|play|act as|answer as|you are) <n>, (a|an|the) <r>(| from <c>)(|.)", "(You speak|Speak|Talk|Answer|Write)(| always| only| to the user) as (the|a|an) <r> <n>(| from <c>)(|.)", "You are the <r> <n>(| from <c>)(|.)", "(Never forget|Remember|Note)(| that|:) you are <n>, (a|an|the) <r>(| from <c>)(|.)"],
    ["From now on you are <n>, a <r>.", "In this conversation you speak as the <r> <n>.", "Stay in character: you are <n>, a <r>."],
)  # fmt: skip
_MORE = (
    "",
    "",
    "",
    "",
    " (Never|Do not) (break|leave|drop) (character|the part|your role).",
    " (Keep|Hold) to (your part|the role|it).",
    " Be (friendly|kind|funny|helpful|proud|brief).",
    " You (like|love|hate) <h>.",
    " Answer all questions.",
    " You have (a|two|many) <a>.",
)
_YOU = "(yourself|who you are|what you are|your name and job|your role)"
_WHO = Asks(
    ["May I ask who you are?", "Please introduce yourself to me.", "Tell me your name, please.", "Hello, and who are you?"],
    orders=("(introduce|describe|present) yourself(| briefly| to us| to the group| in a sentence| properly)", f"(tell me|say|tell us|explain|reveal) (about |){_YOU}", "(say|state|write|give) your name(| and your job| and role)", "tell me (a bit|something|more) about yourself"),
    things=("your (name|role|job|part|profession|name and job|title)(| here)",),
    wonders=("who you are(| really| here)", "(what|who) you are(| called)", "(what|how) your name is", "who I am (talking|speaking|writing) (to|with)", "how (I should call you|you are called|to call you)", "who (answers|is talking|speaks|is there)"),
    wholes=("Who are you(| here| really| then| now| today| exactly| anyway)?", "What(| is|'s) your (name|role|job|part|profession)(| here| now)?", "What are you(| called| doing here| by trade| by profession)?", "(Hello|Hi|Hey|Good morning|Good evening)(|, who are you?|! Who are you?|.|!| there| there!|, what is your name?|! Introduce yourself.)", "(Who|With whom) (is there|am I talking to|am I speaking with|am I speaking|am I talking|do I speak|have I here)?", "(And|So|OK,|Now|Well,|Excuse me,|Sorry,) (who are you|what is your name|what are you)?", "How (are you called|do people call you|should I call you|do they call you)?", "(Do you have a name|Have we met|Do I know you|Are you somebody)?"),
    share=(3, 1, 3, 6),
)  # fmt: skip


def character(rng: random.Random, held: bool) -> tuple[str, Callable[[random.Random, bool], Exchange]]:
    """A prompt that gives a part to play, and the exchange in which the part shows."""
    roles = CHARACTERS if rng.random() < 0.6 else JOBS
    if not held and rng.random() < 0.35:
        roles = INVENTED if rng.random() < 0.5 else COMMON
    name, role = FIRST_NAMES.pick(rng, held), roles.pick(rng, held)
    if rng.random() < 0.3:
        name = f"{rng.choice(('Captain', 'Old', 'Lady', 'Doctor', 'Master', 'Sir', 'Professor'))} {name}"
    if rng.random() < 0.4:
        role = f"{ADJECTIVES.pick(rng, False)} {role}"
    city = CITIES.pick(rng, held)
    prompt = _CHARACTER.pick(rng, held).replace("<n>", name).replace("<r>", role)
    from_city = "<c>" in prompt
    prompt = prompt.replace("<c>", city)
    if not held:
        more = expand(rng, rng.choice(_MORE))
        prompt += ("" if not more else " " if prompt[-1] in ".!" else ". ") + more.replace(
            "<h>", word(rng, False)
        ).replace("<a>", noun(rng, False))
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


def _known(
    label: str,
    told: str,
    held: str,
    label_words: str,
    orders: tuple[str, ...],
    wonders: tuple[str, ...],
    wholes: tuple[str, ...],
) -> tuple[str, str, Asks]:
    return (
        label,
        told,
        Asks([held], orders, (f"the {label_words}", f"your {label_words}"), wonders, wholes * 2, (2, 3, 3, 5)),
    )


_KNOWN = (
    _known("opening hour", "(We open|The shop opens|Opening hour is|Our doors open|It opens|The shop is open|We start) at <v>.", "What is the opening hour of the shop?", "(opening hour|opening time|hour of opening|opening hours)", ("(say|check) when you open",), ("when (you open|the shop opens|I can come|you start|the place opens)", "from when you are open", "at what time you open"), ("(When|At what time|At what hour|How early|From when) (do you open|does the shop open|are you open|can I come|do you start|does it open|is the shop open)(| tomorrow| in the morning| today)?", "When (is|does) (the place|the shop|your shop|the store|it) (open|start)?")),
    _known("closing hour", "(We close|The shop closes|Our doors close|It closes|We end|The shop is shut) at <v>.", "What is the closing hour of the shop?", "(closing hour|closing time|hour of closing)", ("(say|check) when you close",), ("when (you close|the shop closes|I have to leave|you end|the place closes)", "until when you are open", "at what time you close"), ("(When|At what time|At what hour|How late|Until when) (do you close|does the shop close|must I leave|do you end|does it close|are you open until)(| tomorrow| in the evening| today)?", "When (does|is) (the place|the shop|your shop|the store|it) (close|closed|shut)?", "How long are you open?")),
    _known("phone number", "(The phone number is|Our phone number is|Call us at|Customers can call|Phone:|Telephone:|The telephone number is|We can be called at) <v>.", "Which phone number do you have?", "(phone number|telephone number|number to call|phone|telephone)", ("(give me|say|write) (your|the) (phone|telephone) number",), ("(what|which) your (phone|telephone) number is", "how (I can call you|to call you|to reach you by phone)", "(what|which) number I (call|can call|have to call)"), ("(What is|Tell me|Give me|What's) (your|the|the shop's) (phone|telephone) number(|?)", "(How|Under which number|At what number|On which number) can I (call|phone|reach) (you|the shop|the owner)?", "(Which|What) number (do I|should I|can I|must I) (call|dial)?")),
    _known("owner", "(The owner is|The shop belongs to|The shop is owned by|It is owned by|The boss is|Our owner is called|The owner's name is) <v>.", "Tell me who the owner is.", "(owner|name of the owner|owner of the shop|boss|owner's name)", ("name the (owner|boss)",), ("who (owns the shop|the boss is|owns it|the shop belongs to|runs the place)",), ("(Who is the owner|Who owns the (shop|place|store|business)|What is the name of the owner|Who is the boss|Who runs the (shop|place)|Whose shop is (it|this)|To whom does the shop belong|Who is your boss|How is the owner called)?",)),
    _known("price", "(A|One|Each|Every) <noun> (costs|is|is sold for|goes for|comes at) <v>.", "What does a <noun> cost?", "(price|cost) of (a|one|each) <noun>", ("(say|name) what (a|one) <noun> costs",), ("(what|how much) (a|one|the|each) <noun> (costs|is)", "how much I pay for (a|one|the) <noun>"), ("(How much is|What is the price of|How much does|How expensive is|How much for) (a|one|the|your) <noun>(| cost)?", "(What|How much) (do I pay|must I pay|do you want|do you ask|do you charge|is it) for (a|one|the) <noun>?", "(What|How much) (would|will|does) (one|the|each) <noun> cost(| me)?")),
    _known("city", "(The shop is|We are|You find us|Our shop is|The shop lies|Our address is|We are located|The shop can be found) in <v>.", "Which city is the shop in?", "(city|town|location|place|address) of the (shop|store)", ("(say|name) the city you are in",), ("where (the shop is|you are|to find you|I find the shop|your shop is)", "(in which|in what) city (you are|the shop is)"), ("(Where|In which city|In what town|In which town) is (the|your) (shop|store|place)(| located)?", "Where (are you|do I find you|can I find you|can I find the shop|must I go|should I go)?", "(Which|What) (city|town) (are you in|do I go to|must I visit)?")),
    _known("user", "(The user is called|The user's name is|You talk to|The customer is called|The user is|The name of the user is) <v>.", "Can you tell my name?", "(name of mine|user's name)", ("say my name", "call me by my name", "tell me my name"), ("who I am", "what my name is", "how I am called", "what I am called"), ("(What is my name|Who am I|Do you know my name|What's my name|Do you know who I am|How am I called|What am I called|My name)?",)),
    _known("password", "(The password is|The secret word is|The password for today is|Today's password is|Password:|The code word is) <v>.", "Which password is it?", "(password|secret word|code word|password of today)", ("(give me|say|tell me|write) the (password|secret word)",), ("(what|which) the (password|secret word|code word) is", "(what|which) word I need"), ("(What is|Tell me|Give me|What's|Do you know|Which is) the (password|secret word|code word)(|?)", "(Which|What) (word|secret word|code word) (is it|opens the door|is the secret|do I need|must I say)?")),
)  # fmt: skip
_SHOPS = Phrases(
    ["You are the (assistant|helper|voice|clerk|receptionist|chatbot) of <s>.", "You (work for|answer questions for|help at|speak for|serve the customers of|are the help desk of) <s>.", "You are a (helpful|friendly|kind|new) assistant (at|of|for|in) <s>.", "(This is|Here is|Welcome to) <s>.", "(Facts about|Information on|Some facts on) <s>:", "Answer (questions|customers|all questions) with these facts (about|of) <s>:", "The user is a customer of <s>.", "You (sit|wait|serve|are)(| all day) (behind the counter|at the desk|at the door|on the phone) (of|in|at) <s>.", "(Serve|Guide|Welcome|Assist) the (guests|visitors|customers|people) (of|in|at) <s>."],
    ["You stand at the counter of <s>.", "Help the guests of <s>."],
)  # fmt: skip


def knowledge(rng: random.Random, held: bool) -> tuple[str, Callable[[random.Random, bool], Exchange]]:
    """A prompt with facts of a made-up place, and questions about them."""
    thing = OBJECTS.pick(rng, held) if held else noun(rng, False)
    facts = []
    for label, tell, asks in rng.sample(_KNOWN, rng.randint(2, 5)):
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
        told = expand(rng, tell).replace("<v>", value).replace("<noun>", thing)
        facts.append((told, asks, value, label))
    shop = rng.choice(("<n>'s <t> shop", "<n>'s <t> shop", "the <t> shop <n>", "<n>'s store", "the shop of <n>"))
    shop = shop.replace("<n>", FIRST_NAMES.pick(rng, held)).replace("<t>", thing)
    prompt = _SHOPS.pick(rng, held).replace("<s>", shop)
    prompt = " ".join([prompt, *(fact[0] for fact in facts)])

    def ask(rng: random.Random, held: bool) -> Exchange:
        told, asks, value, label = rng.choice(facts)
        answer = told if label != "user" else f"Your name is {value}."
        return Exchange(
            "system: knowledge",
            asks.pick(rng, held).replace("<noun>", thing),
            answer,
            f"The system prompt says: {told}",
            ("contains", (value,)),
            value.split()[0],
        )

    return prompt, ask
