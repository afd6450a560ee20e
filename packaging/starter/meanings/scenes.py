"""Small scenes of daily life: who does what to what, where and when, each part in any of the words that mean the same."""

# ruff: noqa: E501 - synonyms read best one list a line

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from ..common.words import is_held

Concept = tuple[str, ...]


def _concepts(text: str) -> tuple[Concept, ...]:
    """Concepts are separated by semicolons, the words for one by commas."""
    return tuple(tuple(word.strip() for word in part.split(",")) for part in text.split(";") if part.strip())


WHO = _concepts(
    """child, kid, youngster; man, gentleman, fellow, guy; woman, lady, female person; doctor, physician, medic; teacher, instructor, schoolmaster; police officer, policeman, cop;
    thief, burglar, robber; soldier, trooper, warrior; boss, chief, head of the company; friend, pal, buddy; baby, infant, toddler; student, pupil, schoolchild;
    writer, author, novelist; lawyer, attorney; shopkeeper, merchant, seller, trader; guest, visitor; farmer, grower; driver, chauffeur, person at the wheel; chef, cook;
    singer, vocalist; neighbour, person next door; tourist, traveller, holidaymaker; employee, worker, member of staff; customer, client, buyer, shopper; sailor, seaman;
    dog, hound, puppy; cat, kitten, tomcat; rabbit, bunny, hare; pig, hog; horse, stallion, pony; king, monarch, ruler; actor, performer on stage; priest, clergyman;
    grandmother, grandma, granny; grandfather, grandpa, grandad; mother, mum; father, dad; bride, newly married woman; nurse, carer; mechanic, car repairman; builder, bricklayer;
    scientist, researcher; programmer, software developer, coder; painter, artist; athlete, sportsman; hunter, person with a rifle; judge, magistrate; enemy, foe, opponent; fool, idiot;
    wizard, sorcerer, magician; pirate, sea robber; bird, feathered animal; monkey, ape; gardener, person who tends plants; clown, jester;
    team, squad; crowd, group of people, mass of people; guard, watchman, sentry; owner, proprietor; expert, specialist; beginner, newcomer, novice; journalist, reporter; postman, letter carrier; waiter, server at table;
    pilot, aviator; author of the report, reporter who wrote it; son, boy of the family; daughter, girl of the family; husband, married man; wife, married woman; winner, champion; bird of prey, hawk; mouse, small rodent"""
)
WHAT = _concepts(
    """car, automobile, motor car; bicycle, bike, two-wheeler; boat, ship, vessel; plane, aircraft, airplane; house, home, dwelling; stone, rock, boulder; present, gift; picture, image, photograph;
    film, movie; letter, written message, note; sofa, couch, settee; bag, sack; rubbish, trash, garbage; money, cash; lorry, truck; computer, PC; telephone, phone; rope, cord; book, volume, novel;
    hat, cap; coat, jacket; shoe, boot; cup, mug; bread, loaf; cake, pastry; meal, dinner, supper; apple, red fruit; chair, seat, stool; table, desk; bed, place to sleep; door, entrance; window, pane of glass;
    wall, brickwork; fence, barrier; tool, instrument; hammer, tool for nails; knife, blade; newspaper, daily paper; map, chart; jewel, gem, precious stone; ring, band of gold; sword, sabre; carpet, rug;
    lamp, light; candle, wax light; television, TV set; clock, timepiece; fire, flames; flower, blossom; tree, plant with a trunk; ball, round toy; toy, plaything; medicine, drug; wine, drink made of grapes;
    song, tune, melody; ticket, entry card; suitcase, luggage, trunk; umbrella, thing against the rain; mirror, looking glass; key, thing that opens the lock;
    program, app, piece of software; file, document; company, firm, business; shop, store; dress, gown; trousers, pair of pants; glasses, spectacles; engine, motor; road, street; garden, yard; movie theatre, cinema; flat, apartment;
    vegetable soup, broth; potato, spud; sweets, candy; steak, piece of beef; parcel, package; battery, power cell; screen, display, monitor; printer, printing machine; password, secret word; report, written account; plan, scheme; guitar, six-stringed instrument"""
)
# Past tense and participle; a word that is both stands once.
DID = _concepts(
    """bought, purchased, acquired; fixed, repaired, mended; smashed, shattered, broke/broken; found, discovered, came upon/come upon; lost, misplaced; stole/stolen, robbed, took away/taken away; hid/hidden, concealed;
    threw/thrown, tossed, hurled; carried, transported, bore/borne; watched, observed, looked at; cleaned, washed, scrubbed; painted, coloured, put paint on; sold, gave away for money/given away for money; cut, chopped, sliced;
    pulled, dragged, tugged; pushed, shoved; built, constructed, put up; closed, shut; opened, unlocked; chose/chosen, selected, picked; liked, loved, enjoyed; wanted, desired, wished for; touched, laid a hand on;
    lifted, raised, picked up; drew/drawn, sketched; burnt, set on fire; sent, mailed, posted; described, gave an account of/given an account of; forgot/forgotten, did not remember/not remembered; guarded, protected, defended;
    borrowed, took for a while/taken for a while; showed/shown, presented, displayed; dropped, let fall; wrapped, packed;
    ate/eaten, consumed, devoured; prepared, got ready; asked for, requested; rescued, saved; hit, struck; kept, held on to; ordered, sent for; tested, tried out; checked, examined, inspected; started, switched on, turned on; stopped, switched off, turned off;
    filled, made full; emptied, made empty; shared, divided among friends; praised, spoke well of/spoken well of; hated, disliked, could not stand/not tolerated; counted, added up; covered, put a cloth over; followed, went after/gone after; ruined, destroyed, wrecked; improved, made better"""
)
DOING = _concepts(
    """sleeping, dozing, taking a nap; running, jogging, sprinting; eating, having a meal, dining; singing, performing a song; crying, weeping, shedding tears; laughing, giggling, chuckling; swimming, moving through the water;
    talking, chatting, having a conversation; shouting, yelling, screaming; working, doing a job, labouring; walking, strolling, going on foot; jumping, leaping, hopping; reading, looking into a book, studying a text; dancing, moving to the music;
    driving, steering a car; cooking, preparing food, making a meal; hiding, keeping out of sight; resting, relaxing, taking a break; falling, tumbling down; climbing, going up; waiting, staying until someone comes;
    fighting, battling, struggling; smiling, making a happy face; drinking, having something to drink; playing, having fun with a game; writing, putting words on paper; shopping, buying things; cleaning, washing up, tidying up; fishing, catching fish;
    praying, speaking to God; travelling, being on a journey; getting married, having a wedding; painting, making a picture; learning, studying, taking in new things; flying, moving through the air; shivering, trembling with cold;
    arguing, quarrelling, having a dispute; complaining, grumbling; thinking, reflecting, turning something over in the mind; listening, paying attention; lying, telling an untruth; dying, passing away; leaving, going away, departing; arriving, turning up, coming in; strumming the guitar, playing the guitar;
    drawing, making a sketch; teaching, giving a lesson; begging, asking for money; voting, casting a ballot; gambling, playing for money; sweating, perspiring; yawning, opening the mouth wide; knitting, making a scarf; camping, sleeping in a tent; gossiping, talking about others; celebrating, having a party"""
)
HOW = _concepts(
    """big, large, huge; small, little, tiny; quick, fast, rapid; happy, glad, joyful, cheerful; sad, unhappy, sorrowful; old, aged, elderly; pretty, beautiful, lovely; angry, furious, mad; tired, exhausted, worn out; rich, wealthy, well off;
    clever, smart, intelligent; silent, quiet, still; loud, noisy; hungry, starving; afraid, scared, frightened; strange, odd, weird, peculiar; sick, ill, unwell; brave, courageous, fearless; lazy, idle; famous, well-known, celebrated;
    polite, well-mannered; dirty, filthy, unclean; thin, slim, slender; fat, overweight; strong, powerful, mighty; weak, feeble; young, not yet grown; lonely, without company; poor, penniless; friendly, kind, nice; nervous, anxious, worried; generous, giving; cruel, mean, unkind; busy, with much to do; calm, relaxed, at ease; tall, of great height; short, of small height; surprised, astonished, amazed; proud, full of pride; bored, fed up"""
)
QUALITY = _concepts(
    """big, large, huge; small, little, tiny; old, ancient; new, modern, brand-new; expensive, costly, dear; cheap, inexpensive, low-priced; broken, damaged, defective; heavy, weighty; beautiful, lovely, pretty; strange, odd, weird; shiny, gleaming, polished;
    dirty, filthy, unclean; red, scarlet, crimson; dark, unlit; wet, soaked, damp; empty, with nothing inside; hot, very warm; cold, chilly, icy; soft, fluffy; sharp, pointed; wooden, made of wood; round, circular; famous, well-known; useless, worthless"""
)
WHERE = _concepts(
    """in the forest, in the woods, among the trees; at the seaside, on the beach, on the shore; in the street, on the road; in the shop, in the store; at the lake, by the pond; on the mountain, up on the hill; in the garden, in the yard, behind the house; in the city, in town;
    in the meadow, on the grass, in the field; in the kitchen, at the stove; at school, in the classroom; by the river, at the stream; at the airport, where the planes land; at the station, where the trains stop; in the office, at the workplace; in the hospital, in the clinic;
    in the restaurant, in the diner; in the park, on the lawn of the park; at the market, among the stalls; in the cellar, in the basement; under the roof, in the attic; on the ship, on board; at home, in the house; in the church, in front of the altar; on the farm, between the barns;
    in the theatre, on the stage; in the library, among the books; in prison, behind bars; in the desert, in the hot sand; in the bathroom, in the shower; at the bank, at the counter of the bank; at the doctor, in the surgery; in the snow, on white ground; in the rain, in wet weather; at the party, at the feast; in the bus, on public transport; at the border, at the frontier"""
)
WHEN = _concepts(
    """in the morning, at dawn, early in the day; at night, after dark, when it was dark; in winter, in the cold season; in summer, in the hot season; in the evening, at dusk; yesterday, one day ago; last week, seven days ago; at noon, in the middle of the day;
    at the weekend, on Saturday and Sunday; long ago, many years back; during the storm, while the storm raged; before dinner, before the meal; on a holiday, on a day off; after work, when work was over; in spring, when the flowers come out; in autumn, when the leaves fall; last month, some weeks ago; during the war, while the war went on; on a birthday, at a birthday party; all day, from morning till night"""
)


_LISTS = {
    "how": HOW,
    "who": WHO,
    "did": DID,
    "quality": QUALITY,
    "what": WHAT,
    "doing": DOING,
    "where": WHERE,
    "when": WHEN,
}


@dataclass(frozen=True)
class Scene:
    """Indices into the lists; -1 is a part that is not told."""

    how: int
    who: int
    did: int
    quality: int
    what: int
    doing: int
    where: int
    when: int

    @property
    def key(self) -> str:
        return "scene " + " ".join(
            map(str, (self.how, self.who, self.did, self.quality, self.what, self.doing, self.where, self.when))
        )

    @property
    def held(self) -> bool:
        """What belongs to the evaluation: one in twelve combinations of who does what."""
        return is_held(f"scene {self.who} {self.did} {self.what} {self.doing}")


def _one(rng: random.Random, concepts: tuple[Concept, ...], share: float = 1.0) -> int:
    return rng.randrange(len(concepts)) if rng.random() < share else -1


def scene(rng: random.Random, held: bool) -> Scene:
    while True:
        acts = rng.random() < 0.6
        found = Scene(
            _one(rng, HOW, 0.45),
            _one(rng, WHO),
            _one(rng, DID) if acts else -1,
            _one(rng, QUALITY, 0.4) if acts else -1,
            _one(rng, WHAT) if acts else -1,
            -1 if acts else _one(rng, DOING),
            _one(rng, WHERE, 0.5 if acts else 0.75),
            _one(rng, WHEN, 0.3),
        )
        if found.held == held:
            return found


def changed(rng: random.Random, of: Scene, held: bool, among: tuple[str, ...] = tuple(_LISTS), parts: int = 1) -> Scene:
    """Another scene that differs in so many of the told parts `among` these."""
    told = [part for part in among if getattr(of, part) >= 0]
    while True:
        values = {part: _one(rng, _LISTS[part]) for part in rng.sample(told, min(parts, len(told)))}
        other = replace(of, **values)
        if other != of and other.held == held:
            return other


def _word(rng: random.Random, concepts: tuple[Concept, ...], at: int, participle: bool = False) -> str:
    words = concepts[at]
    past, _, part = words[int(rng.random() * len(words))].partition("/")
    return part if participle and part else past


def _thing(rng: random.Random, noun: str, adjective: str, article: str) -> str:
    if article == "a":
        article = "an" if (adjective or noun)[0] in "aeiou" else "a"
    long = adjective.startswith(("with ", "made ", "without ", "not yet "))
    if adjective and long:
        return f"{article if not adjective.startswith('an ') else 'a'} {noun} {adjective}"
    return f"{article} {adjective} {noun}" if adjective else f"{article} {noun}"


def _parts(rng: random.Random, of: Scene) -> dict[str, str]:
    article = "the" if rng.random() < 0.6 else "a"
    who = _thing(rng, _word(rng, WHO, of.who), _word(rng, HOW, of.how) if of.how >= 0 else "", article)
    what = ""
    if of.what >= 0:
        quality = _word(rng, QUALITY, of.quality) if of.quality >= 0 else ""
        what = _thing(rng, _word(rng, WHAT, of.what), quality, "the" if rng.random() < 0.6 else "a")
    return {
        "who": who,
        "what": what,
        "where": _word(rng, WHERE, of.where) if of.where >= 0 else "",
        "when": _word(rng, WHEN, of.when) if of.when >= 0 else "",
    }


_ACTIVE = (
    "{who} {did} {what} {where} {when}",
    "{when} {who} {did} {what} {where}",
    "{where} {who} {did} {what} {when}",
)
_PASSIVE = ("{what} was {done} by {who} {where} {when}", "{when} {what} was {done} by {who} {where}")
_ACTS_HELD = ("it was {who} who {did} {what} {where} {when}", "{where} {what} was {done} {when} by {who}")
_DOES = (
    "{who} is {doing} {where} {when}",
    "{when} {who} was {doing} {where}",
    "{where} {who} is {doing} {when}",
    "there is {who} {doing} {where} {when}",
    "one sees {who} {doing} {where} {when}",
)
_DOES_HELD = ("{who} can be seen {doing} {where} {when}", "it is {who} who is {doing} {where} {when}")


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text[:1].upper() + text[1:]


def tell(rng: random.Random, of: Scene, held: bool) -> str:
    parts = _parts(rng, of)
    if of.did >= 0:
        forms = _ACTS_HELD if held else _ACTIVE if rng.random() < 0.6 else _PASSIVE
        parts["did"], parts["done"] = _word(rng, DID, of.did), _word(rng, DID, of.did, True)
    else:
        forms = _DOES_HELD if held else _DOES
        parts["doing"] = _word(rng, DOING, of.doing)
    return _sentence(rng.choice(forms).format(**parts)) + "."


_NOT_WHO = ("did", "quality", "what", "doing", "where", "when")
_NOT_WHAT = ("how", "who", "did", "where", "when")
_NOT_DOING = ("how", "who", "where", "when")


def question(rng: random.Random, of: Scene, held: bool) -> tuple[str, tuple[str, ...]]:
    """A question about one part, and the parts that it names: a scene that differs in one of those is no answer."""
    parts = _parts(rng, of)
    if of.did >= 0:
        if rng.random() < 0.5:
            heads = ("Tell me who", "By whom was it: who") if held else ("Who", "Which person", "Does anybody know who")
            text = f"{rng.choice(heads)} {_word(rng, DID, of.did)} {parts['what']} {parts['where']} {parts['when']}"
            return _sentence(text) + "?", _NOT_WHO
        heads = ("Which thing was", "Tell me what was") if held else ("What was", "What has been")
        text = f"{rng.choice(heads)} {_word(rng, DID, of.did, True)} by {parts['who']} {parts['where']} {parts['when']}"
        return _sentence(text) + "?", _NOT_WHAT
    if rng.random() < 0.5 and of.where >= 0:
        heads = ("Tell me who is", "Which one is") if held else ("Who is", "Is there anybody", "Whom do we see")
        text = f"{rng.choice(heads)} {_word(rng, DOING, of.doing)} {parts['where']} {parts['when']}"
        return _sentence(text) + "?", _NOT_WHO
    heads = (
        ("Tell me what {} is up to", "How does {} spend the time") if held else ("What is {} doing", "What does {} do")
    )
    text = rng.choice(heads).format(parts["who"]) + f" {parts['where']} {parts['when']}"
    return _sentence(text) + "?", _NOT_DOING


def asked_key(of: Scene, parts: tuple[str, ...]) -> str:
    return "scene asked " + " ".join(f"{part} {getattr(of, part)}" for part in parts)
