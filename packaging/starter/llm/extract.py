"""Extraction: fields of a text, as one line of JSON."""

# ruff: noqa: E501 - wordings read best one list a line

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from ..common.phrases import expand, expansions, plain
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
    Loose,
    full_name,
    number,
    sentence,
    word,
)
from .sample import Exchange
from .wording import Asks, with_text

Value = str | int | float
Make = Callable[[random.Random, bool], Value]


@dataclass(frozen=True)
class Field:
    """`clauses` say the value in passing: they follow "the customer" or stand alone."""

    names: tuple[str, ...]
    make: Make
    clauses: tuple[str, ...]
    held_clauses: tuple[str, ...]

    @cached_property
    def kept(self) -> tuple[str, ...]:
        """The clauses that only the evaluation says, to be compared."""
        return tuple(plain(text) for pattern in self.held_clauses for text in expansions(pattern))


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


def _company(rng: random.Random, held: bool) -> str:
    return INVENTED.pick(rng, held).capitalize() + rng.choice((" Ltd", " Inc", " GmbH", "", " Works", " & Co"))


def _country(rng: random.Random, held: bool) -> str:
    return INVENTED.pick(rng, held).capitalize() + rng.choice(("ia", "land", "stan", ""))


def _hour(rng: random.Random, held: bool) -> str:
    return f"{rng.randint(0, 23):02d}:{rng.choice(('00', '15', '30', '45', '10', '50'))}"


def _person(rng: random.Random, held: bool) -> str:
    return FIRST_NAMES.pick(rng, held) if rng.random() < 0.6 else full_name(rng, held)


FIELDS = (
    Field(("name", "customer", "person", "full_name"), _person, ("(My name is|I am|This is|I'm|Call me) <v>", "<v> (wrote|called|sent|answered|complained|asked|reports|tells|visited us|came in|said hello)(| a message| us| to us| today|)", "(the|a|our) (customer|person|user|client|guest|caller|lady|man|sender) (is called|named|is|was|goes by|calls himself) <v>", "(name|customer|person): <v>", "(a letter|a call|a message|news|greetings|a request) from <v>", "(we met|I spoke with|we heard from|ask for|signed by|this is about|a visit of|we wrote to|I know) <v>", "(his|her|my|the) (name|full name) (is|was) <v>", "<v> is (my name|the customer|the person|our client|the one who called|who I am)", "(it is|that was|yours,) <v>(| again| who called| who asked| on the phone)"), ("<v> is the name of the customer", "it was <v> who wrote to us")),
    Field(("age", "years_old", "age_in_years"), lambda r, h: number(r, h, 5, 99), ("(is|am|who is|now|already|only|just|about) <v> years old", "aged <v>", "age(:| is|) <v>", "(turned|is now|became|will be|was) <v>(| years old)", "at the age of <v>", "(is|has lived) <v> years(| already)", "<v> years of age", "(celebrated|has had) <v> birthdays", "a <v>-year-old", "(born|came into the world) <v> years ago", "(counts|has) <v> years"), ("of <v> years", "has reached the age of <v>")),
    Field(("city", "town", "location", "place", "home_town"), CITIES.pick, ("(lives|living|based|born|at home|stays|resides|is|settled|works|was seen|grew up) in <v>", "(from|comes from|came from|travels from|writes from|calls from|a native of) <v>", "(city|town|place|location)(:| is|) <v>", "in the (city|town) of <v>", "(moved|went|travels|goes|flew|drove) to <v>", "<v> is (the city|the town|where it is|home|the place)", "(owns a flat|has an office|has a shop|has friends|rents a room|bought a house) in <v>", "near <v>"), ("has a house in <v>", "resident of <v>")),
    Field(("email", "mail", "email_address", "contact"), email, ("(email|mail|e-mail|mail address|email address)(:| is|) <v>", "(my|the|her|his) (email|mail|e-mail|address) is <v>", "(reach|write to|contact|mail|email) (me|us|them|her|him) at <v>", "(the|with the|under the) address <v>", "(answers|messages|letters|mail) (go to|please to|reach) <v>", "(send|sends|sent) it to <v>", "<v> is (the mail address|the email|where to write)", "has <v> (for mail|as address|as email)", "(writes|wrote|signs|logged in) (with|as|from) <v>"), ("can be written to at <v>", "uses the mail address <v>")),
    Field(("phone", "telephone", "phone_number", "mobile"), phone, ("(phone|telephone|tel|phone number|mobile|cell)(:| is|) <v>", "(my|the|her|his) (phone|telephone|number|phone number|mobile) is <v>", "(call|reach|phone|ring|dial)(| me| us| them| her| him) (at|on|under) <v>", "(call|dial|ring|phone) <v>", "(reachable|available|to be called) (at|on|under) <v>", "<v> is (the number|the phone number|the number to call)", "with the (phone|number|telephone|phone number) <v>", "has the (telephone|phone|mobile) number <v>"), ("answers the phone number <v>",)),
    Field(("date", "day", "when", "due_date"), date, ("(on|dated|since|from|by|before|until|for) <v>", "date(:| is|) <v>", "the (meeting|delivery|visit|event|party|appointment|order) is (on|for|due on) <v>", "(arrives|starts|comes|happened|was|took place|begins|ends|is planned|is due) (on|for|by) <v>", "<v> is the (date|day)", "(the|its) (date|day) (is|was|will be) <v>", "(see you|we meet|we start|it was) on <v>", "it (happened|happens|takes place) on <v>"), ("it will happen on <v>",)),
    Field(("weekday", "day_of_week"), lambda r, h: r.choice(DAYS), ("(on|every|next|last|this|each|until|by|since) <v>", "weekday(:| is|) <v>", "(always|only|comes) on (a |)<v>(|s)", "(it was|that is|today is|tomorrow is) (a |)<v>", "<v> is the (day|weekday)", "on <v> (morning|evening|afternoon)"), ("it is a <v>",)),
    Field(("product", "item", "article", "goods"), Loose.of(OBJECTS).pick, ("(ordered|bought|wants|needs|returns|sold|sends|got|received|would like|is waiting for|lost|broke|paid for|searches|wishes) (a|the|one|his|her|another) <v>", "(product|item|article)(:| is|) <v>", "the <v> (is broken|arrived|is lost|is late|is fine|was sent|is missing|came|does not work|was returned|is in stock)", "(an order for|a question about|interest in|trouble with|a complaint about) (a|the) <v>", "(the|his|her) (product|item|article|order) (is|was) (a|the) <v>", "(decided on|picked|took|tried) (a|the) <v>", "<v> is the (item|product|article)"), ("asks for a <v>", "has chosen the <v>")),
    Field(("price", "amount", "cost", "total", "sum"), price, ("(for|costs|paid|at a price of|worth|pays|spent|charged|owes|offered|at|gave|about|only|worth about) <v> (euros|dollars|pounds|francs)", "(price|total|amount|cost|sum)(:| is|) <v>(| euros| dollars)", "the (price|total|bill|sum|cost|amount) (is|was|comes to|will be) <v>(| euros| dollars| pounds)", "<v> (euros|dollars|pounds) (in total|altogether|all in|each|were paid|is the price|please)", "(a|the) (bill|invoice|price|fee) of <v> (euros|dollars|pounds)", "(has|needed|wanted|got) to (give|spend|send) <v> (euros|dollars|pounds)", "it (cost|sold for|is worth|goes for) <v> (euros|dollars|pounds)"), ("had to pay <v> euros",)),
    Field(("quantity", "count", "number_of_items", "pieces"), lambda r, h: number(r, h, 2, 60), ("(quantity|count|number|pieces)(:| is|) <v>", "<v> (pieces|units|items|copies|boxes|packs|of them|in number|in total|altogether)", "a (set|box|pack|group|total|pair|bundle) of <v>", "(takes|ordered|wants|needs|bought|counted|there are) <v>(| of them| pieces| units| items)", "(in all|together|all in all|in total) <v>(| pieces| items)", "<v> times", "the (quantity|number) (is|was) <v>"), ("altogether <v> items",)),
    Field(("colour", "color", "paint"), Loose.of(COLOURS).pick, ("in <v>", "(painted|coloured|colored|dyed|sprayed|all|quite|completely|mostly) <v>", "(colour|color)(:| is|) <v>", "the <v> one", "(the|its) (colour|color) (is|was|should be) <v>", "(it is|looks|comes|wants it|must be|likes it|prefers) <v>", "(a|the) (shade|tone) of <v>", "with a <v> (finish|cover|surface|coat)", "<v> is the (colour|color)", "<v> (in colour|all over|from top to bottom)"), ("of <v> colour",)),
    Field(("company", "employer", "firm", "organisation"), _company, ("(works|working|employed|busy|hired|started|a manager) (at|for|by|with) <v>", "(company|employer|firm)(:| is|) <v>", "(on behalf of|in the name of|representing|owner of|sent by|head of|from the firm|from the company) <v>", "(the|his|her|our) (company|employer|firm) (is|is called) <v>", "(founded|joined|left|leads|runs|owns) <v>", "<v> is (the employer|the company|where I work|the firm)", "(employee|member|boss|worker) (at|of) <v>", "(has|got|found) work (at|with) <v>"), ("has a job with <v>",)),
    Field(("job", "profession", "occupation", "role", "position"), Loose.of(JOBS).pick, ("(a|works as a|is a|the|became a|was a|trained as a|acts as a|serves as a|I am a|an experienced|a former|hired as a|being a|a young|a retired) <v>(| by trade| by profession)", "(job|profession|occupation|role)(:| is|) <v>", "(the|his|her) (job|profession|occupation|trade|work) is <v>", "<v> (by trade|by profession|is the job|at work)", "(employed|known|paid|respected) as a <v>", "makes (money|a living) as a <v>", "(wants to be|has been|is now|studied to be) a <v>"), ("earns a living as a <v>",)),
    Field(("order", "order_number", "order_id", "reference", "ticket"), order_number, ("(order|order number|order no.|reference|order id|ticket|ref)(:| is|) <v>", "with (the |)(number|reference|order number|id) <v>", "(the|my|her|his) (order|order number|reference|ticket) (is|was) <v>", "(listed|saved|found|stored|known|booked|registered|kept) (under|as) <v>", "(under|see|about|regarding|concerning|re) <v>", "<v> is the (order number|reference|order)", "(refers to|belongs to|carries the number|has the number|quotes) <v>"), ("filed under <v>",)),
    Field(("hobby", "interest", "pastime", "sport"), Loose.of(HOBBIES).pick, ("(likes|loves|enjoys|practises|does|goes|adores|is into|teaches|started|prefers) <v>", "(hobby|interest|pastime)(:| is|) <v>", "(fond of|crazy about|good at|a fan of|a friend of|interested in|keen on) <v>", "(the|his|her) (hobby|interest|pastime) is <v>", "(in the evening|in his free time|in her spare time|after work|at weekends|on Sundays) (likes |does |enjoys |goes |it is |)<v>", "<v> is (the hobby|a passion|what he likes|what she loves)", "(fills|passes|spends) (the evenings|free time|holidays|time) with <v>"), ("spends weekends with <v>",)),
    Field(("food", "dish", "meal", "dinner"), Loose.of(FOODS).pick, ("(eats|ordered|cooked|had|likes|made|wants|took|tried|tasted|serves|enjoyed|asks for) (some |the |)<v>", "(dish|food|meal)(:| is|) <v>", "(for|as) (lunch|dinner|breakfast|a meal|supper) (some |had |there was |)<v>", "(the|his|her) (dish|meal|food|dinner) (is|was) <v>", "<v> (for lunch|for dinner|for breakfast|on the plate|to eat|is the dish)", "(a plate|a bowl|a portion|a piece) of <v>", "(ate|got|bought) (a little|some|a lot of) <v>"), ("had some <v> for dinner",)),
    Field(("time", "hour", "at", "start_time"), _hour, ("at <v>(| o'clock| sharp| exactly)", "time(:| is|) <v>", "(starts|begins|opens|arrives|leaves|closes|comes|ends|meets|called|happens) at <v>", "(the|its) (time|hour|start) (is|was) <v>", "(by|before|after|around|until|since|about|past) <v>", "<v> is the (time|hour)", "(from|between) <v> (onwards|to midnight|until late)", "(we meet|see you|be there|call me) at <v>"), ("from <v> on",)),
    Field(("country", "nation", "homeland"), _country, ("(country|nation)(:| is|) <v>", "(a citizen|a native|a friend|the flag|a visitor|the people|an ambassador|the king) of <v>", "(the|his|her) (country|nation|homeland) is <v>", "<v> is the (country|nation|homeland)", "(a passport|a visa|papers|a ticket) (from|for) <v>", "(travels through|loves|left|represents|plays for) <v>", "(the country|the nation|the land|the republic) (called|of|named) <v>"), ("with a passport of <v>",)),
    Field(("temperature", "degrees", "celsius"), lambda r, h: number(r, h, -20, 45), ("(at|about|around|almost|nearly|only|up to) <v> degrees", "(temperature|degrees)(:| is|) <v>", "it (is|was|will be|gets) <v> degrees", "(the|a) temperature (is|was|of|reached|stays at) <v>(| degrees)", "<v> degrees (outside|inside|today|in the shade|celsius|were measured)", "(measured|heated to|cooled to|kept at|we had|rose to|fell to) <v> degrees", "(the sensor|the display|the scale) (says|reads|shows|gives) <v>(| degrees)"), ("the thermometer shows <v>",)),
)  # fmt: skip
_JSON = "(JSON|json|a JSON object|one JSON object|a JSON|valid JSON|JSON format|a json object|plain JSON|a JSON document|JSON only)"
_THEM = "(| the fields| the values| the following fields| the keys| these fields| the data| the information| these values| the entries| the details| only| just| the following| the attributes| the properties)"
_FROM = "(| from this| from it| from the text| from this text| from the following text| from the message| from what I write| of the text| in the text| from the following| out of the text| from the note| from the sentence| given in the text| of this message| that you find in the text)"
_SAY = "(answer|reply|respond|write|say it|give it|return it|output|put them|put it|return them|show them|answer me|write them|send it|print them|give them) (in|as|with|using) (JSON|json|a JSON object|valid JSON|JSON only|one JSON object)"
_IN = "(|from this |from the text |from the message |from the following text |from the following |out of this |in this text |from this message |from the text below |here )"
_ASK = Asks(
    ["Please turn this text into JSON with <f>: <x>", "I need a JSON object that has <f>. The text is: <x>", "Read the text and write <f> as JSON: <x>", "From the following message, take <f> and answer in JSON: <x>"],
    orders=(
        f"(extract|get|find|give me|return|read|take|pull|list|write|collect|output|fetch|pick|show me|print|parse|select|report|gather|look for|note|put|bring|store|grab|identify|detect|state){_THEM} <f>{_FROM} (as|in|into|to|using|inside|within) {_JSON}{_FROM}",
        f"(extract|return|give me|write|answer with|make|create|build|produce|output|reply with|print|generate|construct|compose|send|form|fill|respond with|show me|prepare) {_JSON} (with|containing|of|for|that contains|holding|which holds|that holds|including|consisting of|made of|listing|that lists|that gives|with just|with only|from){_THEM} <f>{_FROM}",
        "(fill|complete|finish|fill in|fill out) (this|the|the following) (JSON|object|JSON object|form|template|record) (from|with|using|by) the (text|message|data|note): <e>", f"(convert|turn|change|transform|parse|translate|put|bring|make) (the text|this|it|the message|the note|the sentence|the following) (into|to|in) {_JSON}(| with| using| that has| having| keeping| containing){_THEM} <f>", f"{_IN}(take|pick|get|extract|read|collect|find|select|note|grab|pull|use){_THEM} <f>{_FROM}(, and |, then | and | and then |; |. Then ){_SAY}", f"{_IN}(take|pick|get|extract|read|find|list|give me|return){_THEM} <f>(| as JSON| in JSON| as a JSON object)", f"{_SAY}{_FROM}: <f>", f"(read|study|go through|look at|scan|use|analyse|search) (the text|this|it|the message|the note|the sentence|the following)(, | and |, then )(extract|give|return|list|answer with|find|report|tell me|output|get)(| me){_THEM} <f> (as|in) {_JSON}",
    ),
    things=(f"{_JSON} (with|of|for|containing|holding|that has only|that contains|listing|made of){_THEM} <f>{_FROM}", f"<f>{_FROM} (as|in) {_JSON}", f"the (fields|values|keys|data|details|entries) <f>{_FROM} (as|in) {_JSON}"),
    wonders=(f"what <f> (is|are|was|were){_FROM}, (in|as) {_JSON}", f"in {_JSON} what{_THEM} <f> (is|are)"),
    wholes=(f"(As|In) {_JSON}, (what are|give me|extract|what is|tell me|find|return|list|show){_THEM} <f>(|?)", f"(What are|What is|Which are){_THEM} <f>{_FROM}(, as JSON|, in JSON|? Answer in JSON.|? Use JSON.|? Reply with JSON only.|? JSON please.)", "(JSON|Fields|Keys|Extract|Schema|Output|Wanted)(:| with|) <f>", "(Fill|Complete) this JSON (from|with) the text: <e>", "(Text to JSON|To JSON|Extraction|Make JSON): <f>", f"<f>(, as JSON|, in JSON|: JSON please| -> JSON){_FROM}"),
    share=(5, 2, 1, 4),
)  # fmt: skip


def _key(name: str, rng: random.Random) -> str:
    roll = rng.random()
    if "_" in name and roll < 0.2:
        head, *tail = name.split("_")
        return head + "".join(part.capitalize() for part in tail)
    return name


_PLAIN = ("<k>: <v>", "<k> = <v>", "<k> is <v>", "the <k> is <v>", "<k> <v>", "with <k> <v>", "<v> is the <k>", "the <k> was <v>", "its <k> is <v>", "(<k>: <v>)", "<k> - <v>", "as for the <k>, it is <v>", "the <k> should be <v>", "<v> for <k>", "<v> as the <k>", "my <k> is <v>", "has <v> as <k>", "<k> equals <v>", "we have <k> <v>", "the value of <k> is <v>", "set <k> to <v>")  # fmt: skip
_SIDE = ("that is all I know", "it was a long day", "please answer soon", "I hope this helps", "nothing else was said", "the weather was fine", "more news will come", "we talked for an hour", "everybody was happy", "I do not know the rest", "thank you in advance")  # fmt: skip


def _clause(rng: random.Random, held: bool, field: Field, key: str, value: Value) -> str:
    if held:
        patterns = field.held_clauses if rng.random() < 0.5 else field.clauses
    else:
        patterns = field.clauses if rng.random() < 0.85 else _PLAIN
    text = expand(rng, patterns[int(rng.random() * len(patterns))].replace("(<k>", "<k>"))
    return text.replace("<k>", key.replace("_", " ")).replace("<v>", str(value))


def _record(rng: random.Random, held: bool) -> tuple[str, dict[str, Value]]:
    values: dict[str, Value] = {}
    clauses: list[str] = []
    for field in rng.sample(FIELDS, rng.randint(2, 6)):
        value = field.make(rng, held)
        key = rng.choice(field.names)
        clause = _clause(rng, held, field, key, value)
        while not held and any(kept in plain(clause.replace(str(value), "<v>")) for kept in field.kept):
            clause = _clause(rng, held, field, key, value)
        values[_key(key, rng)] = value
        clauses.append(clause)
    if not held and rng.random() < 0.15:
        clauses.insert(rng.randint(0, len(clauses)), rng.choice(_SIDE) if rng.random() < 0.5 else sentence(rng, False))
    joint = rng.choice((", ", ". ", ", ", "; ", " and ", "\n"))
    text = clauses[0]
    for clause in clauses[1:]:
        if not held and rng.random() < 0.15:
            joint = rng.choice((", ", ". ", " and ", "; ", " - ", ", and ", ". Also, ", " but "))
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
        if not held and rng.random() < 0.2:
            key += "_" + word(rng, False)
        elif not held and rng.random() < 0.3:
            key = rng.choice(rng.choice(FIELDS).names)
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
    if not held and rng.random() < 0.4:
        template = rng.choice(_PLAIN)
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
    if roll < 0.85:
        return ", ".join(f'"{name}"' for name in names)
    if roll < 0.9:
        return ", ".join(f"`{name}`" for name in names)
    if roll < 0.95:
        return "[" + ", ".join(names) + "]"
    return ", ".join(f'"{name}"' for name in names[:-1]) + (" and " if len(names) > 1 else "") + f'"{names[-1]}"'


def extract(rng: random.Random, held: bool) -> Exchange:
    text, values = _record(rng, held) if rng.random() < 0.72 else _pairs(rng, held)
    names = list(values)
    rng.shuffle(names)
    names = names[: rng.randint(1, len(names))] if rng.random() < 0.5 else names
    wanted: dict[str, Value | None] = {name: values[name] for name in names}
    if rng.random() < (0.1 if held else 0.15):
        absent = rng.choice(FIELDS).names[0]
        siblings = next(field.names for field in FIELDS if field.names[0] == absent)
        if not any(name in values for name in siblings):
            wanted[absent] = None
    quote = rng.choice(('"<x>"', "<x>", "<x>", "'<x>'", "<x>")) if not held else rng.choice(('"<x>"', "<x>", "<x>"))
    wording = with_text(rng, _ASK.pick(rng, held))
    empty = json.dumps(dict.fromkeys(wanted, ""))
    asked = wording.replace("<f>", _named(rng, list(wanted))).replace("<e>", empty)
    asked = asked.replace("<x>", quote.replace("<x>", text))
    answer = json.dumps(wanted, ensure_ascii=False)
    return Exchange("extract JSON", asked, answer, f"Fields: {', '.join(wanted)}.", ("json", wanted), styled=False)
