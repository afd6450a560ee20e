"""Whatever the disk does, answers are the same, nobody waits for ever, and the log says once what is wrong."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from support.disk_engine import REFUSALS, Process, failing, tokens
from support.engine_wire import ask, run
from support.small_blocks import blocks_of
from support.waiting import GUARD, wait_until

from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.prefix.disk import block_writer
from mlx_serve.daemon.engine.prefix.disk.disk_store import DiskStore
from mlx_serve.daemon.engine.prefix.disk.reading import read_back

SIZE = 16
PROMPT = tokens(9 * SIZE + 3, 1)
STOPPED = "stop writing prompts to disk reason="

Loaded = Callable[[str], LanguageModel]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks_of(SIZE, monkeypatch, least=2 * SIZE)


@pytest.fixture
def model(loaded: Loaded) -> LanguageModel:
    return loaded("llama")


@pytest.fixture
def begin(model: LanguageModel, tmp_path: Path) -> Iterator[Callable[[], Process]]:
    """Processes that live at the same time."""
    begun: list[Process] = []

    def start() -> Process:
        begun.append(Process(model, tmp_path / "files"))
        return begun[-1]

    yield start
    for one in begun:
        one.end()


def expected(model: LanguageModel, *prompts: tuple[int, ...]) -> list[list[int]]:
    return Process(model, None).answer(*prompts)[0]


def written(begin: Callable[[], Process]) -> Process:
    """One that has read the prompt, and has ended."""
    first = begin()
    first.answer(PROMPT)
    first.end()
    return first


@pytest.mark.parametrize(("place", "name", "code"), REFUSALS)
def test_a_disk_that_takes_no_more(
    place: Any,
    name: str,
    code: int,
    model: LanguageModel,
    begin: Callable[[], Process],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """What is there is read on; nothing half written is left, and the log has one line."""
    first = written(begin)
    files = sorted(first.folder.iterdir())
    monkeypatch.setattr(place, name, failing(code))
    second, longer = begin(), (*PROMPT[: 9 * SIZE], *tokens(5 * SIZE, 2))
    answers, cached = second.answer(longer)
    second.answer(tokens(5 * SIZE, 3))
    second.end()
    assert answers == expected(model, longer) and cached == [9 * SIZE]
    assert second.engine.idle and sorted(first.folder.iterdir()) == files
    said = capfd.readouterr().err
    assert said.count(STOPPED) == 1 and os.strerror(code) in said


def test_a_disk_that_has_room_again(
    model: LanguageModel,
    begin: Callable[[], Process],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """What did not get there is written when it is used again, without a restart."""
    monkeypatch.setattr(block_writer, "_PAUSE", 0.0)
    one, more = begin(), (*PROMPT, *tokens(SIZE, 2))
    with monkeypatch.context() as full:
        full.setattr(os, "write", failing(errno.ENOSPC))
        one.answer(PROMPT)
        one.answer(tokens(5 * SIZE, 3))
        assert wait_until(lambda: STOPPED in capfd.readouterr().err, "the log says it")

    def there() -> bool:
        """The thread that writes has looked for what is used again, found that it is not on disk, and was given it."""
        one.answer(PROMPT)
        (cached,) = begin().answer(PROMPT)[1]
        return cached >= 9 * SIZE

    wait_until(there, "the blocks of the prompt are on disk")
    one.answer(more)
    one.end()
    answers, (cached,) = begin().answer(more)
    assert answers == expected(model, more) and cached >= 9 * SIZE


def test_a_folder_that_is_open_to_others(
    model: LanguageModel, begin: Callable[[], Process], capfd: pytest.CaptureFixture[str]
) -> None:
    """It is neither read nor written, and the log says what to do."""
    first = written(begin)
    root = first.folder.parent
    root.chmod(0o755)
    assert Process(model, root).answer(PROMPT) == (expected(model, PROMPT), [0])
    assert f"chmod 700 {root}" in capfd.readouterr().err


def test_two_daemons_at_once(model: LanguageModel, begin: Callable[[], Process]) -> None:
    """The same prompts and others, written and read by both: each says what it says alone."""
    one, other = begin(), begin()
    prompts = [PROMPT, (*PROMPT[: 6 * SIZE], *tokens(4 * SIZE, 4)), tokens(7 * SIZE, 5)]
    wanted = [expected(model, prompt)[0] for prompt in prompts]
    for prompt, answer in zip(prompts, wanted, strict=True):
        assert [one.answer(prompt)[0], other.answer(prompt)[0]] == [[answer], [answer]]
    one.end()
    other.end()
    third = begin()
    for prompt, answer in zip(prompts, wanted, strict=True):
        text, (cached,) = third.answer(prompt)
        assert text == [answer] and cached >= (len(prompt) - 1) // SIZE * SIZE
    assert {path.suffix for path in third.folder.iterdir()} == {".block"}


def test_a_disk_that_does_not_answer(
    model: LanguageModel, begin: Callable[[], Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prompt waits for it so long, and the next one not at all; when it comes back it is asked again."""
    written(begin)
    stuck, answered = begin(), Event()
    real = DiskStore.read

    def read(store: DiskStore, name: bytes, room: Any) -> Any:
        answered.wait(GUARD)
        return real(store, name, room)

    monkeypatch.setattr(read_back, "_STUCK_SECONDS", 0.05)
    monkeypatch.setattr(DiskStore, "read", read)
    assert stuck.answer(PROMPT) == (expected(model, PROMPT), [0])
    assert stuck.engine._reuse._files is not None
    back = stuck.engine._reuse._files._back
    assert back is not None and back.stuck
    other = tokens(7 * SIZE, 6)
    assert stuck.answer(other) == (expected(model, other), [0])
    answered.set()


def test_what_comes_from_disk_holds_nobody_up(
    model: LanguageModel, begin: Callable[[], Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prompt whose files take their time waits; another one is answered meanwhile."""
    written(begin)
    slow, gate = begin(), Event()
    real = DiskStore.read

    def read(store: DiskStore, name: bytes, room: Any) -> Any:
        gate.wait(GUARD)
        return real(store, name, room)

    monkeypatch.setattr(DiskStore, "read", read)
    short = tokens(8, 7)

    def script() -> Iterator[list[Any]]:
        yield [ask(1, PROMPT), ask(2, short)]
        while 2 not in slow.wire.events or not hasattr(slow.wire.events[2][-1], "reason"):
            yield []
        assert not [event for event in slow.wire.events.get(1, []) if hasattr(event, "reason")]
        gate.set()

    run((slow.engine, slow.wire), script())
    assert slow.wire.tokens(2) == expected(model, short)[0]
    assert slow.wire.tokens(1) == expected(model, PROMPT)[0]
    assert slow.wire.finished(1).cached_tokens == 9 * SIZE


def test_what_is_swept_and_used_again_is_written_again(model: LanguageModel, begin: Callable[[], Process]) -> None:
    """Another daemon, or a user, has emptied the folder; memory knows the prompt, and the next process does too."""
    one = begin()
    one.answer(PROMPT)
    while one.engine._reuse.copied:
        one.engine.step()
    for path in one.folder.iterdir():
        path.unlink()
    one.answer(PROMPT)
    assert one.engine._reuse._files is not None
    behind = one.engine._reuse._files._behind
    assert behind is not None and behind._writer.flush(GUARD)
    one.engine.step()
    one.end()
    assert begin().answer(PROMPT)[1] == [9 * SIZE]
