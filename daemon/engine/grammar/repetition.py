"""How long repetitions make a regular expression: the compiler's own limits are reached only after seconds."""

from __future__ import annotations

import re

LONGEST = 20_000
_PART = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{\s*(\d+)\s*(?:,\s*(\d*)\s*)?\}|.", re.DOTALL)


def expanded(regex: str) -> int:
    """The parts of an expression with every counted repetition written out. A rough count, and never far too small;
    what is wrong in the expression is the compiler's to say."""
    groups, last = [0], 0
    for part in _PART.finditer(regex):
        text = part[0]
        if part[1] is not None:
            most = max(int(part[1]), int(part[2] or 0))
            groups[-1] += last * (most - 1)
            last *= most
        elif text == "(":
            groups.append(0)
            last = 0
        elif text == ")" and len(groups) > 1:
            last = groups.pop()
            groups[-1] += last
        elif text not in "*+?|)":
            last = 1
            groups[-1] += 1
    return sum(groups)
