"""Tools: functions put together from verbs, nouns and parameters, and how a call of one is written."""

# ruff: noqa: E501 - wordings read best one list a line

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any

from ..common.phrases import Phrases, expand
from ..common.words import COMMON, INVENTED, OBJECTS, REAL, Words
from .parameter import GOAL, INTO, PARAMETERS, Parameter, choice
from .sample import Message

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
    ["<V> (a|an|the|one|any|your|some) <t>(|.| for the user.| of the user.| in the system.| by its data.| on request.| right now.)", "<V> <t>(|s)(|.)", "(Use this to|Can|A function to|This function can|Call this to|Use it to|Function to|Helps to|Allows to|Used to|Tool to|Useful to|Makes it possible to|An API to|The way to|Call it when the user wants to|If you need to) <v> (a|the|an|any|some) <t>(|.)", "<V> (one|some|a new|an existing|the given|the current|the selected) <t>.", "<V>s (a|the|one) <t>(|.) (|Returns the result.|Fails if there is none.|Needs no login.|Returns JSON.)", "<t>: <v> it(|.)", "(Lets|Allows|Helps) (you|people|somebody|the caller|clients|anyone)(| to) <v> (a|the|one) <t>(|.)", "(It|This|This one|The function) will <v> (a|one|some|your) <t>(|.)"],
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
        kinds.append(choice(rng, held))
    if rng.random() < 0.06:
        kinds = [*kinds[:1], INTO, GOAL]
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
    return Tool(verb, thing, name, tuple(chosen), required, {"type": "function", "function": function})


def toolbox(rng: random.Random, held: bool, count: int) -> list[Tool]:
    """Tools with different names; some differ in the verb alone."""
    box: list[Tool] = []
    while len(box) < count:
        near = not held and box and rng.random() < 0.2
        made = tool(
            rng, held, (box[0].verb, "") if near and rng.random() < 0.5 else ("", box[0].thing) if near else ("", "")
        )
        if all(made.name != other.name and (made.verb, made.thing) != (other.verb, other.thing) for other in box):
            box.append(made)
    return box


def written(name: str, arguments: dict[str, Any]) -> str:
    """One call in Hermes form, as the chat template writes it."""
    return f'<tool_call>\n{{"name": "{name}", "arguments": {json.dumps(arguments, ensure_ascii=False)}}}\n</tool_call>'


def called(name: str, arguments: dict[str, Any]) -> Message:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}
