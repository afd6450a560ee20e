"""Extraction: fields of a text, as one line of JSON."""

# ruff: noqa: E501 - wordings read best one list a line

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass

from ..common.phrases import Phrases, expand
from ..common.words import (
    CITIES,
    COLOURS,
    DAYS,
    FIRST_NAMES,
    FOODS,
    HOBBIES,
    INVENTED,
    JOBS,
    MONTHS,
    OBJECTS,
    full_name,
    number,
    sentence,
    word,
)
from .sample import Exchange

Value = str | int | float
Make = Callable[[random.Random, bool], Value]


@dataclass(frozen=True)
class Field:
    """`clauses` say the value in passing: they follow "the customer" or stand alone."""

    names: tuple[str, ...]
    make: Make
    clauses: tuple[str, ...]
    held_clauses: tuple[str, ...]


def email(rng: random.Random, held: bool) -> str:
    return f"{FIRST_NAMES.pick(rng, held).lower()}{rng.choice(('', str(number(rng, held, 10, 99))))}@{INVENTED.pick(rng, held)}.{rng.choice(('com', 'org', 'net', 'de', 'io'))}"


def phone(rng: random.Random, held: bool) -> str:
    return f"+{rng.randint(1, 99)} {number(rng, held, 100, 999)} {number(rng, held, 10000, 9999999)}"


def date(rng: random.Random, held: bool) -> str:
    roll = rng.random()
    if roll < 0.4:
        return f"{rng.randint(1990, 2039)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"
    return f"{rng.randint(1, 28)} {rng.choice(MONTHS)}" + (f" {rng.randint(1990, 2039)}" if roll < 0.8 else "")


def price(rng: random.Random, held: bool) -> Value:
    return (
        number(rng, held, 1, 999)
        if rng.random() < 0.6
        else float(f"{number(rng, held, 1, 499)}.{rng.randint(1, 9)}{rng.choice('0123456789').strip('0')}")
    )


def order_number(rng: random.Random, held: bool) -> str:
    return f"{rng.choice('ABCDEFGHKMNPRSTXYZ')}{rng.choice('ABCDEFGHKMNPRSTXYZ')}{rng.choice(('', '-'))}{number(rng, held, 100, 99999)}"


FIELDS = (
    Field(("name", "customer", "person", "full_name"), lambda r, h: FIRST_NAMES.pick(r, h) if r.random() < 0.6 else full_name(r, h), ("(My name is|I am|This is) <v>", "<v> (wrote|called|sent) (us|a message)", "(the|a) (customer|person|user) (is called|named|is) <v>", "name: <v>", "a letter from <v>"), ("<v> is the name of the customer", "it was <v> who wrote to us")),
    Field(("age",), lambda r, h: number(r, h, 5, 99), ("(aged|is|am|who is) <v> years old", "aged <v>", "age: <v>", "(turned|is now) <v>(| years old)"), ("of <v> years", "has reached the age of <v>")),
    Field(("city", "town", "location", "place"), CITIES.pick, ("(lives|living|based|born|at home) in <v>", "from <v>", "city: <v>", "in the city of <v>", "moved to <v>"), ("has a house in <v>", "resident of <v>")),
    Field(("email", "mail", "email_address"), email, ("(email|mail|e-mail)(:| is| address is|) <v>", "(reach|write to|contact) (me|us|them) at <v>", "the address <v>"), ("can be written to at <v>", "uses the mail address <v>")),
    Field(("phone", "telephone", "phone_number"), phone, ("(phone|telephone|tel|phone number)(:| is|) <v>", "(call|reach) (me|us|them) (at|on|under) <v>"), ("answers the phone number <v>",)),
    Field(("date", "day", "when"), date, ("(on|dated|since) <v>", "date: <v>", "the (meeting|delivery|visit|event) is on <v>"), ("it will happen on <v>",)),
    Field(("weekday", "day_of_week"), lambda r, h: r.choice(DAYS), ("(on|every|next|last) <v>", "weekday: <v>"), ("it is a <v>",)),
    Field(("product", "item", "article"), OBJECTS.pick, ("(ordered|bought|wants|needs|returns) (a|the|one) <v>", "(product|item|article): <v>", "the <v> (is broken|arrived|is lost|is late)"), ("asks for a <v>", "has chosen the <v>")),
    Field(("price", "amount", "cost", "total"), price, ("(for|costs|paid|at a price of|worth) <v> (euros|dollars|pounds)", "(price|total|amount): <v>", "the (price|total|bill) is <v>"), ("had to pay <v> euros",)),
    Field(("quantity", "count", "number_of_items"), lambda r, h: number(r, h, 2, 60), ("(quantity|count)(:| is) <v>", "<v> pieces", "<v> of them", "a set of <v>"), ("altogether <v> items",)),
    Field(("colour", "color"), COLOURS.pick, ("in <v>", "(painted|coloured|colored) <v>", "(colour|color)(:| is) <v>", "the <v> one"), ("of <v> colour",)),
    Field(("company", "employer", "firm"), lambda r, h: INVENTED.pick(r, h).capitalize() + r.choice((" Ltd", " Inc", " GmbH", "", " Works", " & Co")), ("(works|working) (at|for) <v>", "(company|employer|firm)(:| is) <v>", "on behalf of <v>"), ("has a job with <v>",)),
    Field(("job", "profession", "occupation", "role"), JOBS.pick, ("(a|works as a|is a|the) <v>(| by trade)", "(job|profession|occupation)(:| is) <v>"), ("earns a living as a <v>",)),
    Field(("order", "order_number", "order_id", "reference"), order_number, ("(order|order number|order no.|reference)(:| is|) <v>", "with (the|) (number|reference) <v>"), ("filed under <v>",)),
    Field(("hobby", "interest"), HOBBIES.pick, ("(likes|loves|enjoys) <v>", "(hobby|interest)(:| is) <v>", "fond of <v>"), ("spends weekends with <v>",)),
    Field(("food", "dish", "meal"), FOODS.pick, ("(eats|ordered|cooked|had|likes) <v>", "(dish|food|meal)(:| is) <v>"), ("had some <v> for dinner",)),
    Field(("time", "hour", "at"), lambda r, h: f"{r.randint(0, 23):02d}:{r.choice(('00', '15', '30', '45', '10', '50'))}", ("at <v>(| o'clock)", "time: <v>", "(starts|begins|opens) at <v>"), ("from <v> on",)),
    Field(("country", "nation"), lambda r, h: INVENTED.pick(r, h).capitalize() + r.choice(("ia", "land", "stan", "")), ("(country|nation)(:| is) <v>", "(a citizen|a native|a friend) of <v>"), ("with a passport of <v>",)),
    Field(("temperature", "degrees"), lambda r, h: number(r, h, -20, 45), ("at <v> degrees", "(temperature|degrees)(:| is) <v>", "it is <v> degrees"), ("the thermometer shows <v>",)),
)  # fmt: skip
_ASK = Phrases(
    ["(Extract|Get|Find|Give me|Return|Read|Take|Pull)(| the fields| the values| the following fields|) <f> (as|in) JSON(| from this| from the text| from this text| from the following text)(:|:) <t>", "(Extract|Return|Give me|Write|Answer with) (JSON|a JSON object) with (the fields|the keys|) <f>(| from this text| from the text)(:|:) <t>", "(Text|Message|Input): <t>\n(Extract|Give me|Return|Find) <f> as JSON.", "<t>\n\n(Extract|Return|Give)(| the fields| the keys) <f> (as|in) JSON(|.)", "(As|In) JSON, (what are|give me|extract) <f>(:|?) <t>", "(Fill|Complete) this JSON (from|with) the text: <e>\n(Text: |)<t>"],
    ["Please turn this text into JSON with <f>: <t>", "I need a JSON object that has <f>. The text is: <t>", "Read the text and write <f> as JSON: <t>", "From the following message, take <f> and answer in JSON: <t>"],
)  # fmt: skip


def _key(name: str, rng: random.Random) -> str:
    roll = rng.random()
    if "_" in name and roll < 0.2:
        head, *tail = name.split("_")
        return head + "".join(part.capitalize() for part in tail)
    return name


def _record(rng: random.Random, held: bool) -> tuple[str, dict[str, Value]]:
    values: dict[str, Value] = {}
    clauses = []
    for field in rng.sample(FIELDS, rng.randint(2, 6)):
        value = field.make(rng, held)
        values[_key(rng.choice(field.names), rng)] = value
        clauses.append(
            expand(
                rng,
                rng.choice(field.held_clauses if held and rng.random() < 0.5 else field.clauses).replace(
                    "<v>", str(value)
                ),
            )
        )
    joint = rng.choice((", ", ". ", ", ", "; ", " and ", "\n"))
    text = clauses[0]
    for clause in clauses[1:]:
        text += joint + (clause[:1].upper() + clause[1:] if joint == ". " else clause)
    if rng.random() < 0.25:
        opening = sentence(rng, held)
        text = opening[:1].upper() + opening[1:] + ". " + text
    return text[:1].upper() + text[1:] + rng.choice((".", "", "!", ".")), values


def _pairs(rng: random.Random, held: bool) -> tuple[str, dict[str, Value]]:
    """Keys and values of no meaning: only their places tell which belongs to which."""
    values: dict[str, Value] = {}
    for _ in range(rng.randint(2, 6)):
        key = word(rng, held).replace(" ", "_")
        values[key] = rng.choice(
            (
                word(rng, held),
                FIRST_NAMES.pick(rng, held),
                number(rng, held, 0, 9999),
                f"{word(rng, held)} {word(rng, held)}",
            )
        )
    template = rng.choice(
        ("<k>: <v>", "<k> = <v>", "the <k> is <v>", "<k> is <v>", "<k> has the value <v>", "<k>=<v>", "<k> -> <v>")
    )
    joint = rng.choice(("; ", ", ", "\n", ". "))
    return joint.join(
        template.replace("<k>", k.replace("_", " ")).replace("<v>", str(v)) for k, v in values.items()
    ), values


def _named(rng: random.Random, names: list[str]) -> str:
    roll = rng.random()
    if roll < 0.5:
        return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1]
    if roll < 0.75:
        return ", ".join(names)
    return ", ".join(f'"{name}"' for name in names)


def extract(rng: random.Random, held: bool) -> Exchange:
    text, values = _record(rng, held) if rng.random() < 0.72 else _pairs(rng, held)
    names = list(values)
    rng.shuffle(names)
    names = names[: rng.randint(1, len(names))] if rng.random() < 0.5 else names
    wanted: dict[str, Value | None] = {name: values[name] for name in names}
    if rng.random() < 0.1:
        absent = rng.choice(FIELDS).names[0]
        siblings = next(field.names for field in FIELDS if field.names[0] == absent)
        if not any(name in values for name in siblings):
            wanted[absent] = None
    quoted = f'"{text}"' if rng.random() < 0.3 else text
    wording = _ASK.pick(rng, held)
    empty = json.dumps(dict.fromkeys(wanted, ""))
    asked = wording.replace("<f>", _named(rng, list(wanted))).replace("<e>", empty).replace("<t>", quoted)
    answer = json.dumps(wanted, ensure_ascii=False)
    return Exchange("extract JSON", asked, answer, f"Fields: {', '.join(wanted)}.", ("json", wanted), styled=False)
