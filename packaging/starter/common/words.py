"""Word lists for every starter recipe: real ones written here and invented ones from syllables, each cut into what training sees and what it never sees."""

# ruff: noqa: E501, SIM905 - words read best as running text

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass

HELD_SHARE = 12  # one in so many is kept from training


def is_held(text: str) -> bool:
    """Whether the evaluation owns this word; case does not matter, so that no casing leaks it."""
    return zlib.crc32(b"starter:" + text.lower().encode()) % HELD_SHARE == 0


@dataclass(frozen=True)
class Words:
    train: tuple[str, ...]
    held: tuple[str, ...]

    @classmethod
    def split(cls, words: list[str]) -> Words:
        unique = list(dict.fromkeys(words))
        return cls(tuple(w for w in unique if not is_held(w)), tuple(w for w in unique if is_held(w)))

    def pick(self, rng: random.Random, held: bool) -> str:
        side = self.held if held else self.train
        return side[int(rng.random() * len(side))]


def _listed(text: str) -> Words:
    return Words.split([word.strip().replace("_", " ") for word in text.split()])


_ONSETS = "b bl br c ch cl cr d dr f fl fr g gl gr h j k kl kr l m n p pl pr qu r s sc sh sk sl sm sn sp st t th tr v w y z".split()
_VOWELS = "a a e e i i o o u ai ea ee io ou y".split()
_CODAS = ["", "", "", *"b ck d g l ll m n nd ng nt p r rd rn s sk ss st t th x z".split()]
_NAME_ENDS = "a ah an ara e el en er ia ie in io is o on or us y".split()


def _invented(rng: random.Random, shortest: int, longest: int) -> str:
    return "".join(
        rng.choice(_ONSETS) + rng.choice(_VOWELS) + (rng.choice(_CODAS) if i or rng.random() < 0.5 else "")
        for i in range(rng.randint(shortest, longest))
    )


def _lexicon(count: int, seed: int, shortest: int, longest: int) -> list[str]:
    rng = random.Random(seed)
    return [_invented(rng, shortest, longest) for _ in range(count)]


def _invented_names(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [(_invented(rng, 1, 2) + rng.choice(_NAME_ENDS)).capitalize() for _ in range(count)]


FIRST_NAMES = Words.split(
    [
        *"""Ada Adam Aiko Alan Alba Alex Alice Amara Amir Amy Ana Andre Anita Anna Anton Ari Arjun Astrid Ava Ben Bianca
        Boris Bruno Carl Carla Carmen Cora Dana Daniel Dara David Diego Dora Edith Elena Eli Ella Emil Emma Erik
        Esther Eva Felix Finn Fiona Frank Freya Gita Grace Greta Hana Hannah Hassan Helen Henry Hugo Ida Igor Ilse
        Ines Ingrid Iris Ivan Jack Jade James Jan Jana Jin John Jonas Julia Kai Karim Karl Kate Kenji Kim Lara Laura
        Lea Leila Leo Lena Lina Linda Liam Lisa Lola Louis Lucas Lucy Luis Luna Maria Marco Mark Marta Mary Max Maya
        Mei Mia Mila Milo Mina Mira Mohamed Nadia Nils Nina Noah Nora Oleg Olga Oliver Omar Oscar Otto Paul Pedro
        Peter Petra Philip Priya Rafael Ravi Rosa Rose Ruth Ryan Sam Samir Sara Sarah Simon Sofia Sonja Stella Sven
        Tara Theo Thomas Tim Tina Tom Uma Vera Victor Viktor Vincent Walter Wanda Wei Will Yara Yuki Yusuf Zara Zoe""".split(),
        *_invented_names(6000, 11),
    ]
)
CITIES = Words.split(
    [
        *"""Amsterdam Athens Auckland Austin Bangkok Barcelona Basel Beijing Berlin Bern Bogota Bonn Boston Bremen
        Brussels Budapest Cairo Chicago Cologne Copenhagen Dakar Dallas Delhi Denver Dhaka Dresden Dubai Dublin
        Edinburgh Florence Geneva Genoa Ghent Hamburg Hanoi Havana Helsinki Istanbul Jakarta Kyiv Kyoto Lagos Leeds
        Lima Lisbon Liverpool London Lyon Madrid Malaga Manila Marseille Melbourne Miami Milan Montreal Moscow Mumbai
        Munich Nairobi Naples Nice Osaka Oslo Ottawa Oxford Palermo Paris Perth Porto Prague Quito Riga Rome Rotterdam
        Santiago Seattle Seoul Seville Shanghai Singapore Sofia Stockholm Sydney Taipei Tallinn Tokyo Toronto Tunis
        Turin Utrecht Valencia Vancouver Venice Vienna Vilnius Warsaw York Zagreb Zurich""".split(),
        *_invented_names(1500, 13),
    ]
)
COLOURS = _listed(
    """red blue green yellow orange purple pink brown black white grey violet turquoise beige gold silver crimson indigo teal navy
    olive maroon cyan magenta amber ivory lilac coral scarlet mint bronze khaki plum ruby emerald sapphire charcoal cream peach rust"""
)
ANIMALS = _listed(
    """dog cat horse cow sheep goat pig duck goose hen rabbit fox wolf bear lion tiger deer mouse rat bat owl eagle hawk crow swan
    whale shark seal crab frog toad snake lizard turtle snail bee ant wasp moth spider otter badger hedgehog squirrel beaver camel
    donkey llama zebra giraffe elephant monkey parrot pigeon penguin dolphin salmon trout hamster falcon heron lynx panda koala"""
)
FOODS = _listed(
    """apple pear plum cherry lemon lime mango melon grape banana peach bread butter cheese rice soup salad pasta pizza noodle bean
    pea carrot onion garlic potato tomato pepper mushroom egg honey sugar salt tea coffee milk juice water cake pie cookie waffle
    pancake yoghurt chocolate muffin dumpling curry stew omelette risotto olive almond walnut hazelnut raspberry spinach cabbage"""
)
OBJECTS = _listed(
    """lamp table chair desk door window clock watch mirror carpet pillow blanket candle bottle cup plate bowl spoon fork knife pan
    kettle bag box basket bucket rope ladder hammer saw nail screw brush broom ticket letter book pen pencil paper card map flag
    coin key lock phone radio camera drum guitar piano violin flute bell ball kite bicycle car bus train boat ship plane engine
    wheel bridge tower house garden fence wall roof stone brick glove hat coat shirt shoe sock scarf ring button ribbon needle
    thread cloth umbrella tent torch battery cable screen keyboard printer router server robot sensor valve pump pipe tank crate
    parcel badge medal poster puzzle lantern telescope compass anchor shovel barrel magnet whistle envelope notebook wallet"""
)
PLACES = _listed(
    """kitchen garage attic cellar office library museum station harbour market school hospital park forest river lake island beach
    mountain valley desert village street square bakery cafe hotel theatre studio workshop factory farm barn castle temple tunnel
    airport bank gallery stadium warehouse greenhouse lighthouse courtyard balcony meadow canyon"""
)
ADJECTIVES = _listed(
    """big small old new red blue warm cold quiet loud bright dark heavy light round square soft hard quick slow clean dirty happy sad
    brave shy clever lazy gentle proud calm busy empty full dry wet sweet sour sharp smooth rough thin thick tall short young early
    late strange plain rare common golden wooden narrow broad hidden broken gleaming curious patient humble stormy silent"""
)
VERBS = _listed(
    """carries holds finds loses opens closes paints cleans builds breaks moves lifts drops pushes pulls watches hears likes wants
    buys sells keeps hides brings takes draws follows leaves meets visits washes repairs counts borrows returns throws catches
    wraps stores shakes turns mends sorts delivers"""
)
JOBS = _listed(
    """baker teacher nurse doctor farmer painter writer singer pilot sailor driver cook judge lawyer gardener plumber carpenter
    engineer chemist dentist tailor potter librarian journalist photographer electrician mechanic architect musician fisher
    astronomer translator designer firefighter beekeeper blacksmith shepherd clockmaker"""
)
CHARACTERS = _listed(
    """pirate wizard robot knight dragon detective ghost king queen poet chef gardener sailor butler librarian astronaut giant elf
    dwarf monk ranger merchant captain professor witch hermit clown bard inventor explorer baker shepherd owl fox cat blacksmith"""
)
HOBBIES = _listed(
    """chess tennis swimming painting hiking sailing reading cooking dancing fishing knitting singing running cycling gardening
    pottery archery climbing skating football basketball photography astronomy surfing fencing rowing yoga origami juggling"""
)
MONTHS = tuple("January February March April May June July August September October November December".split())
DAYS = tuple("Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split())

INVENTED = Words.split(_lexicon(12000, 17, 1, 3))
NOUNS = Words(
    OBJECTS.train + ANIMALS.train + FOODS.train + PLACES.train, OBJECTS.held + ANIMALS.held + FOODS.held + PLACES.held
)
REAL = Words(
    NOUNS.train + ADJECTIVES.train + VERBS.train + COLOURS.train + JOBS.train + HOBBIES.train,
    NOUNS.held + ADJECTIVES.held + VERBS.held + COLOURS.held + JOBS.held + HOBBIES.held,
)


def word(rng: random.Random, held: bool) -> str:
    """A real word or an invented one, half and half; an evaluation word has never been seen."""
    return (REAL if rng.random() < 0.5 else INVENTED).pick(rng, held)


def full_name(rng: random.Random, held: bool) -> str:
    return f"{FIRST_NAMES.pick(rng, held)} {INVENTED.pick(rng, held).capitalize()}"


def number(rng: random.Random, held: bool, low: int, high: int) -> int:
    """Training never sees a number of two or more digits whose text is held."""
    while True:
        n = rng.randint(low, high)
        if n < 10 or high - low < 40 or is_held(f"n{n}") == held:
            return n


def sentence(rng: random.Random, held: bool) -> str:
    noun = NOUNS.pick(rng, held)
    kind = rng.random()
    if kind < 0.35:
        return f"the {ADJECTIVES.pick(rng, False)} {noun} {VERBS.pick(rng, False)} the {word(rng, held)}"
    if kind < 0.6:
        return f"{FIRST_NAMES.pick(rng, held)} {VERBS.pick(rng, False)} a {ADJECTIVES.pick(rng, False)} {noun}"
    if kind < 0.8:
        return f"{FIRST_NAMES.pick(rng, held)} and {FIRST_NAMES.pick(rng, held)} live in {CITIES.pick(rng, held)}"
    return f"there is a {noun} in the {PLACES.pick(rng, False)} near the {word(rng, held)}"
