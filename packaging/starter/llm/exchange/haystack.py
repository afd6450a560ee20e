"""Long texts with a few codes in them, and questions for one of those."""

from __future__ import annotations

from ...common.words import INVENTED, noun, number, sentence
from ..draft import Draft
from ..sample import Exchange, Sample
from .wording import wordings

_DATA, ASKS = wordings("haystack")


def haystack(draft: Draft, sentences: int) -> Sample:
    """A long text with a few codes in it, and the question for one of them."""
    rng, held = draft.rng, draft.held
    lines = [f"{line[:1].upper()}{line[1:]}." for line in (sentence(rng, held) for _ in range(sentences))]
    codes: dict[str, str] = {}
    for _ in range(rng.randint(1, 4 if held else 6)):
        codes[noun(rng, held)] = str(number(rng, held, 100, 99999)) if rng.random() < 0.7 else INVENTED.pick(rng, held)
    for thing, code in codes.items():
        told = _DATA["told"][0] if held else rng.choice(_DATA["told"])
        lines.insert(rng.randint(0, len(lines)), told.replace("<n>", thing).replace("<c>", code))

    def asked(thing: str) -> Exchange:
        question, code = ASKS["code"].pick(rng, held).replace("<n>", thing), codes[thing]
        thought, check = f"The text says: {thing}, {code}.", ("contains", (code,))
        return Exchange("long context", question, f"The code of the {thing} is {code}.", thought, check)

    exchange = asked(rng.choice(list(codes)))
    text = (" " if rng.random() < 0.7 else "\n").join(lines)
    exchange.user = f"{text}\n\n{exchange.user}" if rng.random() < 0.7 else f"{exchange.user}\n\n{text}"
    draft.turn(exchange)
    if not held:
        for _ in range(rng.choice((0, 1, 2, 3, 4))):
            draft.turn(asked(rng.choice(list(codes))))
    return draft.done("long context")
