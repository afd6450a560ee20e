"""Long texts with a few codes in them, and questions for one of those."""

# ruff: noqa: E501 - wordings read best one list a line

from __future__ import annotations

from ..common.words import INVENTED, noun, number, sentence
from .draft import Draft
from .sample import Exchange, Sample
from .wording import Asks

_NEEDLE = Asks(
    ["Please look up the code of the <n>.", "Can you find which code the <n> has?"],
    orders=("(find|tell me|give me|search for|say|name|write|extract|read out|get|locate|report|determine|fetch|spot) the (code|number|key) (of|for|that belongs to|given for) the <n>(| in the text| in this text| above| from the text)", "(search|read|go through|check|scan) the text and (give|tell|say|find)(| me) the code (of|for) the <n>", "(find|look for) the <n> and (say|give|tell me) its code"),
    things=("the code (of|for|that belongs to) the <n>(| in the text| above)", "the <n>'s code", "the code that the text (names|gives) for the <n>"),
    wonders=("(what|which) the code of the <n> is", "(what|which) code (belongs to|was given to|is given for|stands for|is that of) the <n>", "(what|which) code the <n> (was given|got|carries)"),
    wholes=("What (is|was) the code (of|for) the <n>(| in the text| in this text| above)?", "(Which|What) code (has|belongs to|goes with|is for|is that of|was given to|does the text give for|is named for) the <n>?", "The text (names|gives|mentions) a code for the <n>. (What|Which one) is it?", "(Which|What) code does the <n> have?", "Code of the <n>?", "The <n>: what is its code?", "(How|What) (is|does) the code of the <n>(| read| go)?"),
)  # fmt: skip
_CODED = ("The code of the <n> is <c>.", "The code of the <n> is <c>.", "The code of the <n> is <c>.", "The <n> has the code <c>.", "The code for the <n> is <c>.", "<c> is the code of the <n>.", "Remember the code of the <n>: <c>.", "The code of the <n> was <c>.")  # fmt: skip


def haystack(draft: Draft, sentences: int) -> Sample:
    """A long text with a few codes in it, and the question for one of them."""
    rng, held = draft.rng, draft.held
    lines = [f"{line[:1].upper()}{line[1:]}." for line in (sentence(rng, held) for _ in range(sentences))]
    codes: dict[str, str] = {}
    for _ in range(rng.randint(1, 4 if held else 6)):
        codes[noun(rng, held)] = str(number(rng, held, 100, 99999)) if rng.random() < 0.7 else INVENTED.pick(rng, held)
    for thing, code in codes.items():
        told = _CODED[0] if held else rng.choice(_CODED)
        lines.insert(rng.randint(0, len(lines)), told.replace("<n>", thing).replace("<c>", code))

    def asked(thing: str) -> Exchange:
        return Exchange(
            "long context",
            _NEEDLE.pick(rng, held).replace("<n>", thing),
            f"The code of the {thing} is {codes[thing]}.",
            f"The text says: {thing}, {codes[thing]}.",
            ("contains", (codes[thing],)),
        )

    exchange = asked(rng.choice(list(codes)))
    text = (" " if rng.random() < 0.7 else "\n").join(lines)
    exchange.user = f"{text}\n\n{exchange.user}" if rng.random() < 0.7 else f"{exchange.user}\n\n{text}"
    draft.turn(exchange)
    if not held:
        for _ in range(rng.choice((0, 1, 2, 3, 4))):
            draft.turn(asked(rng.choice(list(codes))))
    return draft.done("long context")
