"""`mlx-serve run` with pictures: `--image`, and paths dropped into the chat."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.control_daemon import FakeDaemon, Run
from support.sent_pictures import png
from support.terminal import Terminal

RED, BLUE = png("red"), png("blue")


@pytest.fixture
def red(tmp_path: Path) -> str:
    (tmp_path / "a red.png").write_bytes(RED)
    return str(tmp_path / "a red.png")


@pytest.fixture
def blue(tmp_path: Path) -> str:
    (tmp_path / "blue.png").write_bytes(BLUE)
    return str(tmp_path / "blue.png")


@pytest.fixture
def eyes(daemon: FakeDaemon) -> FakeDaemon:
    """A daemon with one model that sees, and one of each kind that does not."""
    daemon.store.add("acme/eyes", kind="vlm", capabilities=("completion", "vision"))
    for kind, name in (("llm", "words"), ("embedding", "vectors"), ("reranker", "judge")):
        daemon.store.add(f"acme/{name}", kind=kind)
    return daemon


def sent(daemon: FakeDaemon) -> list[list[bytes]]:
    """The pictures of each message of the last request."""
    return [[base64.b64decode(each) for each in message.get("images", [])] for message in daemon.chats[-1]["messages"]]


def test_images_go_with_the_prompt_in_their_order(eyes: FakeDaemon, run: Run, red: str, blue: str) -> None:
    done = run("run", "eyes", "what?", "--image", red, "--image", blue, "--system", "be brief")
    assert (done.returncode, done.stdout) == (0, "You said: what? [2 pictures]\n")
    assert sent(eyes) == [[], [RED, BLUE]]


@pytest.mark.parametrize(
    ("model", "kind"),
    [("words", "a language model"), ("vectors", "an embedding model"), ("judge", "a reranker")],
)
def test_a_model_that_cannot_see_is_not_asked(eyes: FakeDaemon, run: Run, red: str, model: str, kind: str) -> None:
    done = run("run", model, "what?", "--image", red)
    assert done.returncode == 1
    assert done.stderr == (
        f"mlx-serve: {model} cannot see pictures: it is {kind}; use a vision-language model, such as starter-vl\n"
    )
    assert eyes.chats == []


def test_files_that_are_no_pictures_are_found_without_a_daemon(run: Run, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_text("hello")
    assert run("run", "eyes", "x", "--image", "/no/such.png").stderr == (
        "mlx-serve: /no/such.png: No such file or directory\n"
    )
    assert run("run", "eyes", "x", "--image", str(tmp_path)).stderr == f"mlx-serve: {tmp_path}: Is a directory\n"
    refused = run("run", "eyes", "x", "--image", str(tmp_path / "x.png"))
    assert refused.returncode == 1 and "x.png is not a picture that can be shown" in refused.stderr


@pytest.fixture
def chat(eyes: FakeDaemon, environment: dict[str, str]) -> Iterator[Terminal]:
    terminal = Terminal(environment, "run", "eyes")
    terminal.expect(">>> ")
    yield terminal
    terminal.close()


def test_a_path_dropped_into_the_chat_is_a_picture(chat: Terminal, eyes: FakeDaemon, red: str, blue: str) -> None:
    """It is said so, the path is not part of the text, and the picture stays in the conversation."""
    shown = chat.say(f"'{red}' what is it?", "You said: what is it? [1 pictures]")
    assert f"Added image {red}." in shown
    chat.say("which colour?", "You said: which colour?")
    assert sent(eyes) == [[RED], [], []]
    escaped = red.replace(" ", "\\ ")
    chat.say(f"{escaped} {blue} compare", "You said: compare [2 pictures]")
    assert sent(eyes)[-1] == [RED, BLUE]
    assert eyes.chats[-1]["messages"][-1]["content"] == "compare"


def test_a_line_that_begins_with_a_path_is_no_command(chat: Terminal, eyes: FakeDaemon, blue: str) -> None:
    chat.say(blue, "You said:  [1 pictures]")
    chat.say("/no/such.png", "There is no command /no/such.png")


def test_a_file_that_is_no_picture_is_said_and_not_sent(chat: Terminal, eyes: FakeDaemon, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_text("hello")
    chat.say(f"{tmp_path}/x.png what?", "is not a picture that can be shown")
    assert len(eyes.chats) == 1
    chat.say("still there?", "You said: still there?")


def test_pictures_of_the_command_line_go_with_the_first_message(
    eyes: FakeDaemon, environment: dict[str, str], red: str
) -> None:
    terminal = Terminal(environment, "run", "eyes", "--image", red)
    terminal.expect(">>> ")
    terminal.say("what?", "You said: what? [1 pictures]")
    terminal.say("and?", "You said: and?")
    assert sent(eyes) == [[RED], [], []]
    terminal.close()


def test_a_model_that_cannot_see_gets_the_path_as_text(
    eyes: FakeDaemon, environment: dict[str, str], blue: str
) -> None:
    """It may be asked about paths."""
    terminal = Terminal(environment, "run", "words")
    terminal.expect(">>> ")
    shown = terminal.say(f"open {blue}", f"You said: open {blue}")
    assert "acme/words cannot see pictures: it gets the path as text" in shown
    terminal.close()
