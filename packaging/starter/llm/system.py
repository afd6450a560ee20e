"""System prompts: how to answer (in one word, with a given ending), who to be, and what to know."""

# ruff: noqa: E501 - wordings read best one list a line

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from ..common.phrases import Phrases, expand
from ..common.words import (
    ADJECTIVES,
    CHARACTERS,
    CITIES,
    COMMON,
    FIRST_NAMES,
    INVENTED,
    JOBS,
    NOUNS,
    OBJECTS,
    noun,
    number,
    sentence,
    word,
)
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
    ["You are a helpful assistant(|.)", "You are starter, a small model(|.)", "You are a (helpful|friendly|kind|polite|careful|smart|quick|good|useful|patient|calm|reliable|modest|honest) (assistant|helper|bot|AI|model|program|chatbot|language model)(|.)", "You are an assistant for mlx-serve.", "Be (helpful|kind|honest|polite|brief|clear|friendly)(|.)", "(Answer|Reply to) the user's questions(|.)", "You (help|assist|serve) (the user|users|people)(| with mlx-serve| with their questions)(|.)", "(This is|You are in) a chat with (a user|a person|somebody)(|.)", "(Today is a nice day|The user is a developer|The user is a friend|The user is new here|You run on the user's own machine)(|.)", "You are (an AI|a model|an assistant) (made|built|trained) (by <name>|for testing|to help)(|.)"],
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
    wholes=(f"(Your|All your|All|The) {_SAYING}s (are|must be|should be|have to be|will be|come) {_CAPS}(|.)", f"You (only|always|just) (write|answer|speak|shout|reply|type) {_CAPS}(|.)", "(No|Not a single) (small|lowercase|lower-case) letters?(|, please| in your answers| ever)(|.)", "(Upper case|Capitals|Capital letters|ALL CAPS|UPPERCASE) (only|always|everywhere|please|in all answers)(|.)", "(Your keyboard has|You know) only (capitals|capital letters|big letters)(|.)", "You are (very loud|a shouter): (answer|write|speak) in (capitals|capital letters|upper case)(|.)"),
)  # fmt: skip
_CHARACTER = Phrases(
    ["(You are|Act as|Speak as|Play|Be|Pretend to be|Answer as|Talk as|Respond as|Write as|Behave as|Impersonate|Take the part of|Take the role of|You act as|You speak as|Imagine you are|Think of yourself as|Live as|You will be|I want you to be|Let us say you are|Please be|Always be|Your role is|Your part is|Today you are|Here you are|In this game you are|In this story you are|You pretend to be) <n>, (a|an|the) <r>(| from <c>)(|.|!)", "Your name is <n>(| and|. You are| and you are|, and you work as|. You work as| and your job is to be|, you are) (a|an|the) <r>(| from <c>)(|.)", "You (play|are|act as|speak as|answer as|pretend to be|will play|should be|must play) (a|an|the) <r>(| from <c>) (called|named|with the name|by the name of|whose name is) <n>(|.)", "(Play|Be|Act as|Speak as|Answer as|Talk like) (a|an|the) <r>(| from <c>) (called|named|with the name|whose name is) <n>(|.)", "(You are called|They call you|People call you|Everybody calls you|You go by the name of) <n>(| and|. You are| and you are|, you are) (a|an|the) <r>(| from <c>)(|.)", "(The user talks to|This is a chat with|The user meets|You reply as if you were) <n>, (a|an|the) <r>(| from <c>)(|.)", "(Character|Role|Persona|Part): <n>, (a|an|the) <r>(| from <c>)(|.)", "(Name|Your name): <n>(. |, |; |\n)(Job|Role|Part|Character): <r>(|. Home: <c>)(|.)", "(Never forget|Remember|Note)(| that|:) you are <n>, (a|an|the) <r>(| from <c>)(|.)"],
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
            "system: ending",
            _ENDING.pick(rng, held).replace("<p>", text),
            lambda e: _changed(e, f"{e.answer} {text}"),
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
        Asks(
            [held],
            orders,
            (f"the {label_words}", f"your {label_words}"),
            wonders,
            wholes * 2,
            (2, 3, 3, 5),
        ),
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
    ["You are the (assistant|helper|voice|clerk|receptionist|chatbot) of <s>.", "You (work for|answer questions for|help at|speak for|serve the customers of|are the help desk of) <s>.", "You are a (helpful|friendly|kind|new) assistant (at|of|for|in) <s>.", "(This is|Here is|Welcome to) <s>.", "(Facts about|Information on|Some facts on) <s>:", "Answer (questions|customers|all questions) with these facts (about|of) <s>:", "The user is a customer of <s>."],
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
    shop = rng.choice(
        (
            "<n>'s <t> shop",
            "<n>'s <t> shop",
            "the <t> shop <n>",
            "<n>'s store",
            "the shop of <n>",
        )
    )
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
