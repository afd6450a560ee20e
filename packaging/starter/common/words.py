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


@dataclass(frozen=True)
class Coined(Words):
    """Training draws fresh ones without end; the evaluation keeps its list."""

    ending: bool = False  # whether they end and begin as names do
    fresh: float = 1.0  # how often training leaves its list

    def pick(self, rng: random.Random, held: bool) -> str:
        if held or rng.random() >= self.fresh:
            return super().pick(rng, held)
        return coined_name(rng) if self.ending else coined(rng)


@dataclass(frozen=True)
class Loose(Words):
    """A list that training leaves now and then for any other word, so that the list itself cannot be learnt by heart."""

    def pick(self, rng: random.Random, held: bool) -> str:
        if held or rng.random() < 0.5:
            return super().pick(rng, held)
        return REAL.pick(rng, False) if rng.random() < 0.4 else coined(rng)

    @classmethod
    def of(cls, words: Words) -> Loose:
        return cls(words.train, words.held)


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


def _coined(words: list[str], ending: bool, fresh: float) -> Coined:
    split = Words.split(words)
    return Coined(split.train, split.held, ending, fresh)


FIRST_NAMES = _coined(
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
    ],
    True,
    0.7,
)
CITIES = _coined(
    [
        *"""Amsterdam Athens Auckland Austin Bangkok Barcelona Basel Beijing Berlin Bern Bogota Bonn Boston Bremen
        Brussels Budapest Cairo Chicago Cologne Copenhagen Dakar Dallas Delhi Denver Dhaka Dresden Dubai Dublin
        Edinburgh Florence Geneva Genoa Ghent Hamburg Hanoi Havana Helsinki Istanbul Jakarta Kyiv Kyoto Lagos Leeds
        Lima Lisbon Liverpool London Lyon Madrid Malaga Manila Marseille Melbourne Miami Milan Montreal Moscow Mumbai
        Munich Nairobi Naples Nice Osaka Oslo Ottawa Oxford Palermo Paris Perth Porto Prague Quito Riga Rome Rotterdam
        Santiago Seattle Seoul Seville Shanghai Singapore Sofia Stockholm Sydney Taipei Tallinn Tokyo Toronto Tunis
        Turin Utrecht Valencia Vancouver Venice Vienna Vilnius Warsaw York Zagreb Zurich""".split(),
        *_invented_names(1500, 13),
    ],
    True,
    0.6,
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

COMMON = _listed(
    """able about above accept account across act active add advice affair afraid after again age agree ahead aim air alarm album alert
    alone along also always amount ancient anger angle announce answer any appear approach area argue arm army arrange arrive art artist
    ask attack attempt attend aunt author autumn average avoid award away baby back bad badly balance band bar base basic bath battle
    beat beautiful become bed before begin behave behind believe belong below belt bend beside best better between beyond bill bird
    birth bit bite blame blind block blood blow board body bone book border boring boss both bottom bow boy brain branch brand brief
    broad brother budget bug burn bury business but butterfly button by call calm camp can cancel captain care carry case cash catch
    cause century certain chain chance change chapter charge cheap check chest chief child choice choose church circle citizen claim
    class climb close cloud club coast cold collect college comb come comfort common company compare complain complete computer concern
    condition confirm connect consider contain content contest continue control cool corner correct cost cotton couple courage course
    court cousin cover create crime crisis cross crowd cry culture curtain curve custom cut cycle damage dance danger daughter dawn day
    dead deal death debate debt decade decide deep degree delay delight demand depend describe desert design desire destroy detail
    develop device devil diary die differ dig dinner direct disaster discover discuss disease distance divide double doubt down dozen
    dragon dream dress drink drive drum dust duty each eager early earn earth ease east easy edge education effect effort eight either
    election electric else embrace emerge employ end enemy energy engage enjoy enough enter entire equal error escape essay even evening
    event ever every evidence exact exam example excellent except exchange excite excuse exercise exist exit expect explain explore
    express extra extreme eye face fact fail fair faith fall false fame familiar family famous far fashion fast fat fate father favour
    fear feather feature feel fellow festival fever few field fight figure fill film final fine finger finish fire firm first fit fix
    flame flat flight float flood floor flow flower fly focus follow foot force foreign forget form former fortune forward four frame
    free freedom fresh friend front frost fruit fuel full fun fund funny future gain game gas gate gather general gentle giant gift
    girl give glad glass global goal good goods govern grain grand grass grave great greet ground group grow guard guess guest guide
    guilt habit hair half hall hand handle hang happen hard harm hate head health heart heat heaven height help hero hide high hill
    hint hire history hit hold hole holiday hollow honest honour hook hope host hotel hour huge human hundred hunger hunt hurry hurt
    husband ice idea ideal image imagine impact improve inch include income increase indeed industry inform injury inner insect inside
    insist inspire instead insure intend invent invest invite iron issue ivory jail jewel join joint joke journey joy judge jump junior
    jury just justice keen kick kid kill kind kingdom kiss knee knock knot know labour lack lady lake lamb land language large last
    laugh law layer lead leaf league lean learn least leather lecture left leg legal legend leisure length lesson level liberty lie
    life lift limit line link lip list listen little loan local logic lonely long look loose lord lose loss lot love low luck lunch
    machine mad magic main major make man manage manner march mark marry mass master match matter maximum maybe meal mean measure meat
    medal medicine melt member memory mental mention mercy merit message metal method middle mild mile military mill mind mine minor
    minute mirror miss mistake mix model modern moment money month mood moon moral morning mother motion motor mountain mouth movie
    much mud murder muscle music must mystery narrow nation native nature near neat neck need nephew nerve nest net never news next nice
    niece night nine noble noise none noon normal north nose note nothing notice novel now nowhere nurse nut oath obey object observe
    obtain ocean odd offer officer often oil once one only open opinion oppose option orange order origin other out outside oven over
    own owner oxygen pace pack page pain pair palace pale palm panic parent part partner party pass past path pattern pause pay peace
    peak people perfect perform perhaps period permit person phase phrase pick picture piece pile pity plain plan planet plant plastic
    play plenty plot plus pocket poem poet point poison polite pool poor pop popular possible post pot pound power praise pray prefer
    present president press pretty prevent price pride priest prince print prison private prize problem process produce profit progress
    promise proof proper protect prove public pull pupil pure purpose push quality quarter question queue race rail rain raise range
    rank rapid rate rather raw reach react ready real reason recall receive recent record reduce refer reform refuse regard region
    regret regular relate relax release relief rely remain remark remember remind remote remove rent repair repeat reply report rescue
    research resist resolve respect rest result reveal reward rhythm rich ride right rise risk rival road rock role roll romance root
    rose rough route royal rubber rule rumour rural rush sacred sacrifice saddle safe sail saint salary sample sand satisfy sauce save
    say scale scandal scene school science score scream season seat second secret section secure see seed seek seem select self senate
    send senior sense sentence series serious servant serve session settle seven severe shade shadow shame shape share she shell
    shelter shift shine shock shoot shop shore shoulder shout show shut sick side sight sign signal silence silk similar simple sin
    since sing single sink sister sit six size skill skin skirt sky sleep slice slide slip slope smart smell smile smoke snake social
    society soil soldier solid solve some somebody son song soon sorrow sort soul sound source south space spare speak special speech
    speed spell spend spirit split spoil sport spot spread spring spy staff stage stair stamp stand standard star start state statue
    stay steady steal steam steel steep stem step stick still stock stomach stop store storm story straight stranger stream strength
    stress stretch strict strike strong struggle student study style subject succeed success such sudden suffer suggest suit sum summer
    sun supper supply support suppose sure surface surprise surround survive suspect swear sweep swell swim swing switch sword symbol
    system tail talent talk target task taste tax team tear technique teeth temper ten tender term terrible territory text than thank
    that then theory there thick thief thing think third thirst this thousand threat three threshold through throw thunder tide tidy
    tie tight time tin tiny tip tired title toast together toll tone tongue tool tooth top topic total touch tough tourist toward trace
    track trade tradition traffic tragedy trail trap travel treasure treat treaty tree tremble trend trial tribe trick trip triumph
    troop trouble trousers true trust truth try tube tune twelve twenty twice twin two type ugly under uncle understand union unit
    universe until up upper upset urban use usual vacant vague vain valid value vapour variety vast vehicle veil venture verb verse very
    vessel victim victory video view violence virtue virus visible vision visit voice volume vote voyage wage wait wake walk wander war
    warn waste water wave way weak wealth weapon wear weather weave wedding week weigh weird welcome well west wheat when where which
    while whisper white who whole why wide wife wild will win wind wine wing winter wire wisdom wise wish witness woman wonder wood wool
    work world worry worth wound wrap write wrong year yellow yes yesterday yet yield young youth zero zone"""
)

_LETTERS = "aaabcddeeeeffgghhiiijkllmmnnnooopprrrsssttttuuvwxyyz"


_pieces: list[str] = []


def learn_pieces(pieces: list[str]) -> None:
    """From now on words are also coined from these: a tokenizer's pieces, each of which has to be spelled and copied."""
    _pieces[:] = [piece for piece in pieces if piece.isalpha() and piece.isascii() and len(piece) > 1]


def coined(rng: random.Random) -> str:
    """A word that nobody knows and the evaluation does not own: from syllables, from cut and spoilt words, from letters."""
    while True:
        roll = rng.random()
        if roll < 0.25 and _pieces:
            text = "".join(rng.choice(_pieces) for _ in range(2 if rng.random() < 0.8 else 3))
            text = text if rng.random() < 0.3 else text.lower()
        elif roll < 0.45:
            text = _invented(rng, 1, 3)
        elif roll < 0.62:
            left, right = rng.choice(_ALL), rng.choice(_ALL)
            text = left[: rng.randint(1, len(left))] + right[int(rng.random() * len(right)) :]
        elif roll < 0.82:
            text = rng.choice(_ALL)
            at = int(rng.random() * len(text))
            text = (
                text[:at]
                + rng.choice(("", *(rng.choice(_LETTERS) for _ in range(3))))
                + text[at + (rng.random() < 0.6) :]
            )
        elif roll < 0.9:
            text = rng.choice(_ALL) + rng.choice(_ENDS)
        else:
            text = "".join(rng.choice(_LETTERS) for _ in range(rng.randint(1, 9)))
        if 0 < len(text) < 18 and not is_held(text):
            return text


def coined_name(rng: random.Random) -> str:
    while True:
        text = (
            _invented(rng, 1, 2) + rng.choice(_NAME_ENDS)
            if rng.random() < 0.6
            else coined(rng) + (rng.choice(_NAME_ENDS) if rng.random() < 0.5 else "")
        )
        if 2 < len(text) < 15 and text.isalpha() and not is_held(text):
            return text.capitalize()


INVENTED = _coined(_lexicon(12000, 17, 1, 3), False, 0.9)
NOUNS = Words(
    OBJECTS.train + ANIMALS.train + FOODS.train + PLACES.train, OBJECTS.held + ANIMALS.held + FOODS.held + PLACES.held
)
REAL = Words.split(
    [word for words in (NOUNS, ADJECTIVES, VERBS, COLOURS, JOBS, HOBBIES, COMMON) for word in words.train + words.held]
)
_ALL = [word for word in REAL.train if word.isalpha()]
_ENDS = "s er ed ing ly ness ful less ment ion able y ish ist ity ize al ic ous est en like ship hood dom ward".split()


def word(rng: random.Random, held: bool) -> str:
    """A real word or an invented one, half and half; an evaluation word has never been seen."""
    return (REAL if rng.random() < 0.5 else INVENTED).pick(rng, held)


def noun(rng: random.Random, held: bool) -> str:
    """Training also takes invented words for things, so that their names teach nothing."""
    return INVENTED.pick(rng, held) if not held and rng.random() < 0.3 else NOUNS.pick(rng, held)


def full_name(rng: random.Random, held: bool) -> str:
    return f"{FIRST_NAMES.pick(rng, held)} {INVENTED.pick(rng, held).capitalize()}"


def number(rng: random.Random, held: bool, low: int, high: int) -> int:
    """Training never sees a number of two or more digits whose text is held."""
    while True:
        n = rng.randint(low, high)
        if n < 10 or high - low < 40 or is_held(f"n{n}") == held:
            return n


def sentence(rng: random.Random, held: bool) -> str:
    thing = noun(rng, held)
    kind = int(rng.random() * 14)
    if kind < 3:
        return f"the {ADJECTIVES.pick(rng, False)} {thing} {VERBS.pick(rng, False)} the {word(rng, held)}"
    if kind < 5:
        return f"{FIRST_NAMES.pick(rng, held)} {VERBS.pick(rng, False)} a {ADJECTIVES.pick(rng, False)} {thing}"
    if kind < 7:
        return f"{FIRST_NAMES.pick(rng, held)} and {FIRST_NAMES.pick(rng, held)} live in {CITIES.pick(rng, held)}"
    if kind == 7:
        return f"there is a {thing} in the {PLACES.pick(rng, False)} near the {word(rng, held)}"
    if kind == 8:
        return f"on {rng.choice(DAYS)} {FIRST_NAMES.pick(rng, held)} {VERBS.pick(rng, False)} {number(rng, held, 2, 999)} {thing}s"
    if kind == 9:
        return f"my {thing} was {ADJECTIVES.pick(rng, False)} and {COLOURS.pick(rng, False)}, but the {word(rng, held)} was {ADJECTIVES.pick(rng, False)}"
    if kind == 10:
        return f"we {COMMON.pick(rng, held)} the {thing} when {FIRST_NAMES.pick(rng, held)} {VERBS.pick(rng, False)} it"
    if kind == 11:
        return (
            f"nobody in {CITIES.pick(rng, held)} {VERBS.pick(rng, False)} the {thing} of {FIRST_NAMES.pick(rng, held)}"
        )
    if kind == 12:
        return f"{FIRST_NAMES.pick(rng, held)} the {JOBS.pick(rng, held)} has {number(rng, held, 2, 99)} {ADJECTIVES.pick(rng, False)} {thing}s"
    return " ".join(word(rng, held) for _ in range(rng.randint(3, 9)))
