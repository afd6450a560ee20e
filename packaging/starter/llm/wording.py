"""How people ask for something: frames around an order, a thing or an indirect question; manners, haste and typos."""

# ruff: noqa: E501 - wordings read best one list a line

from __future__ import annotations

import random
import re

from ..common.phrases import Phrases, expand

# <o> is an order ("count the words"), <t> a thing ("the number of words"), <w> an indirect question ("how many words there are").
_ORDERS = (
    "<o>", "<o>", "<o>", "(Please|please|Kindly|Now|Next,|OK, now|Just|Simply|Quickly|Then|Well,|Go on and|Also,|And now|First,|Come on,) <o>", "<o>(, please| please| for me| now|, thanks| if you can| once| quickly)", "(Can|Could|Would|Will) you (|please |kindly |quickly |now |just )<o>(|, please| for me)?",
    "I (want|need|ask|expect|told|order|beg) you to <o>", "I (would|'d) (like|love|want) you to <o>", "I (wish|hope) you (would|can|could|will) <o>", "You (should|must|can|could|may|have to|need to|will) (now |please |)<o>", "(Your|The|My|The next|Another) (task|job|turn|work|duty|mission)(: | is to | is: |: please )<o>",
    "(Try|Remember|Be sure|Be ready|Feel free|Take a moment) to <o>", "(Do|Would you do) me a favour(: | and )<o>", "Be so (kind|good) (and|as to) <o>", "(It would be|That would be|It is) (great|good|kind|lovely|helpful) if you (could |can |would |)<o>", "(Are you able|Is it possible for you|Do you manage|Do you know how) to <o>?",
    "(How about you|Why don't you|What if you) <o>?", "(Let me see you|Show me how you|I would be glad to see you|Let's see you) <o>", "(May|Can|Could) I ask you to <o>?", "(Help me and|Be quick and|Be nice and|Go ahead and|Hurry up and|Start now and) <o>", "(Hello|Hi|Hey|Good morning|Listen|OK|Right|So|Starter|Dear model)(, |! |: )(please |could you |can you |would you |I want you to |)<o>",
    "(Instruction|Request|Order|Command|Exercise|To do|My request|My wish|One more thing|Here is a task|I have a task for you): (please |)<o>", "(Would|Do) you mind if I ask you to <o>?", "(What I want|What I need|All I want|All I ask)(: | is that you )<o>", "(We|They|My boss) (want|need|wants|needs) you to <o>",
)  # fmt: skip
_THINGS = (
    "(What is|What's|What was|Which is) <t>?", "(Give|Tell|Show|Write|Send|Get|Find|Name|Bring|Hand) (me|us) <t>", "(Please |Now |Just |Kindly |)(give|tell|show|write|send|get|find) (me|us) <t>(|, please|, thanks| now)", "(I|We) (want|need|require|wish for|ask for|miss) <t>(| now|, please)", "(I|We) (would|'d) (like|love|like to have|like to get|like to see|like to know) <t>",
    "(Can|Could|Would|Will) you (|please |kindly |just )(give|tell|show|name|find|send|get) (me|us) <t>(|, please)?", "(Can|Could|May) (I|we) (have|get|see|ask for|hear|know) <t>(|, please)?", "(Do you|Would you) (know|have|see) <t>?", "<t>(|?|, please|, please.|!)", "(Say|State|Name|Report|Return|Print|Find|Determine|Give|Output|Write|Tell) <t>", "Let me (have|see|know|hear) <t>",
    "(I am|I'm|We are) (looking for|interested in|asking for|after|waiting for) <t>", "(What would be|What do you think is|And what is|So what is|Now what is|OK, what is|Hey, what is|Hello, what is|Please, what is) <t>?", "(I wonder about|My question is about|I have to know|I must know|It is about) <t>", "(I want|I need|I'd like|I would like|I have|I try) to (know|hear|see|find|learn|have) <t>", "(Answer with|Reply with|Respond with|Write down|Read out|Come up with|Look up|Find out|Work out) <t>",
    "(Wanted|Needed|Asked for|Question|Looking for): <t>",
)  # fmt: skip
_WONDERS = (
    "(Tell|Show|Write) me <w>", "(Please |Now |Just |Kindly |)(tell|show) (me|us) <w>(|, please|, thanks)", "(Can|Could|Would|Will) you (|please |kindly |just |maybe )(tell|show) (me|us) <w>(|, please)?", "(Can|Could) you (say|see|find out|guess|work out) <w>?", "(Do|Would|Did) you (know|see|remember|notice) <w>?", "(I|We) (want|need|would like|have|'d like|wish|must|'d love) to (know|hear|learn|see|find out) <w>",
    "I (wonder|am wondering|ask myself|forgot|do not know|don't know|cannot see|have no idea|am not sure) <w>", "(Say|Find out|Let me know|Let us know|Guess|Work out|Check|Look|See|Determine) <w>", "(Any idea|Question:|My question is|I am curious|What I want to know is|Who knows|I am asking) <w>(|?)", "(Hi|Hello|Hey|OK|So), (tell me|do you know|I want to know|I'd like to know) <w>",
)  # fmt: skip
_OPENINGS = (
    "Hi, ", "Hello, ", "Please: ", "OK, ", "One question: ", "And ", "Quick question: ", "Hey, ", "Now ", "So, ", "Tell me: ", "Another question: ", "Well, ", "Right, ", "Good. ", "Thanks. ", "Great! ", "Hi there. ", "Fine, ", "One more: ", "Excuse me, ", "Sorry, ", "Question: ", "Next: ", "By the way, ", "Hmm, ", "Listen: ", "Dear starter, ", "Um, ", "Good morning. ", "I see. ",
)  # fmt: skip
_ENDINGS = (
    " Thanks.", " Please.", " Thank you!", " I am new here.", " Please be brief.", " Be quick.", " It is urgent.", " I forgot.", " Thanks a lot.", " Can you help?", " I need it now.", " Many thanks in advance.", " That is all.", " Take your time.", " I am curious.", " Help!",
)  # fmt: skip
_SLOT = re.compile(r"(<[a-z]+>)")


def _raised(text: str) -> str:
    return text[:1].upper() + text[1:]


class Asks(Phrases):
    """Wordings to train on are put together: an order, a thing or an indirect question in one of its frames, or a whole."""

    def __init__(
        self,
        held: list[str],
        orders: tuple[str, ...] = (),
        things: tuple[str, ...] = (),
        wonders: tuple[str, ...] = (),
        wholes: tuple[str, ...] = (),
        share: tuple[int, int, int, int] = (4, 3, 3, 4),
    ) -> None:
        super().__init__([*orders, *things, *wonders, *wholes], held)
        kinds = (
            (_ORDERS, "<o>", orders),
            (_THINGS, "<t>", things),
            (_WONDERS, "<w>", wonders),
            (("<q>",), "<q>", wholes),
        )
        self._kinds = [kind for kind, weight in zip(kinds, share, strict=True) for _ in range(weight) if kind[2]]

    def write(self, rng: random.Random) -> str:
        frames, mark, patterns = self._kinds[int(rng.random() * len(self._kinds))]
        said = expand(rng, patterns[int(rng.random() * len(patterns))])
        frame = expand(rng, frames[int(rng.random() * len(frames))]).replace(" 'd ", "'d ")
        # A full stop of the pattern's own would stand inside the frame.
        text = frame.replace(mark, said if frame == mark else said.rstrip(".?"))
        return roughened(rng, _raised(text))


def _swapped(rng: random.Random, text: str) -> str:
    """One typo outside of slots."""
    parts = _SLOT.split(text)
    i = rng.randrange(0, len(parts), 2)
    part = parts[i]
    if len(part) > 8:
        at = rng.randrange(1, len(part) - 2)
        if part[at].isalpha() and part[at + 1].isalpha():
            roll = rng.random()
            if roll < 0.5:
                part = part[:at] + part[at + 1] + part[at] + part[at + 2 :]
            else:
                part = part[:at] + (part[at] * 2 if roll < 0.7 else "") + part[at + 1 :]
    parts[i] = part
    return "".join(parts)


_SMALL = {"the", "a", "an", "do", "is", "of", "to", "my", "does", "me", "are", "I"}


def roughened(rng: random.Random, text: str) -> str:
    """People write in lower case, without marks, with typos."""
    roll = rng.random()
    if roll > 0.6:
        return text
    if roll < 0.14:
        text = text[:1].lower() + text[1:]
    elif roll < 0.2:
        text = text.lower()
    elif roll < 0.3:
        text = text.rstrip("?.!")
    elif roll < 0.4:
        text = text.rstrip("?.!") + rng.choice((".", "!", "?", ".", ""))
    elif roll < 0.48:
        text = _swapped(rng, text)
    elif roll < 0.52:
        words = text.split(" ")
        small = [i for i, word in enumerate(words) if word in _SMALL]
        if small and len(words) > 4:
            del words[rng.choice(small)]
        text = " ".join(words)
    elif roll < 0.57:
        text = rng.choice(_OPENINGS) + text[:1].lower() + text[1:]
    elif text.endswith((".", "?", "!")) and "<x>" not in text:
        text += rng.choice(_ENDINGS)
    return text


_AFTER = (": <x>", ": <x>", ": <x>", ":\n<x>", ":\n\n<x>", " - <x>", "\n<x>", " <x>", "; <x>", " → <x>", ". <x>", "? <x>", ". Here it is: <x>", ". The text: <x>", ". Text: <x>", ". It goes: <x>", ", it is this: <x>", ". It says: <x>")  # fmt: skip
_BEFORE = ("<x>\n", "<x>\n\n", "<x> - ", "Text: <x>\n", "Here is a text: <x>\n", "This is the text: <x>. ", "I have this: <x>. ", "<x>: ", "Given <x>, ", "Look at this: <x>\n", "Take <x>. ", "Input: <x>\n")  # fmt: skip


def with_text(rng: random.Random, wording: str) -> str:
    """The wording with a slot <x>, put behind or before it where it has none."""
    if "<x>" in wording:
        return wording
    if rng.random() < 0.8:
        after = "? <x>" if wording.endswith("?") and rng.random() < 0.4 else rng.choice(_AFTER)
        body = wording.rstrip(".!:") if not wording.endswith("?") or after[0] not in ":\n -" else wording
        return (body.rstrip("?") if after[0] in "?.;," else body) + after
    before = rng.choice(_BEFORE)
    return before + (wording if before.endswith(("\n", ". ")) else wording[:1].lower() + wording[1:])
