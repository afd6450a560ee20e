"""What fills the gaps of a wording: `<name>`, `<dish>`, `<minutes>`. Every list is cut into what training sees and what it does not."""

# ruff: noqa: E501, SIM905 - words read best as running text

from __future__ import annotations

import random
import zlib
from collections.abc import Callable

from ..common.words import (
    ADJECTIVES,
    ANIMALS,
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
    PLACES,
    Words,
    full_name,
    is_held,
    number,
)


def _and(words: Words, held: str) -> Words:
    """With more words for the evaluation alone."""
    known = {word.lower() for word in words.train}
    return Words(words.train, tuple(dict.fromkeys((*words.held, *(w for w in held.split() if w not in known)))))


Fill = Callable[[random.Random, bool], str]


def _listed(text: str) -> Words:
    """At least three are kept back, however short the list."""
    words = list(dict.fromkeys(word.replace("_", " ") for word in text.split()))
    held = [word for word in words if is_held(word)]
    held += [word for word in sorted(words, key=lambda w: zlib.crc32(w.encode())) if word not in held][
        : max(0, 3 - len(held))
    ]
    return Words(tuple(word for word in words if word not in held), tuple(held))


_ANIMALS = _and(
    ANIMALS,
    """buffalo walrus badger ferret weasel gorilla leopard hyena jackal ostrich pelican stork magpie robin sparrow raven eel herring
    octopus lobster shrimp beetle cricket scorpion alligator crocodile iguana gecko moose bison antelope""",
)
_FOODS = _and(
    FOODS,
    """turnip leek celery radish pumpkin lentil chickpea barley papaya apricot date blueberry blackberry pistachio peanut
    cinnamon vanilla sausage ham bacon tuna oyster tofu""",
)
_PLACES = _and(
    PLACES,
    """cathedral monastery aquarium observatory orchard vineyard canal waterfall glacier volcano swamp prairie cliff cave fountain
    pyramid palace fortress abbey planetarium pier""",
)
_HOBBIES = _and(
    HOBBIES,
    "badminton volleyball cricket rugby judo karate boxing wrestling snowboarding kayaking weaving embroidery calligraphy bowling darts",
)
_JOBS = _and(
    JOBS,
    "butcher florist pharmacist surgeon waiter barber jeweller miner logger plumber roofer optician banker accountant secretary usher",
)
_COLOURS = _and(COLOURS, "mauve ochre fuchsia tan burgundy mahogany pearl terracotta sepia hazel")
_OBJECTS = _and(
    OBJECTS,
    """spade rake wrench pliers axe chisel hose faucet sink stove oven fridge freezer toaster blender mixer vacuum heater fan
    stool shelf drawer cupboard bracelet necklace earring wig mask helmet sandal slipper belt razor comb sponge""",
)
_ADJECTIVES = _and(
    ADJECTIVES,
    "ancient fragile elegant ugly crooked steep shallow fierce timid wicked graceful sturdy clumsy dusty muddy shiny spotless mighty",
)
INSTRUMENTS = _listed(
    """guitar piano violin flute drums cello trumpet clarinet harp saxophone oboe trombone tuba accordion banjo mandolin ukulele organ
    harmonica bassoon viola double_bass xylophone bagpipes lute zither recorder tambourine keyboard horn sitar"""
)
GENRES = _listed(
    """jazz rock pop blues folk techno opera reggae punk soul funk country_music hip_hop swing heavy_metal disco gospel ska baroque_music
    chamber_music house_music brass_music film_music"""
)
ILLNESSES = _listed(
    """headache cough fever cold flu sore_throat stomach_ache toothache hiccup sunburn blister insomnia nausea cramp migraine earache
    heartburn rash backache hay_fever dizziness bruise nosebleed splinter cold_feet tiredness sea_sickness"""
)
REMEDIES = _listed(
    """warm_milk ginger_tea a_cold_cloth fresh_air much_sleep honey_and_lemon a_hot_bath salt_water a_short_walk peppermint_oil
    camomile_tea an_ice_pack a_glass_of_water chicken_soup a_warm_blanket deep_breathing onion_juice a_wet_towel raw_carrot oat_porridge
    sage_tea an_hour_of_rest elder_juice a_hot_water_bottle cool_yoghurt lavender"""
)
BODY = _listed(
    """back knee shoulder neck elbow ankle heart stomach hip wrist foot hand arm leg eye ear nose throat skin lung finger thumb toe
    jaw tooth liver"""
)
PLANTS = _listed(
    """cactus rose fern ivy orchid tulip palm basil lily lavender geranium begonia hibiscus jasmine aloe bonsai daisy violet sunflower
    mint thyme rosemary parsley azalea oleander fig_tree rubber_tree lemon_tree spider_plant tomato_plant"""
)
LIQUIDS = _listed(
    """coffee wine ink blood tea milk juice oil paint mud ketchup soup chocolate mustard grass egg wax grease jam beer honey beetroot
    soy_sauce lipstick tar curry rust ice_cream"""
)
CLOTHS = _listed(
    """shirt carpet sofa tablecloth jacket pillow curtain towel coat dress blanket scarf cushion mattress rug jeans glove apron sweater
    napkin tie blouse skirt sleeping_bag car_seat"""
)
CLEANERS = _listed(
    """salt vinegar baking_soda lemon_juice soap cold_water hot_water alcohol washing_powder milk mineral_water chalk gall_soap shampoo
    toothpaste talcum_powder glycerine bleach ammonia starch dish_soap shaving_foam"""
)
ROOMS = _listed(
    """kitchen garage attic cellar office bathroom bedroom hall living_room pantry nursery study laundry balcony workshop shed
    dining_room guest_room conservatory porch wardrobe"""
)
TONGUES = _listed(
    """English French German Spanish Italian Polish Greek Turkish Arabic Hindi Chinese Japanese Korean Russian Dutch Swedish Finnish
    Danish Czech Hungarian Swahili Welsh Latin Portuguese Norwegian Thai Persian Hebrew Irish Romanian"""
)
COUNTRIES = Words.split(
    [
        *"""Norway Peru Kenya Japan Canada France Spain Italy Poland Greece Turkey Egypt India China Brazil Chile Mexico Cuba Sweden
        Finland Denmark Iceland Ireland Portugal Morocco Ghana Nepal Vietnam Thailand Australia Austria Belgium Bolivia Croatia
        Hungary Jordan Latvia Malta Oman Romania Serbia Tunisia Uruguay Zambia""".split(),
        *[word.capitalize() + "ia" for word in INVENTED.train[:600] if len(word) > 3],
    ]
)
CLIMATES = _listed(
    """hot_and_dry cold_and_wet mild warm_and_humid icy windy rainy sunny stormy cool foggy tropical dry snowy pleasant changeable
    hot_and_damp cold_and_clear"""
)
LANGUAGES = _listed(
    "Python Rust Java C Go Haskell Ruby Perl Swift Kotlin Lua Lisp Pascal Fortran Erlang Ada Scala Julia Zig Prolog"
)
RELATIONS = _listed(
    """capital population currency president mayor language area height length depth age colour price name owner author inventor leader
    symbol flag anthem climate weight size shape smell taste sound speed temperature origin purpose meaning history future value
    address number code password key size_limit border neighbour enemy friend mother father child partner boss rival teacher pupil
    captain doctor lawyer manager editor publisher title subject theme style source mouth bridge tower church market airport harbour
    university museum stadium newspaper river mountain island forest desert animal flower tree dish drink dance song hero saint king
    queen prime_minister army budget debt income export import industry product customer supplier competitor brand logo slogan
    founder successor predecessor opponent result winner loser record score reward penalty reason cause effect cure symptom risk
    danger benefit advantage weakness strength rule law exception limit target deadline start end duration distance direction
    position rank level status state phase version format type class category family group member part engine battery screen
    keyboard memory chip orbit moon surface core diameter radius volume pressure density voltage frequency melting_point
    boiling_point nickname birthplace birthday hometown profession salary hobby religion education favourite_food shoe_size""",
)
ACTS = _listed(
    """open close clean repair paint move lift build sell carry wash dry heat cool fold cut sharpen polish empty fill store hang
    hide wrap send measure weigh copy print charge connect replace remove install test check start stop lock unlock adjust tune
    decorate cover protect oil glue sand drill bend straighten shorten lengthen soften harden warm label sort count recycle
    assemble dismantle calibrate ship insure rent borrow photograph draw sketch describe explain choose order return sew knit
    water feed trim plant dig harvest""",
)
MATERIALS = _listed(
    """wood iron glass stone paper steel copper gold silver plastic rubber leather wool cotton silk clay sand ice brick concrete
    bamboo wax cork ivory marble aluminium""",
)
_DISHES = "soup salad cake pie stew curry pudding bread omelette risotto casserole dumplings pancakes noodles sauce pizza tart stir-fry".split()
_DEVICES = "phone laptop tablet camera robot watch printer router speaker drone scanner server monitor radio".split()
_STREETS = "Street Road Lane Avenue Square Alley Hill Way".split()


def _brand(rng: random.Random, held: bool) -> str:
    name = INVENTED.pick(rng, held).capitalize()
    return (
        name
        if rng.random() < 0.7
        else f"{_ADJECTIVES.pick(rng, held).capitalize()} {_OBJECTS.pick(rng, held).capitalize()}"
    )


def _described(words: Words) -> Fill:
    """A word alone, or with one that narrows it down: the lists are short, the world is not."""

    def fill(rng: random.Random, held: bool) -> str:
        word = words.pick(rng, held)
        roll = rng.random()
        if roll < 0.4:
            return word
        if roll < 0.6:
            return f"{_COLOURS.pick(rng, held)} {word}"
        return f"{_ADJECTIVES.pick(rng, held)} {word}"

    return fill


def _named_thing(things: list[str]) -> Fill:
    return lambda rng, held: f"{INVENTED.pick(rng, held).capitalize()} {rng.choice(things)}"


def _dish(rng: random.Random, held: bool) -> str:
    first = _FOODS.pick(rng, held)
    middle = f" and {_FOODS.pick(rng, held)}" if rng.random() < 0.15 else ""
    return f"{first}{middle} {rng.choice(_DISHES)}"


def _name(rng: random.Random, held: bool) -> str:
    roll = rng.random()
    if roll < 0.5:
        return FIRST_NAMES.pick(rng, held)
    return (
        full_name(rng, held)
        if roll < 0.9
        else f"{rng.choice(('Mr', 'Mrs', 'Professor'))} {INVENTED.pick(rng, held).capitalize()}"
    )


def _club(rng: random.Random, held: bool) -> str:
    place = CITIES.pick(rng, held)
    form = rng.choice(
        ("{} United", "FC {}", "the {} Rovers", "{} City", "the {} {}s", "Sporting {}", "{} Wanderers", "the {} {}s")
    )
    return form.format(place, _ANIMALS.pick(rng, held).capitalize())


def _title(rng: random.Random, held: bool) -> str:
    words = (
        f"{_ADJECTIVES.pick(rng, held)} {_OBJECTS.pick(rng, held)}"
        if rng.random() < 0.6
        else f"{_ANIMALS.pick(rng, held)} of {CITIES.pick(rng, held)}"
    )
    return f'"{"The " if rng.random() < 0.4 else ""}{words.capitalize()}"'


def _thing(rng: random.Random, held: bool) -> str:
    """Anything that has a name."""
    kind = rng.choice(("city", "country", "name", "software", "club", "object", "animal", "brand", "title"))
    text = fill(rng, kind, held)
    return f"the {text}" if kind in ("object", "animal") else text


def _value(rng: random.Random, held: bool) -> str:
    return fill(
        rng, rng.choice(("city", "name", "colour", "number", "year", "object", "word", "adjective", "food")), held
    )


def _price(rng: random.Random, held: bool) -> str:
    return f"{number(rng, held, 2, 999)} {rng.choice(('euros', 'dollars', 'pounds', 'francs'))}"


def _numbered(low: int, high: int) -> Fill:
    return lambda rng, held: str(number(rng, held, low, high))


_FILLS: dict[str, Fill] = {
    "name": _name,
    "surname": lambda rng, held: INVENTED.pick(rng, held).capitalize(),
    "city": CITIES.pick,
    "country": COUNTRIES.pick,
    "dish": _dish,
    "food": _FOODS.pick,
    "animal": _described(_ANIMALS),
    "object": _described(_OBJECTS),
    "place": _PLACES.pick,
    "adjective": _ADJECTIVES.pick,
    "colour": _COLOURS.pick,
    "job": _JOBS.pick,
    "hobby": _HOBBIES.pick,
    "instrument": INSTRUMENTS.pick,
    "genre": GENRES.pick,
    "illness": ILLNESSES.pick,
    "remedy": REMEDIES.pick,
    "body": BODY.pick,
    "plant": PLANTS.pick,
    "liquid": LIQUIDS.pick,
    "cloth": CLOTHS.pick,
    "cleaner": CLEANERS.pick,
    "room": ROOMS.pick,
    "tongue": TONGUES.pick,
    "language": LANGUAGES.pick,
    "climate": CLIMATES.pick,
    "brand": _brand,
    "relation": RELATIONS.pick,
    "act": ACTS.pick,
    "material": MATERIALS.pick,
    "thing": _thing,
    "value": _value,
    "device": _named_thing(_DEVICES),
    "product": lambda rng, held: f"{INVENTED.pick(rng, held).capitalize()} {_OBJECTS.pick(rng, held)}",
    "software": lambda rng, held: INVENTED.pick(rng, held).capitalize(),
    "medicine": lambda rng, held: INVENTED.pick(rng, held).capitalize() + rng.choice(("in", "ol", "an")),
    "bank": lambda rng, held: (
        f"the {INVENTED.pick(rng, held).capitalize()} Bank" if rng.random() < 0.6 else f"the Bank of {CITIES.pick(rng, held)}"
    ),
    "club": _club,
    "title": _title,
    "word": INVENTED.pick,
    "street": lambda rng, held: f"{INVENTED.pick(rng, held).capitalize()} {rng.choice(_STREETS)}",
    "day": lambda rng, held: rng.choice(DAYS),
    "month": lambda rng, held: rng.choice(MONTHS),
    "dayofmonth": lambda rng, held: str(rng.randint(1, 28)),
    "clock": lambda rng, held: f"{rng.randint(5, 22)}:{rng.randint(0, 59):02d}",
    "minutes": _numbered(5, 180),
    "degrees": _numbered(80, 260),
    "celsius": lambda rng, held: f"{'minus ' if rng.random() < 0.15 else ''}{rng.randint(1, 38)}",
    "days": _numbered(2, 60),
    "age": _numbered(2, 150),
    "speed": _numbered(10, 150),
    "number": _numbered(2, 400),
    "small": lambda rng, held: str(rng.randint(2, 20)),
    "goals": lambda rng, held: str(rng.randint(2, 9)),
    "gigabytes": lambda rng, held: str(rng.choice((2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128))),
    "port": _numbered(1000, 9999),
    "year": _numbered(1850, 2025),
    "price": _price,
    "phone": lambda rng, held: f"{rng.randint(200, 999)} {rng.randint(1000, 9999)}",
}  # fmt: skip


def pool(slot: str) -> str:
    """`name2` is a second one out of `name`."""
    return slot.rstrip("0123456789")


def fill(rng: random.Random, slot: str, held: bool) -> str:
    return _FILLS[pool(slot)](rng, held)


def known(slot: str) -> bool:
    return pool(slot) in _FILLS


def can_be_held(slot: str) -> bool:
    """Whether the evaluation has words of its own for it; days and hours are too few to keep any back."""
    return pool(slot) not in {"day", "month", "dayofmonth", "clock", "celsius", "small", "goals", "gigabytes", "phone"}
