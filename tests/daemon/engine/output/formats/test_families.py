"""Every family's calls, thoughts and prose, whole and in pieces of any size."""

from __future__ import annotations

import random
from typing import Any

import pytest
from support.spoken_calls import TEMPLATES, TOOLS, Said, followed, read, understood, written

from mlx_serve.daemon.engine.output.formats.family import CallShape, Family
from mlx_serve.daemon.engine.output.formats.table import FAMILIES, find_family, open_format
from mlx_serve.daemon.engine.output.pieces import CallDelta

CODE = "def f(x):\n    if x < 3 and \"a\" != 'b':\n\t\treturn '</x>'  # \\d+ 日本語 😀\n"
CALLS: dict[str, list[Said]] = {
    "one": [("weather", {"city": "Rome"})],
    "typed": [("weather", {"city": "Århus 北京 👍🏽", "days": 3, "exact": True, "share": 1.5, "places": ["a", 1]})],
    "nothing": [("time", {})],
    "code": [("write_file", {"path": "a b.py", "text": CODE})],
    "two": [("weather", {"city": "Rome"}), ("write_file", {"path": "x", "text": CODE})],
    "three": [("time", {}), ("weather", {"days": -1, "exact": False}), ("time", {})],
}
NAMES = sorted(TEMPLATES)
BARE = ("llama3", "llama4", "functionary-3.2")
"""Families whose first call has no marker: it is one at the beginning of an answer only."""


def family(name: str) -> Family:
    return find_family(TEMPLATES[name])


def shape(name: str) -> CallShape:
    found = family(name).shape
    assert found is not None
    return found


def chunked(text: str) -> list[list[str]]:
    """The text letter by letter, and in a few random cuts."""
    chance = random.Random(text)
    cuts = [list(text)]
    for size in (3, 11):
        places = sorted(chance.randrange(len(text) + 1) for _ in range(max(1, len(text) // size)))
        cuts.append([text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)])
    return cuts


def test_every_family_is_here() -> None:
    assert {each.name for each in FAMILIES} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_family_is_found_by_its_template(name: str) -> None:
    assert family(name).name == name


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", NAMES)
def test_calls(name: str, stream: bool) -> None:
    """Calls as the family's shape has them: arguments are what was said, wherever the text is cut."""
    for case, calls in CALLS.items():
        text = written(shape(name), calls)
        for chunks in ([text], *chunked(text)):
            result = read(family(name), chunks, stream=stream)
            assert result.calls == calls, (case, text)
            assert result.content.strip() == result.reasoning == "", (case, text)


@pytest.mark.parametrize("name", NAMES)
def test_prose_around_a_call(name: str) -> None:
    """Text in front of a call and behind it is content; of a call without a marker it is only so behind."""
    call = written(shape(name), CALLS["one"])
    for before, after in (("", "\nAnd so on."), ("I'll look. ", ""), ("Ich schaue: 見る\n\n", "\n\n✅ fertig")):
        if name in BARE and before:
            continue
        text = before + call + after
        for chunks in ([text], *chunked(text)):
            result = read(family(name), chunks)
            assert result.calls == CALLS["one"], text
            assert "".join(result.content.split()) == "".join((before + after).split())


@pytest.mark.parametrize("name", NAMES)
def test_without_tools_a_call_is_text(name: str) -> None:
    """Neither is it where no tools were offered, nor one of a tool that was not."""
    text = written(shape(name), CALLS["one"])
    assert read(family(name), text, calls=False).content == text
    other = written(shape(name), [("rm", {"city": "Rome"})])
    for chunks in ([other], *chunked(other)):
        for stream in (False, True):
            result = read(family(name), chunks, stream=stream)
            assert result.calls == []
            assert other.strip() in result.content + result.reasoning


@pytest.mark.parametrize("name", [each for each in NAMES if find_family(TEMPLATES[each]).thoughts])
def test_thoughts(name: str) -> None:
    """In front of an answer and of a call; opened by the prompt; cut anywhere."""
    found = family(name)
    thought = found.thoughts[0]
    start, end = thought.start, thought.end
    answer = "<|start|>assistant<|channel|>final<|message|>Yes." if name == "harmony" else "\n\nYes."
    call = written(shape(name), CALLS["one"])
    opened = name != "harmony"
    for text, content, calls in (
        (f"{start}\nHmm, 考える{end}{answer}", "Yes.", []),
        (f"{start}Hmm, 考える\n{end}\n{call if opened else '<|start|>assistant' + call}", "", CALLS["one"]),
    ):
        for chunks in ([text], *chunked(text)):
            result = read(found, chunks)
            assert (result.reasoning.strip(), result.content, result.calls) == ("Hmm, 考える", content, calls), text
        if opened:
            inside = read(found, text.removeprefix(start), inside=True)
            assert (inside.reasoning.strip(), inside.content, inside.calls) == ("Hmm, 考える", content, calls)


@pytest.mark.parametrize("name", [each for each in NAMES if find_family(TEMPLATES[each]).thoughts and each not in BARE])
def test_a_call_ends_a_thought_that_never_closes(name: str) -> None:
    """The agent gets its call, and what was thought is reasoning."""
    call = written(shape(name), CALLS["two"])
    for start, inside in ((family(name).thoughts[0].start, False), ("", True)):
        if name == "harmony" and inside:
            continue
        text = f"{start}I must look: {call}"
        for chunks in ([text], *chunked(text)):
            result = read(family(name), chunks, inside=inside)
            assert (result.reasoning.strip(), result.content, result.calls) == ("I must look:", "", CALLS["two"])


@pytest.mark.parametrize("name", NAMES)
def test_prose_that_mentions_markers_is_text(name: str) -> None:
    """Each marker in a sentence, in code, cut off, doubled: nothing of it is lost, and nothing is a call."""
    found = family(name)
    markers = [block.opener for block in found.calls if not block.bare] or [shape(name).begin]
    markers += [text for each in found.thoughts for text in (each.start, each.end)]
    if name == "harmony":
        markers = ["<|channel|>", "<|start|>", "<|message|>"]  # in order they are a message
    for marker in markers:
        for text in (
            f"A call begins with {marker} in this family.",
            f"As in `{marker}`, or `{marker}{marker}`.",
            f"x {marker}{{ and {marker}[1, 2] {marker}name {marker}",
            f"x {marker[:-1]}",
            f"日本 {marker}日本{marker} 😀",
        ):
            for chunks in ([text], *chunked(text)):
                for stream in (False, True):
                    result = read(found, chunks, stream=stream)
                    assert result.calls == []
                    assert result.content + result.reasoning == text, (marker, chunks[:3])


@pytest.mark.parametrize("name", NAMES)
def test_a_call_behind_prose_that_mentions_its_marker(name: str) -> None:
    if name in BARE:
        pytest.skip("its calls begin an answer")
    opener = next(iter(family(name).calls)).opener if family(name).calls else "<|channel|>"
    text = f"Now {opener} follows: {written(shape(name), CALLS['code'])}"
    for chunks in ([text], *chunked(text)):
        result = read(family(name), chunks)
        assert (result.content.rstrip(), result.calls) == (f"Now {opener} follows:", CALLS["code"])


@pytest.mark.parametrize("name", NAMES)
def test_a_text_cut_off_by_the_limit_has_no_half_call(name: str) -> None:
    """At every letter: calls that are there are complete, and their arguments are JSON, streamed ones too; what the
    model said in a call that did not become one is text."""
    text = written(shape(name), CALLS["typed"])
    for end in range(len(text)):
        whole = read(family(name), text[:end], cut=True)
        assert whole.calls in ([], CALLS["typed"])
        if not whole.calls:
            assert "".join((whole.content + whole.reasoning).split()) == "".join(text[:end].split())
        read(family(name), text[:end], cut=True, stream=True)


@pytest.mark.parametrize("name", NAMES)
def test_arguments_stream_one_by_one(name: str) -> None:
    """Each part comes as soon as its argument is complete, and all together are the object."""
    format = open_format(family(name), TOOLS, reasoning=True, calls=True, stream_calls=True)
    text = written(shape(name), CALLS["two"])
    parts = [piece for piece in followed(format, list(text)) if isinstance(piece, CallDelta)]
    assert len(parts) >= 4
    assert [part.name for part in parts if part.name] == ["weather", "write_file"]
    assert [part.index for part in parts] == sorted(part.index for part in parts)
    assert understood(parts).calls == CALLS["two"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("junk", range(4))
def test_nothing_ends_the_engine_and_nothing_is_lost(name: str, junk: int) -> None:
    """Random texts of markers and pieces of calls: everything but white space and understood markup is somewhere."""
    chance = random.Random(f"{name}{junk}")
    found, form = family(name), shape(name)
    call = written(form, CALLS["two"])
    words: list[str] = [form.begin, form.middle, form.end, form.before, form.after, "{", "}", '"', "'", "[", ",", "\\"]
    words += [
        "weather",
        "😀",
        "日",
        "\ud83d".encode("utf-8", "replace").decode(),
        call[: len(call) // 2],
        call,
        "</",
        "a b",
    ]
    for _ in range(40):
        pieces = [chance.choice(words) for _ in range(chance.randint(1, 25))]
        for stream in (False, True):
            result = read(found, pieces, stream=stream)
            marked = f"MARK{junk}"
            again = read(found, [*pieces, "\n\n", marked], stream=stream)
            said: Any = again.content + again.reasoning + str(again.calls)
            assert marked in said
            assert result is not None


@pytest.mark.parametrize("name", NAMES)
def test_what_a_broken_call_means_does_not_depend_on_its_pieces(name: str) -> None:
    """Calls with letters lost, added and swapped: the same is understood of the whole text and of every split."""
    chance = random.Random(name)
    call = written(shape(name), [("weather", {"city": "Rome", "days": 3}), ("write_file", {"text": 'a\n"b" {é😀}'})])
    for _ in range(25):
        letters = list(call)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(letters))
            if chance.random() < 0.5:
                del letters[place]
            else:
                letters.insert(place, chance.choice("\"'{}[]<>\\\n,:é |1"))
        text = "".join(letters)
        for stream in (False, True):
            whole = read(family(name), text, stream=stream)
            assert all(read(family(name), chunks, stream=stream) == whole for chunks in chunked(text)), text
