"""What the user wrote before, word for word."""

from __future__ import annotations

import random

from ..sample import Exchange
from .wording import wordings

_, ASKS = wordings("recall")


def recall(rng: random.Random, held: bool, earlier: list[str]) -> Exchange:
    first = len(earlier) > 1 and rng.random() < 0.4
    text = earlier[0] if first else earlier[-1]
    asked = ASKS["first" if first else "last"].pick(rng, held)
    thought = f"The {'first' if first else 'previous'} message."
    return Exchange("recall", asked, f'You said: "{text}"', thought, ("contains", (text,)))
