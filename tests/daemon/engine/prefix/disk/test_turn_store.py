"""Files of whole turns: whatever is wrong with one is a miss, and the longest one is found by what they are called."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import mlx.core as mx
import pytest
from support.small_blocks import blocks_of

from mlx_serve.daemon.engine.prefix.block import Block
from mlx_serve.daemon.engine.prefix.chain import Chain, packed
from mlx_serve.daemon.engine.prefix.disk import block_file
from mlx_serve.daemon.engine.prefix.disk.block_bytes import to_file
from mlx_serve.daemon.engine.prefix.disk.block_file import BlockFile, encode
from mlx_serve.daemon.engine.prefix.disk.reading.block_reader import Wanted, find_turn
from mlx_serve.daemon.engine.prefix.disk.turn_store import TurnStore
from mlx_serve.daemon.engine.prefix.whole_state import WholeState

PLENTY = 1 << 20
SIZE = 4
TEXT = [7 * number % 50 for number in range(40)]


class Cache:
    """Of a class that nobody knows how to cut."""

    def __init__(self, value: float) -> None:
        self.rows = mx.full((1, 3), value)
        self.count = 3


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks_of(SIZE, monkeypatch)


@pytest.fixture
def store(tmp_path: Path) -> TurnStore:
    return TurnStore(tmp_path / "cache" / "prompts", "key", PLENTY)


def turn(length: int) -> BlockFile:
    """The state after so many tokens of the text."""
    chain, start = Chain(list(TEXT)), (length - 1) // SIZE * SIZE
    wanted = Wanted(tuple(chain.names(len(TEXT))), tuple(TEXT), b"", True)
    names = chain.names(start)
    state = (WholeState([Cache(float(length))], length),)
    return to_file(
        Block(wanted.name(length), names[-1] if names else b"", packed(TEXT[start:length]), (), state), "key"
    )


def wanted(length: int, start: int = 0) -> Wanted:
    """Of the text so many tokens, of which the first ones are there."""
    chain, depth = Chain(TEXT[:length]), start // SIZE
    names = chain.names(length)
    return Wanted(tuple(names[depth:]), tuple(TEXT[depth * SIZE : length]), chain.parent(depth), True, depth * SIZE)


def paths(store: TurnStore) -> list[Path]:
    return sorted(store.folder.iterdir())


def test_what_was_written_is_read(store: TurnStore) -> None:
    """Once only written, under the number of its tokens, readable by its user alone."""
    file = turn(10)
    assert store.turns() == [] and store.read(file.header.name) is None
    assert store.write(file) and not store.write(file)
    assert store.turns() == [(10, file.header.name)] and store.has(file.header.name)
    found = store.read(file.header.name)
    assert found is not None and b"".join(encode(found)) == b"".join(encode(file))
    assert [stat.S_IMODE(path.stat().st_mode) for path in (*paths(store), store.folder)] == [0o600, 0o700]
    assert store.nbytes == paths(store)[0].stat().st_size


def test_every_flipped_byte_and_every_length_is_a_miss(store: TurnStore) -> None:
    """Wherever it is; the file is gone after that."""
    file = turn(10)
    whole = b"".join(encode(file))
    flips = [whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1 :] for at in range(len(whole))]
    for wrong in (*flips, *(whole[:length] for length in range(len(whole))), whole + b"\0"):
        store.write(file)
        (path,) = paths(store)
        path.write_bytes(wrong)
        assert store.read(file.header.name) is None and not paths(store)


def test_a_file_under_another_number_is_a_miss(store: TurnStore) -> None:
    """What is called by no number at all is not looked at; links, pipes and folders are not followed."""
    file = turn(10)
    store.write(file)
    (path,) = paths(store)
    path.rename(path.with_name(f"{file.header.name.hex()}-11.end"))
    assert store.header(11, file.header.name) is None and not paths(store)
    for name in ("-.end", "x-10.end", f"{file.header.name.hex()}-x.end", f"{file.header.name.hex()}.end"):
        (store.folder / name).write_bytes(b"")
    assert store.turns() == [] and len(paths(store)) == 4
    target = store.folder.parent / "elsewhere"
    target.write_bytes(b"".join(encode(file)))
    path.symlink_to(target)
    assert store.read(file.header.name) is None and target.exists() and not path.is_symlink()
    path.mkdir()
    assert store.read(file.header.name) is None and store.header(10, file.header.name) is None


def test_a_header_that_would_fill_the_memory_is_not_read(store: TurnStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file says how long its header is, and may be as long as a disk."""
    file = turn(10)
    store.write(file)
    (path,) = paths(store)
    content = bytearray(path.read_bytes())
    content[40:44] = (1 << 31).to_bytes(4, "little")
    path.write_bytes(content)
    with path.open("r+b") as sparse:
        sparse.truncate(1 << 32)
    monkeypatch.setattr(block_file, "_longer", refuse)
    assert store.header(10, file.header.name) is None and not paths(store)


def refuse(*_: object) -> bytes:
    raise AssertionError("it is read")


@pytest.fixture
def three(store: TurnStore) -> Iterator[TurnStore]:
    for length in (9, 12, 30):
        store.write(turn(length))
    yield store


CASES: list[tuple[int, int, int | None]] = [
    (40, 0, 30),
    (30, 0, 30),
    (29, 0, 12),
    (12, 0, 12),
    (11, 0, 9),
    (8, 0, None),
    (29, 7, 12),  # from the block that begins at 4 on
    (29, 9, 12),
    (29, 12, None),
    (40, 26, 30),
    (40, 28, None),
]


@pytest.mark.parametrize(("length", "start", "found"), CASES)
def test_the_longest_that_a_prompt_begins_with_is_found(
    length: int, start: int, found: int | None, three: TurnStore
) -> None:
    """Where it saves a block or more."""
    first = find_turn(three, wanted(length, start))
    assert [one.tokens + start // SIZE * SIZE for one in first] == ([] if found is None else [found])
    assert not first or [one.shape for one in first[0].tensors] == [(1, 3)]


def test_another_text_finds_none(three: TurnStore) -> None:
    other = [1, *TEXT[1:]]
    assert find_turn(three, Wanted(tuple(Chain(other).names(40)), tuple(other), b"", True)) == ()


@pytest.mark.parametrize("wrong", [lambda content: content[:50], lambda content: content[:60] + b"x" + content[61:]])
def test_a_damaged_one_gives_way_to_a_shorter_one(wrong: Callable[[bytes], bytes], three: TurnStore) -> None:
    (path,) = three.folder.glob("*-30.end")
    path.write_bytes(wrong(path.read_bytes()))
    assert [one.tokens for one in find_turn(three, wanted(40))] == [12] and not path.exists()


def test_what_is_used_is_the_last_to_go(three: TurnStore) -> None:
    """Names that are not there are told."""
    names = dict(three.turns())
    assert [name for name, _ in three.touch([names[9], b"x" * 16])] == [b"x" * 16]
    three.sweep(three.nbytes // 3)
    assert [length for length, _ in three.turns()] == [9]
