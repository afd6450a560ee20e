"""The interactive chat as people use it, in a real terminal."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fakes.control_daemon import FakeDaemon
from fakes.serving import PARROT
from support.tmux import Tmux
from support.waiting import GUARD

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


@pytest.fixture
def chat(daemon: FakeDaemon, environment: dict[str, str], short_path: Path) -> Iterator[Tmux]:
    daemon.store.add("mlx-serve/starter", layers=PARROT.manifest.layers)
    with closing(Tmux(short_path, environment, sys.executable, "-m", "mlx_serve", "run", "starter")) as terminal:
        terminal.shows(">>>")
        yield terminal


def test_a_chat(chat: Tmux, daemon: FakeDaemon) -> None:
    """Up brings back what was typed, also what was said before in two lines; Ctrl-C at the prompt drops what stands
    there and says how to leave; Ctrl-D leaves."""
    chat.line("hello")
    chat.shows("You said: hello")
    chat.keys("Up", "Enter")
    chat.shows(">>> hello\n")
    chat.line('"""one')
    chat.shows("...")
    chat.line('two"""')
    chat.shows("You said: one\ntwo\n")
    assert [each["messages"][-1]["content"] for each in daemon.chats[1:]] == ["hello", "hello", "one\ntwo"]
    chat.type("not meant")
    chat.shows(">>> not meant")
    chat.interrupt("Use Ctrl-D or /bye to exit.")
    chat.shows("exit.\n>>>\n")
    chat.keys("C-d")
    chat.shows("ended with 0")
    assert len(daemon.chats) == 4


def test_several_pasted_lines_are_one_message(chat: Tmux, daemon: FakeDaemon) -> None:
    chat.paste("first\nsecond")
    chat.keys("Enter")
    chat.shows("You said: first\nsecond\n")
    assert daemon.chats[-1]["messages"][-1]["content"] == "first\nsecond"


def test_a_long_prompt_shows_that_it_is_read(chat: Tmux, daemon: FakeDaemon) -> None:
    """And how far, as soon as that is known. The line goes when the answer comes; a thought is dim, and the answer is
    not; speed comes with /set verbose."""
    chat.line("/set verbose")
    chat.line("slow")
    chat.shows("reading the prompt of 26 tokens (")
    daemon.read.set()
    chat.shows("You said: slow")
    daemon.read.clear()
    chat.line("half")
    chat.shows("reading the prompt: 13 of 26 tokens, 50 % (")
    daemon.read.set()
    chat.shows("You said: half")
    chat.hides("reading the prompt")
    chat.shows("20.00 tokens/s")
    chat.line("think")
    chat.shows("\x1b[2mhmm, well", styled=True)
    chat.shows("You said: think")
    styled = next(line for line in chat.screen(styled=True).splitlines() if "You said: think" in line)
    assert "\x1b[2m" not in styled.replace("\x1b[0m", "").partition("You said")[2]


def test_ctrl_c_stops_what_is_under_way_and_not_the_chat(chat: Tmux, daemon: FakeDaemon) -> None:
    """An answer, and a prompt that is still read."""
    chat.line("endless")
    chat.shows("on on on")
    chat.keys("C-c")
    assert daemon.engine.cut.wait(GUARD)
    daemon.engine.cut.clear()
    chat.line("slow")
    chat.shows("reading the prompt")
    chat.keys("C-c")
    assert daemon.engine.cut.wait(GUARD)
    chat.hides("reading the prompt")
    chat.line("still there?")
    chat.shows("You said: still there?")
    chat.line("/bye")
    chat.shows("ended with 0")
