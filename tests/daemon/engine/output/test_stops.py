"""Stop strings, of which not one character goes out, whatever way the text is cut."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise

import pytest

from mlx_serve.daemon.engine.output.stops import StopStrings


def cuts(count: int) -> Iterator[list[int]]:
    """Every way to cut a row of `count` things: the places of the cuts."""
    for mask in range(1 << (count - 1)):
        yield [0, *(place + 1 for place in range(count - 1) if mask >> place & 1), count]


def run_stops(stops: tuple[str, ...], chunks: list[str]) -> tuple[str, str | None]:
    finder = StopStrings(stops)
    shown = [finder.add(chunk) for chunk in chunks]
    return "".join([*shown, finder.finish()]), finder.found


def chunked(chance: random.Random, text: str) -> list[str]:
    chunks: list[str] = []
    while text:
        size = chance.randint(1, 5)
        chunks.append(text[:size])
        text = text[size:]
        if chance.random() < 0.2:
            chunks.append("")
    return chunks


@pytest.mark.parametrize("seed", range(10))
def test_no_character_of_a_stop_string_leaks(seed: int) -> None:
    """Random texts of few letters, random stops, random chunks: what goes out ends right before the stop that was
    found, holds no stop itself, and is the whole text where there is none."""
    chance = random.Random(seed)
    for _ in range(1000):
        text = "".join(chance.choices("ab\n", k=chance.randint(0, 14)))
        stops = tuple("".join(chance.choices("ab\n", k=chance.randint(1, 4))) for _ in range(chance.randint(1, 3)))
        shown, found = run_stops(stops, chunked(chance, text))
        assert text.startswith(shown)
        assert not any(stop in shown for stop in stops)
        if found is None:
            assert shown == text
        else:
            assert found in stops
            assert text[len(shown) :].startswith(found)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_out_at_any_time_begins_no_stop(seed: int) -> None:
    """Not at the end only: after every chunk, no character that is out could still belong to a stop string."""
    chance = random.Random(seed)
    for _ in range(400):
        stop = "".join(chance.choices("ab", k=chance.randint(1, 5)))
        finder, shown, text = StopStrings((stop,)), "", ""
        for chunk in chunked(chance, "".join(chance.choices("abc", k=12))):
            shown, text = shown + finder.add(chunk), text + chunk
            if finder.found is not None:
                break
            assert not any(stop.startswith(text[start:]) for start in range(len(shown)))


def test_every_cut_of_one_text() -> None:
    """All 2^12 ways of cutting: the same text before the stop string, every time."""
    text = "say END. ENDS"
    for places in cuts(len(text)):
        chunks = [text[start:end] for start, end in pairwise(places)]
        assert run_stops(
            (
                "ENDS",
                "END.",
            ),
            chunks,
        ) == ("say ", "END.")


def test_a_stop_at_the_very_start() -> None:
    assert run_stops(("###",), ["##", "# more"]) == ("", "###")


def test_one_stop_inside_another() -> None:
    """The earliest place counts; once a whole stop is there nothing waits for a longer one."""
    assert run_stops(("abc", "b"), ["xabc"]) == ("x", "abc")
    assert run_stops(("abc", "b"), ["xab", "c"]) == ("xa", "b")
    assert run_stops(("a", "ab"), ["xab"]) == ("x", "a")


def test_what_was_kept_back_is_let_go_at_the_end() -> None:
    """A text that ends with the beginning of a stop string loses nothing, and nothing comes after a stop."""
    finder = StopStrings(("</s>",))
    assert finder.add("if a <") == "if a "
    assert finder.add("/") == ""
    assert finder.finish() == "</"
    assert finder.finish() == ""
    assert finder.found is None
    stopped = StopStrings(("x",))
    assert stopped.add("yx") == "y"
    assert stopped.add("more") == ""
    assert stopped.finish() == ""


def test_no_stop_strings_keep_nothing_back() -> None:
    assert run_stops((), ["a", "", "b"]) == ("ab", None)
