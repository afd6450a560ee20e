"""The line of `run` while a prompt is read, and what `ps` shows: how far, how fast, how long, as the daemon says."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from mlx_serve.control.cli import chat_stream
from mlx_serve.control.cli.chat_stream import Progress
from mlx_serve.control.cli.client import NoDaemon
from mlx_serve.control.cli.commands.memory import loaded_table, read_part


class Daemon:
    """Answers each look with the next row, at the next second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.row: dict[str, Any] | None = None
        self.now = 0.0
        monkeypatch.setattr(chat_stream, "Client", lambda path, timeout: self)
        self.look = Progress(SimpleNamespace(path="x"), "me", lambda: self.now)  # type: ignore[arg-type]

    def get(self, path: str) -> dict[str, Any]:
        if self.row is None:
            raise NoDaemon("x")
        return {"requests": [{"id": "other"}, {"id": "me", "model": "local/m", "generated_tokens": 0} | self.row]}

    def says(self, second: float, read: int, whole: int = 40_000, state: str = "prefilling") -> str | None:
        self.now, self.row = second, {"state": state, "read_tokens": read, "prompt_tokens": whole}
        return self.look()


def test_reading_is_shown_with_its_part_and_its_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was known before is no speed, and neither is what one look alone could tell."""
    daemon = Daemon(monkeypatch)
    assert daemon.look() is None
    assert daemon.says(0, 0, 0) == "reading the prompt"
    assert daemon.says(1, 0) == "reading the prompt of 40,000 tokens"
    assert daemon.says(2, 30_000) == "reading the prompt: 30,000 of 40,000 tokens, 75 %"
    assert daemon.says(2.2, 30_100) == "reading the prompt: 30,100 of 40,000 tokens, 75 %"
    assert daemon.says(4, 33_000) == "reading the prompt: 33,000 of 40,000 tokens, 82 %, 1,500 a second"
    assert daemon.says(6, 512) == "reading the prompt: 512 of 40,000 tokens, 1 %", "it has begun anew"
    assert daemon.says(7, 1_012) == "reading the prompt: 1,012 of 40,000 tokens, 2 %, 500 a second"
    assert daemon.says(8, 40_000, state="decoding") is None
    assert daemon.says(8, 0, state="queued") == "waiting for its turn"


@pytest.mark.parametrize(
    ("state", "read", "shown"), [("prefilling", 12_400, "31%"), ("prefilling", 0, ""), ("decoding", 40_000, "")]
)
def test_ps_shows_the_part(state: str, read: int, shown: str) -> None:
    assert read_part({"state": state, "read_tokens": read, "prompt_tokens": 40_000}) == shown


@pytest.mark.parametrize(("pinned", "until"), [(True, "pinned"), (False, "forever")])
def test_ps_says_that_a_model_is_pinned(pinned: bool, until: str) -> None:
    row = dict.fromkeys(
        ("memory", "prefix_memory", "prefix_disk", "context_length", "last_used", "running", "waiting"), 0
    )
    texts = {"name": "m", "id": "a", "backend": "cpu", "precision": None, "expires_at": None, "pinned": pinned}
    assert loaded_table([row | texts]).endswith(f"    {until}")


@pytest.mark.parametrize(("precision", "shown"), [("float32", "cpu float32"), (None, "cpu")])
def test_ps_says_in_which_precision_a_model_computes(precision: str | None, shown: str) -> None:
    """Where that is not the one of its files: packed weights that were unpacked at load."""
    row = dict.fromkeys(
        ("memory", "prefix_memory", "prefix_disk", "context_length", "last_used", "running", "waiting"), 0
    )
    texts = {"name": "m", "id": "a", "backend": "cpu", "precision": precision, "expires_at": None}
    assert re.search(rf"    {shown} +0    ", loaded_table([row | texts]))
