"""The interactive chat, through a real terminal pair."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.control_daemon import FakeDaemon
from fakes.serving import PARROT
from support.terminal import Terminal
from support.waiting import GUARD


@pytest.fixture
def chat(daemon: FakeDaemon, environment: dict[str, str]) -> Iterator[Terminal]:
    daemon.store.add("mlx-serve/starter", layers=PARROT.manifest.layers)
    terminal = Terminal(environment, "run", "starter")
    terminal.expect(">>> ")
    yield terminal
    terminal.close()


def test_chat_remembers_what_was_said_until_clear(chat: Terminal, daemon: FakeDaemon) -> None:
    chat.say("one", "You said: one")
    chat.say("two", "You said: two")
    roles = [(each["role"], each["content"]) for each in daemon.chats[-1]["messages"]]
    assert roles == [("user", "one"), ("assistant", "You said: one"), ("user", "two")]
    chat.say("/clear", "Cleared the conversation")
    chat.say("three", "You said: three")
    assert len(daemon.chats[-1]["messages"]) == 1
    chat.type("/bye\n")
    assert chat.process.wait(GUARD) == 0


def test_model_is_loaded_before_the_first_question(chat: Terminal, daemon: FakeDaemon) -> None:
    assert daemon.chats[0]["messages"] == []


def test_several_lines_between_triple_quotes_are_one_message(chat: Terminal, daemon: FakeDaemon) -> None:
    chat.type('"""first\n')
    chat.expect("... ")
    chat.type('second"""\n')
    chat.expect("second\r\n")
    chat.expect(">>> ")
    assert daemon.chats[-1]["messages"][-1]["content"] == "first\nsecond"


def test_settings_reach_the_next_request(chat: Terminal, daemon: FakeDaemon) -> None:
    chat.say("/set system Be brief.", "Set the system message.")
    chat.say("/set parameter temperature 0.5", "Set parameter temperature to 0.5.")
    chat.say("/set parameter num_predict 7", "to 7.")
    chat.say("/set parameter stop END", '["END"]')
    chat.say("/set format json", "Set format json.")
    chat.say("/set nothink", "Set nothink.")
    chat.say("hello", "You said: hello")
    body = daemon.chats[-1]
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert body["options"] == {"temperature": 0.5, "num_predict": 7, "stop": ["END"]}
    assert (body["format"], body["think"]) == ("json", False)
    chat.say("/set noformat", "Set noformat.")
    chat.say("again", "You said: again")
    assert "format" not in daemon.chats[-1]


def test_wrong_settings_are_explained(chat: Terminal) -> None:
    chat.say("/set parameter temperature hot", "temperature takes a number, not 'hot'.")
    chat.say("/set parameter warmth 1", "There is no parameter warmth")
    chat.say("/set", "/set parameter NAME VALUE")
    chat.say("/dance", "There is no command /dance")
    chat.say("/?", "Ctrl-D")


def test_show_asks_the_daemon(chat: Terminal) -> None:
    chat.say("/show template", "{{hello}}")
    assert "qwen3" in chat.say("/show info", "capabilities")
    chat.say("/show system", "There is no system message.")


def test_verbose_shows_timings(chat: Terminal) -> None:
    chat.say("/set verbose", "Set verbose.")
    chat.say("hi", "eval rate:            20.00 tokens/s")


def test_thinking_is_dim(chat: Terminal) -> None:
    assert "\x1b[2mhmm, well\x1b[0m" in chat.say("think", "You said: think")


def test_no_color_is_honoured(daemon: FakeDaemon, environment: dict[str, str]) -> None:
    daemon.store.add("mlx-serve/starter")
    terminal = Terminal({**environment, "NO_COLOR": "1"}, "run", "starter", "think")
    shown = terminal.expect("You said: think")
    terminal.close()
    assert "Thinking...\r\nhmm, well\r\n...done thinking." in shown
    assert "\x1b[" not in shown


def test_ctrl_c_stops_the_answer_and_not_the_chat(chat: Terminal, daemon: FakeDaemon) -> None:
    chat.type("endless\n")
    chat.expect("on on")
    chat.process.send_signal(signal.SIGINT)
    chat.expect(">>> ")
    assert daemon.engine.cut.wait(GUARD)
    chat.say("still there?", "You said: still there?")
    assert daemon.chats[-1]["messages"][1]["content"].startswith("You said: on")


def test_ctrl_c_at_the_prompt_says_how_to_leave_and_ctrl_d_leaves(chat: Terminal) -> None:
    chat.interrupt("Use Ctrl-D or /bye to exit.")
    chat.expect(">>> ")
    chat.leave()


def test_error_of_one_answer_does_not_end_the_chat(chat: Terminal) -> None:
    chat.say("fail", "ended unexpectedly")
    chat.say("refuse", "this prompt is refused")
    chat.say("fine", "You said: fine")


def test_history_is_kept_in_a_private_file(chat: Terminal, home: Path) -> None:
    chat.say("remember me", "You said: remember me")
    chat.say("/set nohistory", "Set nohistory.")
    chat.say("/set history", "Set history.")
    chat.leave()
    assert "remember me" in (home / "history").read_text()
    assert (home / "history").stat().st_mode & 0o077 == 0


def test_nothing_typed_after_nohistory_is_kept(chat: Terminal, home: Path) -> None:
    chat.say("/set nohistory", "Set nohistory.")
    chat.say("secret", "You said: secret")
    chat.say("/set history", "Set history.")
    chat.leave()
    assert "secret" not in (home / "history").read_text()


def test_escape_sequences_of_a_model_do_not_reach_the_terminal(chat: Terminal, daemon: FakeDaemon) -> None:
    shown = chat.say("/set system x", "Set")
    chat.type('"""\x16\x1b]0;title\x07"""\n')
    shown = chat.expect("You said: ") + chat.expect(">>> ")
    assert daemon.chats[-1]["messages"][-1]["content"].startswith("\x1b")
    assert "\x1b]0;title" not in shown.partition("You said: ")[2]


def test_pull_draws_bars_on_a_terminal(daemon: FakeDaemon, environment: dict[str, str]) -> None:
    terminal = Terminal(environment, "pull", "starter")
    shown = terminal.expect("pulled starter (1.5 MB)")
    terminal.close()
    assert "model.safetensors: 100% ▕████" in shown
    assert "100 KB" in shown
