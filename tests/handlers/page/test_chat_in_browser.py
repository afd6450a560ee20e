"""The chat of the page in a real browser, against the real HTTP layer and an engine that does what a test says."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fakes.engine import finished, says
from fakes.serving import MODEL, Serving
from support.browser import Page
from support.page_visit import Visit, ask
from support.waiting import GUARD, wait_until

from mlx_serve.daemon.errors import RunnerDied
from mlx_serve.daemon.protocol import Delta, ToolCall

HOSTILE = (
    "<img src=http://evil.example/x.png onerror=alert(1)><script>alert(1)</script> [click](javascript:alert(1)) "
    "![p](http://evil.example/p.png) **<b>bold</b>** `<i>code</i>`\n\n```html\n<style>*{display:none}</style>\n```\n\n"
    "# <u>head</u>\n\n- <a href=//evil.example>item</a>\n\n| <s>a</s> | b |\n| - | - |\n| <iframe src=x> | d |\n"
)


async def test_an_answer_is_seen_as_it_comes_and_stops_at_once(serving: Serving, visit: Visit) -> None:
    """What is there is kept; the model is told to stop; the next message has both in its history. Esc does the same."""
    loop, engine = asyncio.get_running_loop(), serving.engine
    engine.hold = asyncio.Event()

    def look(page: Page) -> None:
        ask(page, "first", wait=False)
        page.wait("document.querySelector('.prose')?.innerText === 'Hel'")
        assert page.seen("#stop") and not page.seen("#send")
        assert not page.seen(".answer .waiting"), "something has come"
        page.click("#stop")
        assert engine.cut.wait(GUARD)
        page.wait("document.querySelector('.answer .figures').innerText.includes('stopped')")
        assert page.text(".prose") == "Hel" and page.seen("#send") and not page.seen("#stop")
        engine.cut.clear()
        ask(page, "second", wait=False)
        page.wait("document.querySelectorAll('.prose')[1]?.innerText === 'Hel'")
        page.press("Escape")
        assert engine.cut.wait(GUARD)
        page.wait("document.querySelectorAll('.figures')[1].innerText.includes('stopped')")
        loop.call_soon_threadsafe(engine.hold.set)
        ask(page, "third")
        assert page.run("document.querySelectorAll('.prose')[2].innerText") == "Hello world"
        figures = page.run("document.querySelectorAll('.figures')[2].innerText")
        assert "4 tokens" in figures and "prompt 7" in figures

    await visit(look)
    said = [(one["role"], one["content"]) for one in serving.engine.requests[-1].prompt.messages]  # type: ignore[union-attr]
    assert said == [
        ("user", "first"),
        ("assistant", "Hel"),
        ("user", "second"),
        ("assistant", "Hel"),
        ("user", "third"),
    ]


async def test_thoughts_and_calls_are_shown_and_results_go_back(serving: Serving, visit: Visit) -> None:
    call = ToolCall(index=0, name="get_weather", arguments='{"city":"<b>Rome</b>"}')
    engine = serving.engine
    engine.script = says(
        Delta(id=1, reasoning="Where is <i>it</i>?", tokens=1),
        Delta(id=1, text="I look.", tokens=2),
        Delta(id=1, tool_calls=(call,), tokens=3),
        finished("tool_calls", 3),
    )

    def look(page: Page) -> None:
        page.click("#show-options")
        page.run("document.querySelector('#options .row button').click()")
        page.run("document.querySelector('#thinking').value = 'true'")
        page.click("#show-options")
        ask(page, "Weather?")
        assert page.text(".thought summary").startswith("Thought for") and page.text(".prose") == "I look."
        assert not page.run("document.querySelector('.thought').open")
        page.run("document.querySelector('.thought').open = true")
        assert page.text(".thought div") == "Where is <i>it</i>?"
        assert page.text(".call h3") == "Calls get_weather" and '"city": "<b>Rome</b>"' in page.text(".call pre")
        engine.script = says(Delta(id=1, text="Sunny.", tokens=1), finished(tokens=1))
        page.run("document.querySelector('.call textarea').focus()")
        page.write("21 degrees")
        page.run(
            "[...document.querySelectorAll('.answer button')].find((it) => it.innerText === 'Send the result').click()"
        )
        page.wait("document.querySelectorAll('.prose')[1]?.innerText === 'Sunny.'")

    await visit(look)
    first, second = (request.prompt for request in engine.requests)  # type: ignore[union-attr]
    assert first.thinking is True and first.tools[0]["function"]["name"] == "get_weather"
    assert [one["role"] for one in second.messages] == ["user", "assistant", "tool"]
    assert second.messages[1]["thinking"] == "Where is <i>it</i>?" and second.messages[2]["content"] == "21 degrees"


async def test_what_a_model_says_is_text(serving: Serving, visit: Visit) -> None:
    """In its answer, its thoughts and its calls: no element that it named is there, and nothing is fetched."""
    call = ToolCall(index=0, name="f", arguments='{"x":"<img src=x onerror=alert(1)>"}')
    serving.engine.script = says(
        Delta(id=1, reasoning=HOSTILE, tokens=1),
        *(Delta(id=1, text=letter, tokens=2 + number) for number, letter in enumerate(HOSTILE)),
        Delta(id=1, tool_calls=(call,), tokens=1000),
        finished("tool_calls", 1000),
    )

    def look(page: Page) -> None:
        ask(page, HOSTILE)
        inside = "document.querySelectorAll('#messages :is(img, script, style, a, iframe, b, i, u, s)').length"
        assert page.run(inside) == 0
        shown = page.text(".prose")
        for part in ("<script>alert(1)</script>", "[click](javascript:alert(1))", "<b>bold</b>", "<iframe src=x>"):
            assert part in shown
        assert page.text(".prose code") == "<i>code</i>" and page.text(".prose strong") == "<b>bold</b>"
        assert page.text(".prose pre") == "<style>*{display:none}</style>"
        assert page.text(".prose h2") == "<u>head</u>" and page.text(".prose td") == "<iframe src=x>"
        assert page.text(".mine .text") == HOSTILE.strip()

    await visit(look)


async def test_what_goes_wrong_is_a_sentence_and_can_be_tried_again(serving: Serving, visit: Visit) -> None:
    """In the middle of an answer, before it, and in what was typed into the options."""
    engine = serving.engine
    engine.script = says(Delta(id=1, text="Half", tokens=1), RunnerDied("parrot", "<b>killed</b>"))

    def look(page: Page) -> None:
        ask(page, "go on")
        assert "<b>killed</b>" in page.text(".problem p") and page.text(".prose") == "Half"
        engine.script = says(Delta(id=1, text="Whole", tokens=1), finished(tokens=1))
        page.click(".problem button")
        page.wait("document.querySelector('.prose')?.innerText === 'Whole'")
        assert not page.seen(".problem")
        for field, text, told in (
            ("#tools-json", "{", "not JSON"),
            ("#tools-json", "{}", "a JSON list"),
            ("#tools-json", "[1]", ""),
        ):
            page.run(f"document.querySelector('{field}').value = '{text}'")
            page.run("document.querySelector('#question').focus()")
            page.write("x")
            page.press("Enter")
            if told:
                assert told in page.text("#notice")
                page.run("document.querySelector('#question').value = ''")
        page.wait("document.querySelector('.problem p')?.innerText.includes('tools')")
        page.run("document.querySelector('#tools-json').value = ''")
        ask(page, "y")

    await visit(look)
    *_, last = engine.requests
    assert len(engine.requests) == 3, "what is not valid does not reach the model"
    assert [one["content"] for one in last.prompt.messages] == ["go on", "Whole", "y"]  # type: ignore[union-attr]


async def test_pictures_are_chosen_seen_removed_and_sent(serving: Serving, visit: Visit, tmp_path: Path) -> None:
    """Only where the model sees; what is no picture is refused in a sentence."""
    square = Path(__file__).parents[3] / "docs" / "blue-square.png"
    text = tmp_path / "notes.txt"
    text.write_text("no picture")
    serving.store.add("acme/seer", kind="vlm", capabilities=("completion", "vision"))

    def look(page: Page) -> None:
        assert page.run("document.querySelector('#model').value") == MODEL and not page.seen("#attach")
        page.click("[data-name='acme/seer']")
        assert page.seen("#attach")
        page.choose_files("#files", square, text)
        page.wait("document.querySelector('#notice').innerText.startsWith('notes.txt is no picture')")
        page.wait("document.querySelectorAll('#pictures img').length === 1")
        page.choose_files("#files", square)
        page.wait("document.querySelectorAll('#pictures img').length === 2")
        page.click("#pictures li:last-child button")
        page.wait("document.querySelectorAll('#pictures img').length === 1")
        page.run("document.querySelector('#question').focus()")
        page.write("What is it?")
        page.press("Enter")
        page.wait("document.querySelector('.mine img')?.naturalWidth > 0")
        page.wait("!document.querySelector('#send').hidden")
        assert not page.seen("#pictures")
        page.click(f"[data-name='{MODEL}']")
        ask(page, "And now?")
        assert "without the earlier pictures" in page.run("document.querySelectorAll('.figures')[1].innerText")

    await visit(look)
    request, later = serving.engine.requests
    assert [one["content"] for one in later.prompt.messages] == ["What is it?", "Hello world", "And now?"]  # type: ignore[union-attr]
    (picture,) = request.prompt.pictures  # type: ignore[union-attr]
    assert picture.data == square.read_bytes()
    assert request.prompt.messages[0]["content"][1] == {"type": "text", "text": "What is it?"}  # type: ignore[union-attr]


async def test_the_keyboard_is_enough(visit: Visit) -> None:
    """A slash or the first link of the page leads to the question, Shift with Enter makes a line, Enter sends."""

    def look(page: Page) -> None:
        assert page.run("document.activeElement.id") == "question", "the page begins there"
        page.run("document.activeElement.blur()")
        page.press("/")
        assert page.run("document.activeElement.id") == "question"
        assert page.run("document.querySelector('#question').value") == ""
        reached = set()
        for _ in range(12):
            page.press("Tab")
            reached.add(page.run("document.activeElement.id || document.activeElement.className"))
        assert {"skip", "messages", "question", "model", "show-options", "send"} <= reached
        page.run("document.querySelector('#question').focus()")
        page.write("one")
        page.press("Enter", shift=True)
        page.write("two")
        assert page.run("document.querySelector('#question').value") == "one\ntwo"
        page.press("Enter")
        page.wait("document.querySelector('.prose')?.innerText === 'Hello world'")
        assert page.text(".mine .text") == "one\ntwo"
        assert page.run("document.activeElement.id") == "question"

    await visit(look)


async def test_who_asks_while_the_model_is_loaded_is_told(serving: Serving, visit: Visit) -> None:
    serving.residency.hold_load = asyncio.Event()
    loop = asyncio.get_running_loop()

    def look(page: Page) -> None:
        ask(page, "hello", wait=False)
        page.wait("document.querySelector('.waiting').innerText === 'Loading the model…'")
        assert serving.residency.hold_load is not None
        loop.call_soon_threadsafe(serving.residency.hold_load.set)
        page.wait("document.querySelector('.prose').innerText === 'Hello world'")
        page.click("#clear")
        page.wait("document.querySelector('.empty h2').innerText.startsWith('Ask ')")
        wait_until(lambda: not serving.residency.leases, "the model is given back")

    await visit(look)
