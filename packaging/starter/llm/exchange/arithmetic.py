"""Small arithmetic: sums, differences and products, with the working in the thought."""

from __future__ import annotations

import random

from ...common.words import is_held, noun
from ..sample import Exchange
from .wording import wordings

_, ASKS = wordings("arithmetic")


def _pair(rng: random.Random, held: bool, low: int, high: int) -> tuple[int, int]:
    """Held pairs have a number of two digits: those of single digits are too few to keep any back."""
    while True:
        a, b = rng.randint(low, high), rng.randint(low, high)
        if (max(a, b) > 12 and is_held(f"{a},{b}")) == held:
            return a, b


def _added(a: int, b: int) -> str:
    """Column by column from the right, as at school."""
    steps, carry = [], 0
    left, right = str(a)[::-1], str(b)[::-1]
    for i in range(max(len(left), len(right))):
        x, y = int(left[i : i + 1] or 0), int(right[i : i + 1] or 0)
        total = x + y + carry
        steps.append(f"{x} + {y}{f' + {carry}' if carry else ''} = {total}")
        carry = total // 10
    return ", ".join(steps) + "."


def _subtracted(a: int, b: int) -> str:
    steps, borrow = [], 0
    left, right = str(a)[::-1], str(b)[::-1]
    for i in range(len(left)):
        x, y = int(left[i]), int(right[i : i + 1] or 0) + borrow
        borrow = int(x < y)
        steps.append(f"{x + 10 * borrow} - {y} = {x + 10 * borrow - y}")
    return ", ".join(steps) + "."


def arithmetic(rng: random.Random, held: bool) -> Exchange:
    roll = rng.random()
    high = 999 if rng.random() < 0.15 else 99 if held or rng.random() < 0.8 else 20
    worked = ""
    if roll < 0.45:
        a, b = _pair(rng, held, 0, high)
        phrases, sign, result, thought = ASKS["plus"], "+", a + b, _added(a, b)
    elif roll < 0.75:
        a, b = _pair(rng, held, 0, high)
        if a < b:
            a, b = b, a
        if (max(a, b) > 12 and is_held(f"{a},{b}")) != held:
            return arithmetic(rng, held)
        phrases, sign, result, thought = ASKS["minus"], "-", a - b, _subtracted(a, b)
    else:
        a, b = rng.randint(0, 12), rng.randint(0, 12)
        if held or rng.random() < 0.6:
            a, b = _pair(rng, held, 2, 99)
            b = b % 10 if a > 9 else b
            if (max(a, b) > 12 and is_held(f"{a},{b}")) != held:
                return arithmetic(rng, held)
        phrases, sign, result = ASKS["times"], "*", a * b
        big, small = max(a, b), min(a, b)
        tens, ones = big // 10 * 10, big % 10
        if tens and ones and big > 12:
            # In parts also when not thinking: a small model does not multiply in one step.
            worked = f"{tens * small} + {ones * small} = "
            thought = f"{tens} * {small} = {tens * small}, {ones} * {small} = {ones * small}, {worked}{result}."
        else:
            worked, thought = "", f"{a} * {b} = {result}."
    asked = phrases.pick(rng, held).replace("<a>", str(a)).replace("<b>", str(b)).replace("<n>", noun(rng, held))
    answer = f"{a} {sign} {b} = {worked}{result}"
    return Exchange("arithmetic", asked, answer, thought, ("number", result), None if worked else str(result))
