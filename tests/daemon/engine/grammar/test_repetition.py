"""How long an expression is with its repetitions written out."""

from __future__ import annotations

import pytest

from mlx_serve.daemon.engine.grammar.repetition import LONGEST, expanded

LENGTHS = {
    "": 0,
    "abc": 3,
    "a{3}b": 4,
    "a|b{2,5}": 6,
    "(ab|c){2,}d": 7,
    "a{ 2 , 3 }": 3,
    "(a{1000}){1000}": 1_000_000,
    "((a|b){1,100}){1,100}": 20_000,
    "[a{9}]{2}": 2,
    "[]a]{2}": 2,
    r"[\]a]{2}": 2,
    r"\{9}": 3,
    r"\d{4}-\d{2}": 7,
    "(a?)*+{3}": 3,
}


@pytest.mark.parametrize("regex", LENGTHS)
def test_counted(regex: str) -> None:
    assert expanded(regex) == LENGTHS[regex]


@pytest.mark.parametrize("regex", [")", "(((", "[", "{", "a{", "{3}", "\\", "a{99999999999999999999}"])
def test_broken_ones_are_counted_too(regex: str) -> None:
    """Whatever they are: the compiler says what is wrong."""
    assert expanded(regex) >= 0


def test_common_expressions_are_short() -> None:
    """A UUID, an IPv6 address, an e-mail address."""
    uuid = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    assert max(map(expanded, (uuid, "([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}", r"[\w.]{1,64}@[\w.]{1,255}"))) < LONGEST / 20
