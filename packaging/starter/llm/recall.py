"""What the user wrote before, word for word."""

# ruff: noqa: E501 - wordings read best one list a line

from __future__ import annotations

import random

from .sample import Exchange
from .wording import Asks

_SENT = "(message|question|words|sentence|text|line|input|request|turn|post|entry|remark)"
_RECALL = Asks(
    ["Can you repeat what I said just before?", "Tell me my previous message."],
    orders=(f"(repeat|quote|recall|say|write|show|print|echo|cite|copy) my (last|previous|latest|most recent|preceding) {_SENT}(| again| once more| word for word)", "(repeat|quote|recall|say|write|show) (what I (wrote|asked|said|typed|sent) (last|before|before this|a moment ago|just now|previously|last time)|the last thing I (said|wrote|asked|typed|sent))", "go back (one|a) (step|message|turn) and (repeat|say|quote) what I (said|wrote)"),
    things=(f"(my|the) (last|previous|latest|preceding) {_SENT} (of mine|I sent|again|that I sent|before this one|before this)", "the last thing I (said|wrote|asked|typed|sent)(| to you)", "what I (wrote|asked|typed) (last|before|just now|a moment ago)"),
    wonders=("what I (said|wrote|asked|typed|sent|told you) (before|last|just now|a moment ago|before this|before that|previously|last time|right before)", f"what my (last|previous|latest|preceding) {_SENT} was"),
    wholes=("What (did I say|was my message|did I write|did I ask|did I type|did I send|did I tell you) (before|just now|last|before that|a moment ago|before this|previously|right before this|a minute ago)?", f"What (was|is) my (last|previous|latest|preceding) {_SENT}?", "What (was|is) the last thing (that |)I (said|wrote|asked|typed|sent)(| to you)?", f"(Which|What) {_SENT} (did I send|came|was) (before this|last|before|just now|right before)?", "(Do|Can) you (know|remember|recall|see) (what I just (said|wrote|asked)|my last message|the message before)?"),
)  # fmt: skip
_RECALL_FIRST = Asks(
    ["Tell me the first message I sent.", "How did I begin this conversation?"],
    orders=(f"(repeat|quote|recall|say|write|show|print|cite|copy) my (first|very first|initial|opening) {_SENT}(| again| of this conversation| of this chat)", "(repeat|quote|recall|say|write|show) (what I (said|wrote|asked|typed|sent) (first|at first|at the start|in the beginning|at the beginning|initially)|the first thing I (said|wrote|asked|typed))", "go back to the (start|beginning) and (repeat|say|quote) what I (said|wrote)"),
    things=(f"my (first|very first|initial|opening) {_SENT}(| again| in this chat| of this conversation| here)", "the first thing I (said|wrote|asked|typed|sent)(| to you| here)", "the (start|beginning|opening) of (our|this) (conversation|chat|talk)", f"the {_SENT} (I|with which I) (began|started|opened)(| with)"),
    wonders=("what I (said|wrote|asked|typed|sent|told you) (first|at first|at the start|in the beginning|at the beginning|initially)", f"what my (first|very first|initial|opening) {_SENT} was", "how (this|our) (conversation|chat|talk) (began|started|begins)", "how I (began|started|opened)(| the chat| our talk)"),
    wholes=(f"What (was|is) (my (first|very first|initial|opening) {_SENT}|the first thing I (said|wrote|asked|typed))?", "What did I (say|ask|write|type|send|tell you) (first|at first|at the start|in the beginning|at the beginning|initially)(| of this chat)?", "(How|With what) did (this|our|the) (conversation|chat|talk|dialogue) (begin|start|open)?", "(How|With what|With which words) did I (start|open)(| the chat| our talk| here)?", f"(Which|What) {_SENT} (did I send|came|was) first?"),
)  # fmt: skip


def recall(rng: random.Random, held: bool, earlier: list[str]) -> Exchange:
    first = len(earlier) > 1 and rng.random() < 0.4
    text = earlier[0] if first else earlier[-1]
    asked = (_RECALL_FIRST if first else _RECALL).pick(rng, held)
    return Exchange(
        "recall",
        asked,
        f'You said: "{text}"',
        f"The {'first' if first else 'previous'} message.",
        ("contains", (text,)),
    )
