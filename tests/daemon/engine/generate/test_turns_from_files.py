"""Whole turns that went through files give the answers that reading everything gives, and a bad file gives nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any

import msgspec
import pytest
from support.disk_engine import PLENTY, REFUSALS, Process, failing, tokens
from support.engine_wire import ask, run
from support.small_blocks import blocks_of
from support.uncut_models import CONFIGS, uncut
from support.waiting import GUARD

from mlx_serve.daemon.engine.generate import disk, generator
from mlx_serve.daemon.engine.model.load import LanguageModel
from mlx_serve.daemon.engine.prefix.ahead import at_once
from mlx_serve.daemon.engine.prefix.disk.block_file import BlockFile, encode
from mlx_serve.daemon.engine.prefix.disk.reading import read_back
from mlx_serve.daemon.engine.prefix.disk.reading.run_memory import RunMemory
from mlx_serve.daemon.engine.prefix.disk.tensor import Tensor
from mlx_serve.daemon.engine.prefix.disk.turn_store import TurnStore
from mlx_serve.daemon.engine.prefix.state_graph import Instance, Items, Leaf, Ref
from mlx_serve.daemon.protocol import Cancel, Sampling

NAMES = list(CONFIGS)
SIZE = 8
PROMPT = tokens(61, 1)
COUNT = 12  # tokens of an answer

Made = Callable[[str], LanguageModel]
Begin = Callable[..., Process]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks_of(SIZE, monkeypatch, least=2 * SIZE)


@pytest.fixture(scope="module")
def made(llama: LanguageModel) -> Made:
    models = {name: uncut(name, llama) for name in NAMES}
    return lambda name: models[name]


@pytest.fixture(autouse=True)
def tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process tries whether its network's caches can be copied, and written; it is the same network each time."""
    monkeypatch.setattr(generator, "copies_work", once_each(generator.copies_work, COPIED))
    monkeypatch.setattr(disk, "whole_layout", once_each(disk.whole_layout, LAYOUTS))


COPIED: dict[int, Any] = {}
LAYOUTS: dict[int, Any] = {}


def once_each(tried: Callable[[Any], Any], results: dict[int, Any]) -> Callable[[Any], Any]:
    def known(network: Any) -> Any:
        if id(network) not in results:
            results[id(network)] = tried(network)
        return results[id(network)]

    return known


@pytest.fixture
def begin(made: Made, tmp_path: Path) -> Iterator[Begin]:
    begun: list[Process] = []

    def start(name: str = "llama4", **more: Any) -> Process:
        begun.append(Process(made(name), tmp_path / "files", **more))
        return begun[-1]

    yield start
    for one in begun:
        one.end()


def answer(process: Process, prompt: tuple[int, ...], **options: Any) -> tuple[list[int], int]:
    (found,), (cached,) = process.answer(prompt, count=COUNT, **options)
    return found, cached


def expected(made: Made, prompt: tuple[int, ...], name: str = "llama4", **options: Any) -> list[int]:
    """Of an engine that keeps nothing; asked once."""
    key = (name, prompt, repr(options))
    if key not in SAID:
        SAID[key] = answer(Process(made(name), None), prompt, **options)[0]
    return SAID[key]


SAID: dict[tuple[Any, ...], list[int]] = {}


def written(begin: Begin, name: str = "llama4") -> tuple[Process, tuple[int, ...]]:
    """A process that has ended, and the text that it, or one before it, has read and said and left in files."""
    first = begin(name)
    if name in WRITTEN:
        said, files = WRITTEN[name]
        first.end()  # its thread removes folders without files
        for folder in (first.folder.parent, first.folder):
            folder.mkdir(mode=0o700, exist_ok=True)
        for file, content in files.items():
            (first.folder / file).write_bytes(content)
        first = begin(name)
    else:
        said, _ = answer(first, PROMPT)
        first.end()
        WRITTEN[name] = said, {path.name: path.read_bytes() for path in first.folder.iterdir()}
    first.end()
    return first, (*PROMPT, *said)


WRITTEN: dict[str, tuple[list[int], dict[str, bytes]]] = {}


@pytest.mark.parametrize(("name", "pipelined"), [*((name, False) for name in NAMES), ("llama4", True)])
def test_a_new_process_goes_on_from_whole_turns(name: str, pipelined: bool, made: Made, begin: Begin) -> None:
    """The same prompt, the next turn, and one that parts after the first: the texts are those of an engine that keeps
    nothing, greedy and drawn with a seed. What was read is not read again, and where it came from is counted."""
    first = begin(name, pipelined=pipelined)
    assert first.engine.reuse == "turns"
    said, none = answer(first, PROMPT)
    first.end()
    assert none == 0 and said == expected(made, PROMPT, name)
    seeded = {"sampling": Sampling(temperature=1.0, seed=7)}
    for prompt, known, options in (
        (PROMPT, len(PROMPT) - 1, {}),
        ((*PROMPT, *said, *tokens(9, 2)), len(PROMPT) + COUNT - 1, seeded),
        ((*PROMPT, *tokens(30, 3)), len(PROMPT) - 1, {}),
    ):
        new = begin(name, pipelined=pipelined)
        assert answer(new, prompt, **options) == (expected(made, prompt, name, **options), known)
        assert new.engine.gauges().prefix_disk_tokens == known and new.engine.gauges().prefix_disk_bytes > 0
        assert new.engine.audit() is None
        new.end()


def test_a_file_is_a_turn(begin: Begin) -> None:
    """Its name says after how many tokens; nothing is packed, whatever the setting; short texts leave none."""
    first = begin(bits=8)
    answer(first, tokens(4, 6))
    answer(first, PROMPT)
    first.end()
    assert first.engine.file_bits is None
    lengths = sorted(int(path.stem.partition("-")[2]) for path in first.folder.iterdir())
    assert lengths == [len(PROMPT) - 1, len(PROMPT) + COUNT - 1]
    assert answer(begin(), PROMPT)[1] == len(PROMPT) - 1


def test_a_conversation_of_many_turns(made: Made, begin: Begin) -> None:
    """Each turn in a process of its own; the longest one that is there is taken, and a shorter one where that is gone;
    what saves less than a block is not read."""
    prompt = PROMPT
    for turn in range(3):
        process = begin()
        said, cached = answer(process, prompt)
        process.end()
        assert said == expected(made, prompt) and (not turn or cached == len(prompt) - 9 - 1)
        prompt = (*prompt, *said, *tokens(9, turn + 2))
    lengths = [length for length, _ in turns(process)]
    assert len(lengths) == 6 and lengths == sorted(lengths, reverse=True)
    for longest, next_one in pairwise(lengths[:4]):
        file_of(process, longest).unlink()
        there = set(process.folder.iterdir())
        new = begin()
        assert answer(new, prompt) == (expected(made, prompt), next_one)
        new.end()
        for path in set(new.folder.iterdir()) - there:
            path.unlink()
    nearly = begin()
    assert answer(nearly, (*PROMPT[: len(PROMPT) - 1], *tokens(3, 9)))[1] == len(PROMPT) - 1
    assert answer(nearly, PROMPT[: 3 * SIZE])[1] == 0
    tokens_read = nearly.engine.gauges().prefix_disk_tokens
    answer(nearly, (*PROMPT, *tokens(SIZE - 3, 9)))
    assert nearly.engine.gauges().prefix_disk_tokens == tokens_read


def turns(process: Process) -> list[tuple[int, bytes]]:
    store = process.engine._reuse._files._store
    assert isinstance(store, TurnStore)
    return store.turns()


def file_of(process: Process, length: int) -> Path:
    (path,) = process.folder.glob(f"*-{length}.end")
    return path


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


WRONG: dict[str, Callable[[bytes], bytes]] = {
    "its first byte": lambda content: flipped(content, 0),
    "its header": lambda content: flipped(content, 60),
    "its middle": lambda content: flipped(content, len(content) // 2),
    "its last byte": lambda content: flipped(content, len(content) - 1),
    "short": lambda content: content[:-1],
    "half": lambda content: content[: len(content) // 2],
    "a head": lambda content: content[:44],
    "empty": lambda content: b"",
    "long": lambda content: content + b"x",
    "something else": lambda content: os.urandom(len(content)),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_file_is_a_miss(name: str, wrong: str, made: Made, begin: Begin) -> None:
    """It is gone, the turn before serves, and it is written anew."""
    first, text = written(begin, name)
    path = file_of(first, len(text) - 1)
    content = path.read_bytes()
    path.write_bytes(WRONG[wrong](content))
    turn = (*text, *tokens(2 * SIZE, 4))
    second = begin(name)
    assert answer(second, turn) == (expected(made, turn, name), len(PROMPT) - 1)
    second.end()
    assert not path.exists()
    again = begin(name)
    said, cached = answer(again, PROMPT)
    again.end()
    assert (*PROMPT, *said) == text and cached == len(PROMPT) - 1 and path.read_bytes() == content


def test_a_state_of_another_network_is_a_miss(made: Made, begin: Begin) -> None:
    """Under the right names, with right checksums: other classes, other types, another number of caches."""
    first, text = written(begin)
    other = begin("deepseek_v41")
    answer(other, PROMPT)
    other.end()
    key, store = first.folder.name, first.engine._reuse._files._store
    assert isinstance(store, TurnStore)
    length, name = turns(first)[0]
    file = store.read(name)
    foreign = TurnStore(other.folder.parent, other.folder.name, PLENTY).read(turns(other)[0][1])
    assert file is not None and foreign is not None and turns(other)
    graph = file.header.whole
    assert graph is not None
    fewer = msgspec.structs.replace(graph, nodes=(*graph.nodes[:-1], Items("list", (Ref(0),))))
    renamed = tuple(Instance("builtins.eval", one.fields) if isinstance(one, Instance) else one for one in graph.nodes)
    halves = tuple(Leaf("float16", (2, *one.shape)) if isinstance(one, Leaf) else one for one in graph.nodes)
    late = (Items("list", (Ref(5),)), *graph.nodes)
    wrongs = [msgspec.structs.replace(foreign.header, key=key, name=name, parent=file.header.parent)]
    for nodes in (fewer.nodes, renamed, halves, late, ()):
        changed = msgspec.structs.replace(graph, nodes=nodes)
        tensors = tuple(Tensor(one.dtype, one.shape) for one in changed.leaves)
        wrongs.append(msgspec.structs.replace(file.header, snapshots=(changed,), tensors=tensors))
    wrongs.append(msgspec.structs.replace(file.header, snapshots=(msgspec.structs.replace(graph, tokens=3),)))
    turn = (*text, *tokens(2 * SIZE, 4))
    answers = expected(made, turn)
    for number, header in enumerate(wrongs):
        contents = tuple(bytes(one.nbytes) for one in header.tensors)
        file_of(first, length).write_bytes(b"".join(encode(BlockFile(header, file.tokens, contents))))
        new = begin()
        assert answer(new, turn) == (answers, len(PROMPT) - 1), number
        new.end()
        for longer, _ in turns(first)[:-1]:
            assert longer > length, number
            file_of(first, longer).unlink()
        store.write(file)


@pytest.mark.parametrize(("place", "name", "code"), REFUSALS)
def test_a_disk_that_takes_no_more(
    place: Any,
    name: str,
    code: int,
    made: Made,
    begin: Begin,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """What is there is read on; nothing half written is left, and the log has one line."""
    first, text = written(begin)
    files = sorted(first.folder.iterdir())
    monkeypatch.setattr(place, name, failing(code))
    second, turn = begin(), (*text, *tokens(2 * SIZE, 2))
    assert answer(second, turn) == (expected(made, turn), len(text) - 1)
    answer(second, tokens(5 * SIZE, 3))
    second.end()
    assert second.engine.idle and sorted(first.folder.iterdir()) == files
    said = capfd.readouterr().err
    assert said.count("stop writing prompts to disk reason=") == 1 and os.strerror(code) in said


def test_two_daemons_at_once(made: Made, begin: Begin) -> None:
    """The same prompts and others, written and read by both: each says what it says alone."""
    one, other = begin(), begin()
    prompts = [PROMPT, (*PROMPT[:40], *tokens(4 * SIZE, 4)), tokens(7 * SIZE, 5)]
    wanted = [expected(made, prompt) for prompt in prompts]
    for prompt, said in zip(prompts, wanted, strict=True):
        assert [answer(one, prompt)[0], answer(other, prompt)[0]] == [said, said]
    one.end()
    other.end()
    third = begin()
    for prompt, said in zip(prompts, wanted, strict=True):
        assert answer(third, prompt) == (said, len(prompt) - 1)
    third.end()
    assert not list(third.folder.parent.glob("*/*.partial"))


def test_they_stay_within_the_budget(made: Made, begin: Begin) -> None:
    """The oldest go first, and what is used is not the oldest; a state that is larger than all of it is not written."""
    first, _ = written(begin)
    size = max(path.stat().st_size for path in first.folder.iterdir())
    budget = 5 * size
    process = begin(budget=budget)
    for seed in range(6):
        answer(process, tokens(61, seed + 10))
        answer(process, PROMPT)
        flush(process)
        assert sum(path.stat().st_size for path in process.folder.iterdir()) <= budget
        assert process.engine.gauges().prefix_disk_bytes <= budget
    process.end()
    after = begin(budget=budget)
    assert answer(after, PROMPT)[1] == len(PROMPT) - 1
    assert answer(after, tokens(61, 10))[1] == 0
    after.end()
    none = begin(budget=size // 2)
    answer(none, PROMPT)
    none.end()
    assert not none.folder.exists() or not list(none.folder.iterdir())


def flush(process: Process) -> None:
    behind = process.engine._reuse._files._behind
    assert behind is not None
    while process.engine._reuse.unwritten or process.engine._reuse.copied:
        process.engine.step()
    assert behind._writer.flush(GUARD)


def test_what_is_swept_and_used_again_is_written_again(begin: Begin) -> None:
    """Another daemon, or a user, has emptied the folder; memory knows the turn, and the next process does too."""
    one = begin()
    answer(one, PROMPT)
    flush(one)
    for path in one.folder.iterdir():
        path.unlink()
    answer(one, PROMPT)
    flush(one)
    one.engine.step()
    one.end()
    assert answer(begin(), PROMPT)[1] == len(PROMPT) - 1


def test_a_state_that_memory_has_no_room_for_is_not_read(made: Made, begin: Begin) -> None:
    """The prompt is read instead, at once."""
    first, text = written(begin)
    size = min(path.stat().st_size for path in first.folder.iterdir())
    little = begin(prefixes=size // 2)
    assert answer(little, PROMPT) == (list(text[len(PROMPT) :]), 0)
    assert little.engine.gauges().prefix_disk_tokens == 0 and little.engine.audit() is None


def test_prompts_that_begin_alike_wait_for_one_reading(made: Made, begin: Begin) -> None:
    _, text = written(begin)
    prompts = [(*text, *tokens(SIZE, 20 + place)) for place in range(3)]
    new = begin()
    answers, cached = new.answer(*prompts, count=COUNT)
    assert answers == [expected(made, prompt) for prompt in prompts]
    assert min(cached) == len(text) - 1
    assert new.engine.gauges().prefix_disk_tokens == len(text) - 1


@pytest.mark.parametrize("in_place", [True, False])
def test_where_memory_is_copied(in_place: bool, made: Made, begin: Begin) -> None:
    """As on CUDA, where threads do not write into MLX's own memory."""
    _, text = written(begin)
    new = begin()
    back = new.engine._reuse._files._back
    assert back is not None and back.in_place
    if not in_place:
        back._memory = RunMemory(back._layout, at_once, in_place=False)
    turn = (*text, *tokens(9, 2))
    assert answer(new, turn) == (expected(made, turn), len(text) - 1)


def test_what_comes_from_disk_holds_nobody_up(made: Made, begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt whose turn takes its time waits; another one is answered meanwhile."""
    _, text = written(begin)
    slow, gate = begin(), Event()
    real = TurnStore.read

    def read(store: TurnStore, name: bytes, room: Any) -> Any:
        gate.wait(GUARD)
        return real(store, name, room)

    monkeypatch.setattr(TurnStore, "read", read)
    short, turn = tokens(8, 7), (*text, *tokens(9, 2))

    def script() -> Iterator[list[Any]]:
        yield [ask(1, turn, COUNT), ask(2, short, COUNT)]
        while 2 not in slow.wire.events or not hasattr(slow.wire.events[2][-1], "reason"):
            yield []
        assert not [event for event in slow.wire.events.get(1, []) if hasattr(event, "reason")]
        gate.set()

    run((slow.engine, slow.wire), script())
    assert slow.wire.tokens(2) == expected(made, short) and slow.wire.tokens(1) == expected(made, turn)
    assert slow.wire.finished(1).cached_tokens == len(text) - 1


def test_a_disk_that_does_not_answer(made: Made, begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt waits for it so long, and the next one not at all."""
    written(begin)
    stuck, answered = begin(), Event()
    real = TurnStore.header

    def header(store: TurnStore, length: int, name: bytes) -> Any:
        answered.wait(GUARD)
        return real(store, length, name)

    monkeypatch.setattr(read_back, "_STUCK_SECONDS", 0.05)
    monkeypatch.setattr(TurnStore, "header", header)
    assert answer(stuck, PROMPT) == (expected(made, PROMPT), 0)
    back = stuck.engine._reuse._files._back
    assert back is not None and back.stuck
    other = tokens(7 * SIZE, 6)
    assert answer(stuck, other) == (expected(made, other), 0)
    answered.set()


def test_a_prompt_that_is_cancelled_while_its_turn_is_read(made: Made, begin: Begin) -> None:
    """Nothing is left of it, and others go on."""
    _, text = written(begin)
    new = begin()
    run((new.engine, new.wire), iter([[ask(1, (*text, 1), COUNT), Cancel(id=1)]]))
    back = new.engine._reuse._files._back
    assert back is not None and not back.reading and new.engine.idle and new.engine.audit() is None
    new.number = 1
    assert answer(new, (*text, 1)) == (expected(made, (*text, 1)), len(text) - 1)
