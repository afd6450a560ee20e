"""Tool calls: functions put together from verbs, nouns and parameters, and users' words that ask for one of them."""

# ruff: noqa: E501 - wordings read best one list a line

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..common.phrases import Phrases, expand
from ..common.words import (
    ANIMALS,
    CITIES,
    COLOURS,
    COMMON,
    DAYS,
    FIRST_NAMES,
    FOODS,
    INVENTED,
    OBJECTS,
    PLACES,
    REAL,
    Words,
    number,
    sentence,
    word,
)
from .extract import date, email, order_number, phone
from .sample import Exchange, Message
from .wording import Asks


@dataclass(frozen=True)
class Parameter:
    """`clauses` are how a user says the value."""

    names: tuple[str, ...]
    kind: str
    about: str
    make: Callable[[random.Random, bool], Any]
    clauses: tuple[str, ...]
    choices: tuple[str, ...] = ()


_CHOICES = (
    ("unit", ("celsius", "fahrenheit", "kelvin")), ("units", ("metric", "imperial")), ("size", ("small", "medium", "large")), ("priority", ("low", "normal", "high", "urgent")),
    ("language", ("English", "French", "German", "Spanish", "Italian", "Chinese")), ("format", ("pdf", "csv", "json", "text")), ("mode", ("fast", "slow", "auto")),
    ("currency", ("euro", "dollar", "pound", "yen")), ("category", ("work", "home", "travel", "food")), ("order", ("ascending", "descending")),
)  # fmt: skip


def _choice(rng: random.Random, held: bool) -> Parameter:
    """One of few values that the schema lists."""
    if rng.random() < 0.5:
        name, values = rng.choice(_CHOICES)
    else:
        name = rng.choice(
            (
                "kind",
                "type",
                "style",
                "option",
                "group",
                "status",
                INVENTED.pick(rng, held),
            )
        )
        values = tuple({word(rng, held): None for _ in range(rng.randint(2, 5))})
    return Parameter(
        (name,),
        "string",
        "The <n>(| to use)",
        lambda r, h: r.choice(values),
        ("(in|with <n>|with the <n>) <v>", "with the <n> <v>", "in <v>"),
        values,
    )


def _time(rng: random.Random, held: bool) -> str:
    return f"{rng.randint(0, 23):02d}:{rng.choice(('00', '15', '30', '45', '05', '20'))}"


def _title(rng: random.Random, held: bool) -> str:
    return (
        " ".join(word(rng, held) for _ in range(rng.randint(1, 3))).title() if rng.random() < 0.6 else word(rng, held)
    )


def _message(rng: random.Random, held: bool) -> str:
    return sentence(rng, held) if rng.random() < 0.7 else " ".join(word(rng, held) for _ in range(rng.randint(2, 5)))


PARAMETERS = (
    Parameter(("city", "location", "town", "place"), "string", "The (city|town|place)(| to use)", CITIES.pick, ("(in|for|near|of) <v>", "(in|for) <v>", "with the <n> <v>")),
    Parameter(("person", "name", "user", "customer"), "string", "The name of the (person|user|customer)", FIRST_NAMES.pick, ("(for|of) <v>", "by <v>", "with the <n> <v>")),
    Parameter(("recipient", "to", "receiver"), "string", "Who (gets|receives) it", FIRST_NAMES.pick, ("to <v>", "to <v>", "with <v> as the receiver")),
    Parameter(("date", "day"), "string", "The (date|day)", date, ("(on|for) <v>", "on <v>", "with the <n> <v>")),
    Parameter(("weekday", "day_of_week"), "string", "(The|A) day of the week", lambda r, h: r.choice(DAYS), ("(on|for|next) <v>", "on <v>")),
    Parameter(("time", "start_time", "at"), "string", "The time of day", _time, ("at <v>", "at <v>", "from <v> on")),
    Parameter(("minutes", "duration", "duration_minutes", "length_minutes"), "integer", "(The duration|How long|Length) in minutes", lambda r, h: number(r, h, 1, 180), ("for <v> minutes", "of <v> minutes", "for <v> minutes")),
    Parameter(("seconds", "delay_seconds"), "integer", "(The time|How long) in seconds", lambda r, h: number(r, h, 1, 300), ("for <v> seconds", "of <v> seconds")),
    Parameter(("amount", "quantity", "count", "number"), "integer", "How (many|much)", lambda r, h: number(r, h, 1, 500), ("with (the|an|a) <n> (of|) <v>", "<v> times", "(<n>|<n>:) <v>")),
    Parameter(("price", "cost", "budget", "max_price"), "number", "The (price|amount of money)", lambda r, h: number(r, h, 1, 900) if r.random() < 0.7 else number(r, h, 1, 300) + 0.5, ("for <v> (euros|dollars)", "at (a price|a cost) of <v>", "(up to|for) <v> dollars")),
    Parameter(("limit", "max_results", "top_k", "n"), "integer", "How many results", lambda r, h: number(r, h, 1, 60), ("(at most|only|up to) <v>(| results| of them)", "with a limit of <v>")),
    Parameter(("colour", "color"), "string", "The (colour|color)", COLOURS.pick, ("in <v>", "in the (colour|color) <v>", "(to|in) <v>")),
    Parameter(("query", "text", "keywords", "search"), "string", "(The text|What) to (look for|use)", lambda r, h: " ".join(word(r, h) for _ in range(r.randint(1, 3))), ('(for|about|with) "<v>"', "(for|about) <v>", 'with the <n> "<v>"')),
    Parameter(("message", "body", "content", "note"), "string", "The (message|text)", _message, ('(saying|with the <n>|that says|with the words) "<v>"', 'and (say|write): <v>', '"<v>"')),
    Parameter(("title", "subject", "label", "topic"), "string", "The (title|subject|label)", _title, ('(called|titled|with the <n>) "<v>"', "(called|named|titled) <v>", "with the <n> <v>")),
    Parameter(("email", "email_address", "address"), "string", "The mail address", email, ("(to|at|for) <v>", "with the <n> <v>")),
    Parameter(("phone", "phone_number"), "string", "The phone number", phone, ("(at|on|under) <v>", "with the number <v>")),
    Parameter(("order_id", "id", "ticket", "reference"), "string", "The (id|number|reference)", order_number, ("(with the <n>|number|no.) <v>", "<v>", "with (id|number) <v>")),
    Parameter(("room", "area", "zone"), "string", "The (room|place)", PLACES.pick, ("in the <v>", "of the <v>", "in the <v>")),
    Parameter(("item", "product", "object", "thing"), "string", "The (item|product)(| to use)", OBJECTS.pick, ("for (a|the) <v>", "with (a|the) <v>", "of (a|the) <v>")),
    Parameter(("food", "dish", "ingredient"), "string", "The (food|dish)", FOODS.pick, ("with <v>", "of <v>")),
    Parameter(("animal", "pet"), "string", "The animal", ANIMALS.pick, ("for (a|my|the) <v>", "of (a|the) <v>")),
    Parameter(("level", "volume", "brightness", "percent"), "integer", "The <n>, 0 to 100", lambda r, h: number(r, h, 0, 100), ("(to|at) <v>(| percent| %)", "(to|at) <v> percent", "to (level|a <n> of) <v>")),
    Parameter(("temperature", "degrees"), "number", "(The temperature|Degrees)", lambda r, h: number(r, h, -10, 40), ("(to|at) <v> degrees", "at <v> degrees")),
    Parameter(("url", "link"), "string", "The (address|URL) of the page", lambda r, h: f"https://{INVENTED.pick(r, h)}.{r.choice(('com', 'org', 'net'))}", ("(from|at|of) <v>", "with the <n> <v>")),
    Parameter(("file", "path", "filename"), "string", "The (file|name of the file)", lambda r, h: f"{INVENTED.pick(r, h)}.{r.choice(('txt', 'pdf', 'csv', 'md', 'json', 'png'))}", ("(from|in|of|for) <v>", "with the file <v>")),
)  # fmt: skip
_INTO = Parameter(
    ("source", "origin", "from_city", "start"),
    "string",
    "Where (to start|it begins)",
    CITIES.pick,
    ("from <v>",),
)
_GOAL = Parameter(
    ("destination", "target", "to_city", "goal"),
    "string",
    "Where (to go|it ends)",
    CITIES.pick,
    ("to <v>",),
)
_VERBS = Words.split(
    ["get", "find", "search", "show", "list", "create", "add", "delete", "remove", "send", "book", "cancel", "start", "stop", "open", "close", "play", "pause", "set", "update", "change", "check", "order", "buy", "sell", "schedule", "plan", "make", "write", "read", "print", "convert", "translate", "count", "measure", "compare", "rate", "share", "post", "upload", "download", "move", "copy", "rename", "archive", "restore", "lock", "unlock", "call", "notify", "invite", "reserve", "rent", "track", "locate", "describe", "calculate", "estimate", "draw", "render", "record", "scan", "sort", "filter", "merge", "split", "pack", "ship", "return", "refund", "pay", "charge", "transfer", "fetch", "load", "save", "clean", "repair", "paint", "wash", "feed", "water", "cook", "bake", "mix", "grind", "polish", "fold", "wrap", "label", "store", "collect", "deliver", "enable", "disable", "turn_on", "turn_off", "look_up", "register", "approve", "reject", "assign", "publish", "import", "export", "test", "inspect", "activate", "block", "mute", "tag", "request", "report", "review", "confirm"]
)  # fmt: skip
_THINGS = Words.split(
    ["weather", "forecast", "message", "email", "reminder", "alarm", "timer", "meeting", "appointment", "event", "task", "note", "document", "file", "folder", "photo", "picture", "song", "playlist", "video", "movie", "book", "ticket", "flight", "train", "hotel", "room", "table", "taxi", "car", "bike", "route", "map", "order", "invoice", "payment", "account", "balance", "contact", "user", "profile", "customer", "employee", "project", "report", "survey", "poll", "comment", "review", "rating", "product", "price", "stock", "recipe", "meal", "menu", "shopping_list", "list", "light", "lamp", "heating", "thermostat", "window", "door", "lock", "camera", "alarm_system", "robot", "vacuum", "washing_machine", "oven", "printer", "scanner", "server", "database", "table_row", "backup", "log", "job", "queue", "channel", "device", "sensor", "battery", "garden", "plant", "parcel", "delivery", "shipment", "warehouse", "currency", "exchange_rate", "translation", "dictionary", "word", "definition", "news", "article", "page", "website", "link", "image", "drawing", "chart", "poster", "calendar", "holiday", "birthday", "gift", "game", "score", "match", "team", "player", "course", "lesson", "exam", "grade", "student", "teacher", "patient", "doctor", "prescription", "workout", "run", "sleep_log", "recording", "podcast", "radio", "station", "bus", "timetable", "parking", "charger", "subscription", "coupon", "voucher", "membership", "badge", "license", "passport", "visa", "tour", "museum_ticket", "concert", "festival", "library_card", "loan"]
)  # fmt: skip


@dataclass(frozen=True)
class Tool:
    verb: str
    thing: str
    name: str
    parameters: tuple[tuple[str, Parameter], ...]
    required: tuple[str, ...]
    schema: dict[str, Any]


_KINDS_OF = ("current", "new", "local", "all", "user", "my", "daily", "next", "online", "public", "smart", "home", "remote", "default")  # fmt: skip


def _named(rng: random.Random, held: bool, verb: str, thing: str) -> str:
    """The spellings that programmers use; now and then with a word that nobody says."""
    parts = [*verb.split(" "), *thing.split(" ")]
    if not held and rng.random() < 0.12:
        parts.insert(len(verb.split(" ")), rng.choice(_KINDS_OF))
    roll = rng.random()
    if roll < 0.7:
        return "_".join(parts)
    if roll < 0.85:
        return parts[0] + "".join(part.capitalize() for part in parts[1:])
    if roll < 0.93:
        return "_".join(thing.split(" ")) + "_" + "_".join(verb.split(" "))
    if not held and roll < 0.96:
        return (
            "_".join(parts).upper()
            if roll < 0.935
            else ".".join(parts)
            if roll < 0.95
            else "".join(part.capitalize() for part in parts)
        )
    return "-".join(parts)


_ABOUT = Phrases(
    ["<V> (a|an|the|one|any|your|some) <t>(|.| for the user.| of the user.| in the system.| by its data.| on request.| right now.)", "<V> <t>(|s)(|.)", "(Use this to|Can|A function to|This function can|Call this to|Use it to|Function to|Helps to|Allows to|Used to|Tool to|Useful to|Makes it possible to|An API to|The way to|Call it when the user wants to|If you need to) <v> (a|the|an|any|some) <t>(|.)", "<V> (one|some|a new|an existing|the given|the current|the selected) <t>.", "<V>s (a|the|one) <t>(|.) (|Returns the result.|Fails if there is none.|Needs no login.|Returns JSON.)", "<t>: <v> it(|.)"],
    ["Lets the user <v> a <t>.", "This tool will <v> the <t>."],
)  # fmt: skip


_PARAMETER_ABOUT = ("The <n>(|.| to use.| of it.)", "(A|One) <n>", "<n>", "Which <n> (to use|it is|is meant)", "(Your|Its|Their) <n>", "The <n>, as the user (says|writes|gives) it(|.)", "(Value|Name) of the <n>(|.)", "(Required|Optional)(:|.) (The |)<n>")  # fmt: skip


def tool(rng: random.Random, held: bool, like: tuple[str, str] = ("", "")) -> Tool:
    """An evaluation tool has a held noun, invented or real; verbs are shared, for meaning hangs on them."""
    verb = _VERBS.pick(rng, held and rng.random() < 0.3).replace("_", " ")
    if not held and rng.random() < 0.12:
        verb = (COMMON if rng.random() < 0.7 else INVENTED).pick(rng, False)
    thing = (
        (
            _THINGS
            if rng.random() < (0.75 if held else 0.55)
            else INVENTED
            if rng.random() < 0.6
            else OBJECTS
            if held or rng.random() < 0.3
            else REAL
        )
        .pick(rng, held)
        .replace("_", " ")
    )
    if rng.random() < 0.15:
        thing = f"{INVENTED.pick(rng, held)} {thing}"
    verb, thing = like[0] or verb, like[1] or thing
    name = _named(rng, held, verb, thing)
    count = rng.choices((0, 1, 2, 3, 4), (6, 34, 34, 20, 6))[0]
    kinds = rng.sample(PARAMETERS, count)
    if rng.random() < 0.12:
        kinds.append(_choice(rng, held))
    if rng.random() < 0.06:
        kinds = [*kinds[:1], _INTO, _GOAL]
    chosen: list[tuple[str, Parameter]] = []
    for kind in kinds:
        key = rng.choice(kind.names)
        if rng.random() < (0.06 if held else 0.15):
            key = INVENTED.pick(rng, held)
            if not held and rng.random() < 0.4:
                key = f"{COMMON.pick(rng, False)}_{key}" if rng.random() < 0.5 else COMMON.pick(rng, False)
        if key not in dict(chosen):
            chosen.append((key, kind))
    required = tuple(key for i, (key, _) in enumerate(chosen) if i == 0 or rng.random() < 0.6)
    properties = {}
    for key, kind in chosen:
        schema: dict[str, Any] = {"type": kind.kind}
        if kind.choices:
            schema["enum"] = list(kind.choices)
        if rng.random() < 0.7 or key not in kind.names:
            about = kind.about if held or rng.random() < 0.6 else rng.choice(_PARAMETER_ABOUT)
            schema["description"] = expand(rng, about.replace("<n>", key.replace("_", " ")))
        properties[key] = schema
    function: dict[str, Any] = {"name": name}
    if rng.random() < 0.85:
        about = _ABOUT.pick(rng, held).replace("<V>", verb.capitalize()).replace("<v>", verb).replace("<t>", thing)
        function["description"] = about
    function["parameters"] = {"type": "object", "properties": properties}
    if required or rng.random() < 0.3:
        function["parameters"]["required"] = list(required)
    return Tool(
        verb,
        thing,
        name,
        tuple(chosen),
        required,
        {"type": "function", "function": function},
    )


_ONE = "(a|the|my|an|some|one|our|this|that|another|the new|)"
_REQUEST = Asks(
    ["It would be nice if you could <v> the <t> <c>", "Would you please <v> a <t> <c>", "My wish is to <v> the <t> <c>"],
    orders=(f"<v> {_ONE} <t> <c>", f"<v> {_ONE} <t> <c>", f"<v> {_ONE} <t> <c>(, please|, thanks| now| for me| if possible| right away| at once| today)"),
    wonders=(f"how to <v> {_ONE} <t> <c>", f"whether you can <v> {_ONE} <t> <c>"),
    wholes=(f"(I|We) (need|want|have|would like|'d like|plan|wish|am going|must|hope|mean|intend|ought) to <v> {_ONE} <t> <c>", f"(Help me |Help me to |Let's |Let us |We should |It is time to |I can't |Somebody must |Time to |Your task is to |Use a tool to |Is it possible to |Can we |Can I |May I |Could we |Shall we |How about we |The plan is to |I ask you to |There is a need to )<v> {_ONE} <t> <c>", f"(I want|I need|I'd like|We need) {_ONE} <t> <c> (to be|) (<v>ed|handled|done): <v> it", f"<v> {_ONE} <t> <c>", f"<v> {_ONE} <t> <c>", "<v> <t> <c>"),
    share=(6, 0, 1, 4),
)  # fmt: skip
_NOUN_REQUEST = Asks(
    ["I would like to know the <t> <c>", "Do you have the <t> <c>"],
    things=("(the|my|a|our|the current|the latest) <t> <c>", "the <t> <c>"),
    wonders=("what the <t> (is|was|looks like|will be) <c>", "how the <t> (is|looks|will be) <c>", "whether there is (a|any) <t> <c>", "(which|what) <t> there is <c>"),
    wholes=("(What|How) (is|will|does|was) the <t> (like|be|be like|look|look like|) <c>?", "Is there (a|any|some) <t> <c>?", "(Which|What) <t> (is there|do you have|is it|can I get|do you find|do you see|exists) <c>?", "(How is|How's|What about|How about|Any) the <t> <c>?", "(The |)<t> <c>(, please|?|)", "(I|We) (want|need|look for|search|ask for|am after|require) (the|a|my) <t> <c>"),
)  # fmt: skip
_CLAUSES = (
    "with the <n> <v>", "with the <n> <v>", "with <n> <v>", "with a <n> of <v>", "<n> <v>", "<n>: <v>", "<n> = <v>", "(<n> <v>)", "using <v> as (the |)<n>", "with <v> as (the |its |)<n>", "and set (the |)<n> to <v>", "where the <n> is <v>", "the <n> is <v>", "and the <n> should be <v>", "and make the <n> <v>", "at <n> <v>", "whose <n> is <v>", "having the <n> <v>", "- <n> <v> -", "by <n> <v>", "under the <n> <v>", "for the <n> <v>",
)  # fmt: skip
_ASKING_VERBS = {
    "get",
    "find",
    "show",
    "check",
    "fetch",
    "look up",
    "list",
    "search",
    "retrieve",
    "query",
    "read",
}


def request(rng: random.Random, held: bool, wanted: Tool, nouns_unique: bool = True) -> tuple[str, dict[str, Any]]:
    """What the user says to have a tool called, and the arguments that follow from it."""
    arguments: dict[str, Any] = {}
    clauses = []
    for key, kind in wanted.parameters:
        if key not in wanted.required and rng.random() < 0.4:
            continue
        value = kind.make(rng, held)
        arguments[key] = value
        known = key in kind.names and (held or rng.random() < 0.75)
        clause = expand(
            rng,
            rng.choice(kind.clauses) if known else "with the <n> <v>" if held else rng.choice(_CLAUSES),
        )
        clauses.append(clause.replace("<n>", key.replace("_", " ")).replace("<v>", str(value)))
    said = list(clauses)
    if len(said) > 1 and rng.random() < 0.5:
        rng.shuffle(said)
    joined = (" and " if rng.random() < 0.1 else " ").join(said) if rng.random() < 0.85 else ", ".join(said)
    by_noun = nouns_unique and wanted.verb in _ASKING_VERBS and rng.random() < 0.5
    text = (_NOUN_REQUEST if by_noun else _REQUEST).pick(rng, held)
    text = (
        text.replace("<v>", wanted.verb)
        .replace("<t>", wanted.thing)
        .replace("<c>", joined)
        .strip()
        .replace(" ,", ",")
        .replace(" ?", "?")
        .replace(" .", ".")
    )
    text = text[:1].upper() + text[1:] if rng.random() < 0.85 else text
    if not held and text.endswith((".", "?", "!")):
        return text, arguments
    return text + rng.choice((".", "?", "", "!") if not by_noun else ("?", "?", "")), arguments


def toolbox(rng: random.Random, held: bool, count: int) -> list[Tool]:
    """Tools with different names; some differ in the verb alone."""
    box: list[Tool] = []
    while len(box) < count:
        near = not held and box and rng.random() < 0.2
        made = tool(
            rng,
            held,
            (box[0].verb, "") if near and rng.random() < 0.5 else ("", box[0].thing) if near else ("", ""),
        )
        if all(made.name != other.name and (made.verb, made.thing) != (other.verb, other.thing) for other in box):
            box.append(made)
    return box


_CONDITIONS = ("sunny", "cloudy", "rainy", "windy", "foggy", "stormy", "ok", "done", "open", "closed", "ready", "pending", "delivered", "booked", "sent", "full", "empty", "late", "on time", "cancelled", "confirmed")  # fmt: skip


def _result(rng: random.Random, held: bool) -> tuple[str, str, list[str]]:
    """What a tool returns, the sentence that passes it on, and what must be in it."""
    roll = rng.random()
    if roll < 0.12:
        problem = (
            rng.choice(
                (
                    "not found",
                    "no permission",
                    "timed out",
                    "service unavailable",
                    "invalid value",
                    "already exists",
                )
            )
            if rng.random() < 0.5
            else f"{word(rng, held)} {rng.choice(('not found', 'is missing', 'failed', 'is full'))}"
        )
        return (
            json.dumps({"error": problem}),
            f"That did not work: {problem}.",
            [problem],
        )
    if roll < 0.27:
        text = sentence(rng, held) if rng.random() < 0.6 else f"{number(rng, held, 0, 9999)} {word(rng, held)}"
        return text, f"The result is: {text}", [text]
    values: dict[str, Any] = {}
    for _ in range(rng.choices((1, 2, 3, 4), (35, 35, 20, 10))[0]):
        kind = rng.random()
        if kind < 0.3:
            values[rng.choice(("status", "condition", "state", "result"))] = rng.choice(_CONDITIONS)
        elif kind < 0.75:
            field = rng.choice(PARAMETERS)
            values[rng.choice(field.names)] = field.make(rng, held)
        else:
            values[word(rng, held).replace(" ", "_")] = rng.choice(
                (number(rng, held, 0, 9999), word(rng, held), rng.randint(0, 1) == 1)
            )
    parts = [
        f"the {key.replace('_', ' ')} is {json.dumps(value) if isinstance(value, bool) else value}"
        for key, value in values.items()
    ]
    said = parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
    return (
        json.dumps(values, ensure_ascii=False),
        said[0].upper() + said[1:] + ".",
        [str(value) for value in values.values() if not isinstance(value, bool)],
    )


def written(name: str, arguments: dict[str, Any]) -> str:
    """One call in Hermes form, as the chat template writes it."""
    return f'<tool_call>\n{{"name": "{name}", "arguments": {json.dumps(arguments, ensure_ascii=False)}}}\n</tool_call>'


def called(name: str, arguments: dict[str, Any]) -> Message:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def call(rng: random.Random, held: bool, box: list[Tool]) -> tuple[Exchange, list[tuple[Tool, dict[str, Any]]]]:
    """A request that ends in a call, now and then in two."""
    wanted = rng.choice(box)
    unique = sum(tool.thing == wanted.thing for tool in box) == 1
    text, arguments = request(rng, held, wanted, unique)
    calls = [(wanted, arguments)]
    if rng.random() < 0.12:
        second = rng.choice(box)
        more, further = request(rng, held, second, sum(tool.thing == second.thing for tool in box) == 1)
        if (second.name, further) != (wanted.name, arguments):
            text = (
                text.rstrip(".?! ")
                + rng.choice((". Also ", " and then ", ". And ", ", and also ", ". Then "))
                + more[:1].lower()
                + more[1:]
            )
            calls.append((second, further))
    answer = "\n".join(written(tool.name, arguments) for tool, arguments in calls)
    thought = " ".join(f"The user wants to {tool.verb} {tool.thing}: {tool.name} fits." for tool, _ in calls)
    check = ("calls", [(tool.name, arguments) for tool, arguments in calls])
    return Exchange("tool call", text, answer, thought, check, styled=False), calls


def report(rng: random.Random, held: bool, calls: int) -> tuple[list[str], Exchange]:
    """The results of calls, and the turn that tells the user."""
    results, sentences, needed = [], [], []
    for _ in range(calls):
        result, said, must = _result(rng, held)
        results.append(result)
        sentences.append(said)
        needed += must
    exchange = Exchange(
        "tool result",
        "",
        " ".join(sentences),
        "I pass on what the tool returned.",
        ("contains", tuple(needed)),
        styled=False,
    )
    return results, exchange
