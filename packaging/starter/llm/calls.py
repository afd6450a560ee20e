"""Tool calls: users' words that ask for one of the tools, and the turn that passes on what it returned."""

# ruff: noqa: E501 - wordings read best one list a line

from __future__ import annotations

import json
import random
from typing import Any

from ..common.phrases import expand
from ..common.words import number, sentence, word
from .parameter import PARAMETERS
from .sample import Check, Exchange
from .tools import Tool, written
from .wording import Asks

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
_ASKING_VERBS = {"get", "find", "show", "check", "fetch", "look up", "list", "search", "retrieve", "query", "read"}


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
            rng, rng.choice(kind.clauses) if known else "with the <n> <v>" if held else rng.choice(_CLAUSES)
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


_CONDITIONS = ("sunny", "cloudy", "rainy", "windy", "foggy", "stormy", "ok", "done", "open", "closed", "ready", "pending", "delivered", "booked", "sent", "full", "empty", "late", "on time", "cancelled", "confirmed")  # fmt: skip


def _result(rng: random.Random, held: bool) -> tuple[str, str, list[str]]:
    """What a tool returns, the sentence that passes it on, and what must be in it."""
    roll = rng.random()
    if roll < 0.12:
        problem = (
            rng.choice(
                ("not found", "no permission", "timed out", "service unavailable", "invalid value", "already exists")
            )
            if rng.random() < 0.5
            else f"{word(rng, held)} {rng.choice(('not found', 'is missing', 'failed', 'is full'))}"
        )
        return (json.dumps({"error": problem}), f"That did not work: {problem}.", [problem])
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
    check: Check = ("calls", [(tool.name, arguments) for tool, arguments in calls])
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
