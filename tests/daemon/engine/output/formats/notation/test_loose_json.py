"""JSON as models write it: what has one reading is read, whole and in pieces, and everything else is refused."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from mlx_serve.daemon.engine.output.formats.notation.loose_json import DEPTH, LooseJson, loads

REPAIRED: list[tuple[str, Any]] = [
    ("{'a': 'it\\'s', 'b': \"c\"}", {"a": "it's", "b": "c"}),
    ("{'a': 'it's'}", {"a": "it's"}),
    ('{"a": "say "hi" now", "b": 1}', {"a": 'say "hi" now', "b": 1}),
    ('{"a": "line\nfeed\tand \x01"}', {"a": "line\nfeed\tand \x01"}),
    ('{"pattern": "\\d+\\.\\w"}', {"pattern": "\\d+\\.\\w"}),
    ('{"a": "\\u12"}', {"a": "\\u12"}),
    ('{"a": True, "b": False, "c": None}', {"a": True, "b": False, "c": None}),
    ("{a: 1, b_c: 2}", {"a": 1, "b_c": 2}),
    ('{"a": [1, 2,], }', {"a": [1, 2]}),
    ('{"a": 1 "b": 2}', {"a": 1, "b": 2}),
    ('{"a": {"b": [1, {"c": "d"}', {"a": {"b": [1, {"c": "d"}]}}),
    ('{"a": [1, 2}', {"a": [1, 2]}),
    ('{"a": 1', {"a": 1}),
    ('{"a": 1,', {"a": 1}),
    ('{"a": +1, "b": .5, "c": 5.}', {"a": 1, "b": 0.5, "c": 5.0}),
    ('{"a": "\\ud83d\\ude00 \\ud83d!"}', {"a": "😀 \\ud83d!"}),
    ("\ufeff {}", {}),
]
REFUSED = [
    *("", "{", "x", "{]", '{"a"', '{"a":', '{"a":}', '{"a": "open', '{"a": NaN}', '{"a": -Infinity}', '{"a": 1e999}'),
    *('{"a": {1, 2}}', '{"a": b"x"}', '{"a": ...}', "[1,,2]", '{"a": 007}', '{"a": x}', "{} {}", '{"a": 1} x'),
    *('{"a": "x" + "y"}', '{"a": (1)}', "[" * (DEPTH + 1), '{"a": ' * 10_000, "9" * 5000, '{"a": 1-2}'),
]


def in_pieces(text: str, size: int) -> Any:
    reader = LooseJson()
    for at in range(0, len(text), size):
        reader.add(text[at : at + size])
    if reader.expects not in ("done", "failed"):
        reader.close()
    if reader.expects != "done" or reader.rest.strip():
        raise ValueError("not JSON")
    return reader.value


@pytest.mark.parametrize(("text", "value"), REPAIRED, ids=[text for text, _ in REPAIRED])
def test_what_has_one_reading_is_read(text: str, value: Any) -> None:
    assert loads(text) == value
    for size in (1, 2, 3, 7):
        assert in_pieces(text, size) == value


@pytest.mark.parametrize("text", REFUSED, ids=[text[:20] for text in REFUSED])
def test_what_has_none_is_refused(text: str) -> None:
    """A value that JSON cannot hold too; nothing is raised but ValueError, however deep or long the text is."""
    with pytest.raises(ValueError, match="not JSON"):
        loads(text)
    with pytest.raises(ValueError, match="not JSON"):
        in_pieces(text, 1)


def random_value(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.randrange(7 if depth < 4 else 5)
    if kind == 0:
        return chance.choice([None, True, False])
    if kind == 1:
        return chance.randint(-(10**12), 10**12)
    if kind == 2:
        return chance.uniform(-1e6, 1e6) * 10 ** chance.randint(-30, 30)
    if kind in (3, 4):
        letters = "ab \n\t\"'\\/{}[],:é日😀\x00\u2028\ud83d<tool_call>"
        return "".join(chance.choice(letters) for _ in range(chance.randint(0, 20))).replace("\ud83d", "")
    if kind == 5:
        return [random_value(chance, depth + 1) for _ in range(chance.randint(0, 4))]
    return {f"k{n}{chance.choice('ab ')}": random_value(chance, depth + 1) for n in range(chance.randint(0, 4))}


@pytest.mark.parametrize("seed", range(20))
def test_valid_json_is_read_as_what_it_is(seed: int) -> None:
    """Whatever its layout and escapes, and wherever it is cut: nothing that repairs changes what is right."""
    chance = random.Random(seed)
    for _ in range(30):
        value = random_value(chance)
        text = json.dumps(value, ensure_ascii=chance.random() < 0.5, indent=chance.choice([None, None, 2]))
        assert loads(text) == value
        assert in_pieces(text, chance.randint(1, 9)) == value


def test_members_are_told_as_they_are_complete() -> None:
    told: list[tuple[int, str, Any]] = []
    reader = LooseJson(lambda frames, key, value: told.append((len(frames), key, value)))
    reader.add('{"a": {"b": 1, "c": "x"')
    assert told == [(2, "b", 1)]
    reader.add(', "d": [2]')
    assert told[1:] == [(2, "c", "x"), (2, "d", [2])]
    reader.add("}} rest")
    assert told[3:] == [(1, "a", {"b": 1, "c": "x", "d": [2]})]
    assert (reader.expects, reader.rest) == ("done", " rest")


def test_what_follows_may_end_a_value_whose_brackets_are_missing() -> None:
    for text in ('{"a": {"b": "x"</end> y', '{"a": {"b": "x"}</end> y', '{"a": {"b": 1</end> y'):
        for size in (1, 4, 100):
            reader = LooseJson(closers=("</end>",))
            for at in range(0, len(text), size):
                reader.add(text[at : at + size])
            assert reader.expects == "done"
            assert list(reader.value) == ["a"]


@pytest.mark.parametrize("filler", ["x", " ", "\\", '"', "日", "\n"])
def test_a_long_value_is_read_in_linear_time(filler: str) -> None:
    """However long it is and in however many pieces it comes, what is kept for later stays short."""
    reader = LooseJson()
    reader.add('{"a": "')
    for _ in range(20_000):
        if reader.add(filler * 4) != "failed":
            assert len(reader.rest) < 1000
