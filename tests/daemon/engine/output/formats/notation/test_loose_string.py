"""Strings as models write them: which quote ends one, and how much of a text is enough to know."""

from __future__ import annotations

import pytest

from mlx_serve.daemon.engine.output.formats.notation.loose_string import LONGEST_BLANK, LooseString

READ = [
    ('"', 'a"}', "a"),
    ('"', 'say "hi" now", ', 'say "hi" now'),
    ("'", "it's', ", "it's"),
    ('"', 'a\nb", ', "a\nb"),
    ('"', '\\d\\n\\u00e9\\u12", ', "\\d\né\\u12"),
    ("<|>", 'a"b\\n<|}, <|>}', 'a"b\\n<|}, '),
]


@pytest.mark.parametrize(("quote", "text", "value"), READ, ids=[text for _, text, _ in READ])
def test_a_string_is_the_same_whole_and_in_pieces(quote: str, text: str, value: str) -> None:
    """What was not read is given again in front of what follows; it stays as short as a quote and what decides."""
    assert LooseString(quote).read(text, 0, final=True) > 0
    for size in (len(text), 1, 2, 3):
        string, left = LooseString(quote), ""
        for at in range(0, len(text), size):
            if string.value is None:
                left += text[at : at + size]
                left = left[string.read(left, 0, final=False) :]
        assert string.value == value


def test_a_comma_behind_a_quote_ends_a_value_but_no_key() -> None:
    text = 'a "b", c": 1'
    key, value = LooseString('"', colon=":"), LooseString('"')
    assert key.read(text, 0, final=False) == text.index(":")
    assert key.value == 'a "b", c'
    value.read(text, 0, final=False)
    assert value.value == 'a "b'


def test_a_closing_marker_ends_a_value_whose_brackets_are_missing() -> None:
    string = LooseString('"', closers=("</end>",))
    assert string.read('a"</e', 0, final=False) == 1 and string.value is None
    string.read('"</end>', 0, final=False)
    assert string.value == "a"


def test_what_decides_is_not_awaited_for_ever() -> None:
    """Nor at all where nothing is around the string, or no more text comes."""
    for blanks, more, ended in ((LONGEST_BLANK, {}, False), (LONGEST_BLANK + 1, {}, True), (0, {"alone": True}, True)):
        string = LooseString('"', **more)
        string.read('a"' + " " * blanks, 0, final=False)
        assert (string.value == "a") is ended
    string = LooseString('"')
    string.read('a"', 0, final=True)
    assert string.value == "a"


def test_a_string_that_is_cut_has_no_value() -> None:
    string = LooseString('"')
    assert string.read("a\\", 0, final=True) == 2
    assert string.value is None
