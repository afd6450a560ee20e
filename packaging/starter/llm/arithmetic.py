"""Small arithmetic: sums, differences and products, with the working in the thought."""

# ruff: noqa: E501 - wordings read best one list a line

from __future__ import annotations

import random

from ..common.words import is_held, noun
from .sample import Exchange
from .wording import Asks

_PLUS = Asks(
    ["Please add up <a> and <b>.", "How much do <a> and <b> make together?", "I want to know what <a> plus <b> is.", "Can you compute <a> + <b>?"],
    orders=("(calculate|compute|work out|solve|evaluate|find|do|say|figure out|determine|add|sum|sum up|total) <a> (+|plus) <b>", "add <a> (and|to|with|plus) <b>(| together| up)", "add <b> to <a>", "(sum|total|put together|take together|count together|add together|join) <a> and <b>", "(calculate|compute|find|work out|get|build|give|say) the (sum|total) of <a> and <b>", "increase <a> by <b>", "(take|start with|begin with) <a> and (add|put|then add) <b>"),
    things=("the (sum|total|result|answer) (of|for) <a> (and|plus|+) <b>", "<a> (+|plus|and) <b>", "the (sum|total) when I add <a> and <b>", "<a> and <b> (added|summed|taken together|added up|together)", "(the value|the result) of <a> + <b>"),
    wonders=("(how much|what) <a> and <b> (are|is|give|gives|make|add up to|come to)(| in total)", "(how much|what) <a> (+|plus) <b> (makes|gives|equals|comes to|adds up to)", "(what|how much) I get when I add <a> and <b>", "how much <a> plus <b> is"),
    wholes=("<a> (+|plus) <b>( =|=|?|)", "<a>+<b>(|=|?)", "(How much|What) (is|are|makes|gives|would be) <a> (+|plus|and|added to) <b>?", "(What|How much) (do|does) <a> (and|plus|+) <b> (give|equal|come to|add up to|sum to|yield)?", "(I|We|They|You) have <a> <n>s and (get|buy|find|receive|win|make|collect|earn) <b> (more|others|new ones). How many (<n>s |)(do I|do we|are there|is that|have I)(| have)(| now| in total| altogether)?", "There are <a> <n>s here and <b> <n>s there. How many (are there|<n>s are there|in total|is that)(| together| in all)?", "What (comes out|results|is the result|do I get|do you get) (when|if) (I|you|we) add <a> and <b>?", "(A|One) (box|shop|bag|room) has <a> <n>s, (another|the other) one <b>. How many (is that|are there) together?"),
)  # fmt: skip
_MINUS = Asks(
    ["I want to know what <a> minus <b> is.", "Can you compute <a> - <b>?", "What remains when I take <b> from <a>?"],
    orders=("(calculate|compute|work out|solve|evaluate|find|do|say|figure out|determine) <a> (-|minus|less) <b>", "(take|subtract|deduct|remove) <b> (from|away from) <a>", "take <b> away from <a>", "(calculate|compute|find|work out|get|give|say) the difference (of|between) <a> and <b>", "(decrease|reduce|lower|diminish) <a> by <b>", "(take|start with|begin with) <a> and (subtract|remove|take away) <b>"),
    things=("the difference (of|between) <a> and <b>", "<a> (-|minus|less) <b>", "(the result|the answer|the value) (of|for) <a> (-|minus) <b>", "(the rest|what is left|the remainder|what stays) (when|if|after) (I|you|we) (take|subtract|remove) <b> from <a>", "<a> (reduced|decreased|lowered) by <b>"),
    wonders=("(how much|what) <a> (-|minus|less) <b> (makes|gives|equals|leaves|comes to)", "(how much|what|how many) (is left|stays|I have left|are left) (when|if) I take <b> (from|off) <a>", "how much <a> minus <b> is", "the difference between <a> and <b>"),
    wholes=("<a> (-|minus) <b>( =|=|?|)", "<a>-<b>(|=|?)", "(How much|What) (is|are|makes|gives|would be) <a> (-|minus|less|without) <b>?", "(What|How much) does <a> (minus|-) <b> (give|equal|come to|leave|yield|make)?", "(What|How much) remains of <a> (after|without|less) <b>?", "<a> <n>s, <b> of them gone: (what|how many) remain(|s)?", "(I|We) have <a> <n>s and (lose|sell|give away|eat|break|drop|use|spend) <b>(| of them). How many (<n>s |)(do I have|are left|do we have|stay|do I keep)(| now| in the end)?", "There (were|are) <a> <n>s and <b> (went|go|fell|are taken) away. How many (are left|<n>s are left|stay|are there now)?", "How much is left (when|if|after) (I|you|we) (take|subtract|remove) <b> from <a>?", "How much (bigger|larger|more) is <a> than <b>?", "What (stays|is left|is the rest|do I get) (when|if|after) (I|you|we) (take|subtract|remove) <b> (from|off|out of) <a>?"),
)  # fmt: skip
_TIMES = Asks(
    ["I want to know what <a> times <b> is.", "Can you compute <a> * <b>?", "How much does <a> times <b> make?"],
    orders=("(calculate|compute|work out|solve|evaluate|find|do|say|figure out|determine) <a> (*|times|x|multiplied by|×) <b>", "multiply <a> (by|with|and|times) <b>", "(calculate|compute|find|work out|get|give|say) the product of <a> and <b>", "take <a> <b> times", "(take|start with) <a> and multiply (it |)(by|with) <b>"),
    things=("the product (of|from) <a> and <b>", "<a> (*|times|x|multiplied by|×) <b>", "(the result|the answer|the value) (of|for) <a> (*|times|x) <b>", "<a> and <b> multiplied"),
    wonders=("(how much|what) <a> (*|times|x) <b> (makes|gives|equals|comes to)", "(what|how much) I get when I multiply <a> (and|by|with) <b>", "how much <a> times <b> is"),
    wholes=("<a> (*|times|x|×) <b>( =|=|?|)", "<a>*<b>(|=|?)", "(How much|What) (is|are|makes|gives|would be) <a> (*|times|x|multiplied by) <b>?", "(What|How much) (does|do|would|will) <a> (times|*|x) <b> (give|equal|come to|yield|be)?", "<b> times <a> makes (what|how much)?", "(What|How much) do <a> (groups|lots|sets) of <b> make?", "(There are|I have|We have) <a> (boxes|bags|rooms|rows|groups) (with|of) <b> <n>s(| each). How many (<n>s |)(are there|is that|do I have|are these)(| in total| altogether| together)?", "What (comes out|do I get|is the result) (when|if) (I|you|we) multiply <a> (and|by|with) <b>?"),
)  # fmt: skip


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
        phrases, sign, result, thought = _PLUS, "+", a + b, _added(a, b)
    elif roll < 0.75:
        a, b = _pair(rng, held, 0, high)
        if a < b:
            a, b = b, a
        if (max(a, b) > 12 and is_held(f"{a},{b}")) != held:
            return arithmetic(rng, held)
        phrases, sign, result, thought = _MINUS, "-", a - b, _subtracted(a, b)
    else:
        a, b = rng.randint(0, 12), rng.randint(0, 12)
        if held or rng.random() < 0.6:
            a, b = _pair(rng, held, 2, 99)
            b = b % 10 if a > 9 else b
            if (max(a, b) > 12 and is_held(f"{a},{b}")) != held:
                return arithmetic(rng, held)
        phrases, sign, result = _TIMES, "*", a * b
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
