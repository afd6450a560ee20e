"""Files of blocks: whatever is wrong with one is a miss; budgets, modes, and several that share a folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from support.waiting import wait_until

from mlx_serve.daemon.engine.prefix.chain import end_name
from mlx_serve.daemon.engine.prefix.disk.block_file import BlockFile, Header, States, encode
from mlx_serve.daemon.engine.prefix.disk.block_writer import BlockWriter
from mlx_serve.daemon.engine.prefix.disk.disk_store import APART, ARITHMETIC, DiskStore, Numerics
from mlx_serve.daemon.engine.prefix.disk.tensor import Tensor
from mlx_serve.daemon.prefix_folder import PrefixFolder, automatic_budget, model_of

PLENTY = 1 << 20
GUARD = 20.0


def block(number: int, parent: bytes = b"", *, key: str = "key", width: int = 100) -> BlockFile:
    """Of one token, with one layer's keys and values of `width` bytes each."""
    tokens = number.to_bytes(4, "little")
    tensor = Tensor("uint8", (1, 1, 1, width))
    header = Header(key, end_name(parent, tokens), parent, 1, (True,), None, (tensor, tensor))
    return BlockFile(header, tokens, (bytes([number]) * width, bytes([255 - number]) * width))


def content(file: BlockFile) -> bytes:
    return b"".join(encode(file))


def same(found: BlockFile | None, file: BlockFile) -> bool:
    return found is not None and content(found) == content(file)


def paths(root: Path) -> list[Path]:
    return sorted(root.glob("*/*"))  # not the lock and the count, which are beside the folders


def held(root: Path) -> int:
    """Bytes of all files; one that goes meanwhile may count or not."""
    sizes = []
    for path in root.glob("*/*"):
        with contextlib.suppress(FileNotFoundError):
            sizes.append(path.stat().st_size)
    return sum(sizes)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "cache" / "prefixes"
    yield folder
    for path in [folder, *folder.glob("*")]:
        if path.is_dir():
            path.chmod(0o700)


def store(root: Path, budget: int = PLENTY, key: str = "key") -> DiskStore:
    return DiskStore(root, key, budget)


def test_what_was_written_is_read(root: Path) -> None:
    """By another one on the same folder too, and once only written."""
    one, file = store(root), block(1)
    assert one.read(file.header.name) is None and not one.has(file.header.name)
    assert one.write(file) and not one.write(file)
    assert same(one.read(file.header.name), file) and same(store(root).read(file.header.name), file)


def test_files_are_private(root: Path) -> None:
    """Whatever the umask is: 0600 in 0700, and no partial file is left."""
    before = os.umask(0)
    try:
        store(root).write(block(1))
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (root, root / "key", *paths(root))]
    assert modes == [0o700, 0o700, 0o600]


def test_every_flipped_byte_is_a_miss(root: Path) -> None:
    """Wherever it is, in whatever part of the file; the file is gone after that."""
    one, file = store(root), block(1, width=8)
    whole = content(file)
    for place in range(len(whole)):
        one.write(file)
        (path,) = paths(root)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        assert one.read(file.header.name) is None and not paths(root), place


def test_every_short_or_long_file_is_a_miss(root: Path) -> None:
    one, file = store(root), block(1, width=8)
    whole = content(file)
    for wrong in [*(whole[:length] for length in range(len(whole))), whole + b"\0"]:
        one.write(file)
        (path,) = paths(root)
        path.write_bytes(wrong)
        assert one.read(file.header.name) is None and not paths(root), len(wrong)


def changed(**fields: object) -> BlockFile:
    file = block(1)
    return BlockFile(msgspec.structs.replace(file.header, **fields), file.tokens, file.tensors)


@pytest.mark.parametrize(
    "foreign",
    [
        block(2),
        block(1, key="other"),
        changed(parent=b"p" * 16),
        changed(tokens=2),
        changed(tokens=0),
        changed(parts=(True, True)),
        changed(tensors=(Tensor("float77", (1, 1, 1, 100)),) * 2),
        changed(tensors=(Tensor("uint8", (1, 1, 1, 200)), Tensor("uint8", (1, 1, 1, 0)))),
        changed(tensors=(Tensor("uint8", (1, 1, 1, -100)), Tensor("uint8", (1, 1, 1, 300)))),
    ],
)
def test_a_foreign_file_with_a_right_checksum_is_a_miss(foreign: BlockFile, root: Path) -> None:
    """Another block, another model's, and headers that contradict their files or themselves."""
    one, file = store(root), block(1)
    one.write(file)
    (path,) = paths(root)
    try:
        wrong = content(foreign)
    except KeyError:
        pytest.fail("the test's own file cannot be made")
    path.write_bytes(wrong)
    assert one.read(file.header.name) is None and not paths(root)


def test_no_link_pipe_or_folder_is_followed(root: Path, tmp_path: Path) -> None:
    """Nor does anything wait for one, or end for it."""
    one, file = store(root), block(1)
    one.write(file)
    (path,) = paths(root)
    moved = path.rename(tmp_path / "elsewhere")
    path.symlink_to(moved)
    assert not one.has(file.header.name) and one.read(file.header.name) is None
    assert not path.is_symlink() and moved.exists()
    assert one.write(file) and same(one.read(file.header.name), file)
    path.unlink()
    os.mkfifo(path)
    assert one.read(file.header.name) is None and not paths(root)
    path.mkdir()
    assert one.read(file.header.name) is None and not one.has(file.header.name)
    assert not one.write(file) and not list(root.glob("*/*.partial"))


def failing(code: int, after: int) -> Callable[[int, memoryview], int]:
    """A write that takes so many bytes of a file, and then fails."""
    left = [after]
    real = os.write

    def write(descriptor: int, data: memoryview) -> int:
        if not left[0]:
            raise OSError(code, os.strerror(code))
        count = real(descriptor, data[: left[0]])
        left[0] -= count
        return count

    return write


def test_a_full_disk_leaves_nothing_and_stops_the_writing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence is said, whatever is offered after it; what was there before is still read."""
    one, said = store(root), list[str]()
    one.write(block(1))
    monkeypatch.setattr(os, "write", failing(errno.ENOSPC, 50))
    writer = BlockWriter(one, said.append)
    assert writer.offer(block(2))
    assert writer.flush(GUARD) and writer.stopped and not writer.offer(block(3))
    writer.close(GUARD)
    assert said == [f"stop writing prompts to disk reason={os.strerror(errno.ENOSPC)!r} retry_seconds=60"]
    assert len(paths(root)) == 1 and same(one.read(block(1).header.name), block(1))


def test_a_disk_that_was_full_is_tried_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a minute, then after two; once it has taken something the next failure is a first one."""
    one, said, now = store(root), list[str](), [0.0]
    writer = BlockWriter(one, said.append, clock=lambda: now[0])

    def tried(number: int, at: float) -> bool:
        now[0] = at
        return writer.offer(block(number)) and writer.flush(GUARD)

    with monkeypatch.context() as full:
        full.setattr(os, "write", failing(errno.ENOSPC, 50))
        assert tried(1, 0) and not tried(1, 59) and tried(1, 60) and not tried(1, 179)
        assert not paths(root)
    assert tried(1, 180) and same(one.read(block(1).header.name), block(1))
    with monkeypatch.context() as full:
        full.setattr(os, "write", failing(errno.ENOSPC, 50))
        assert tried(2, 200) and not tried(2, 259)
    assert tried(2, 260) and same(one.read(block(2).header.name), block(2))
    writer.close(GUARD)
    assert [line.rpartition("=")[2] for line in said] == ["60", "120", "60"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder_is_still_read(root: Path) -> None:
    one, said = store(root), list[str]()
    one.write(block(1))
    (root / "key").chmod(0o500)
    writer = BlockWriter(one, said.append)
    writer.offer(block(2))
    assert writer.flush(GUARD) and writer.stopped and len(said) == 1
    writer.close(GUARD)
    assert same(one.read(block(1).header.name), block(1))


def test_a_root_that_is_a_file_stops_the_writing(tmp_path: Path) -> None:
    (tmp_path / "prefixes").write_text("not a folder")
    one, said = store(tmp_path / "prefixes"), list[str]()
    writer = BlockWriter(one, said.append)
    writer.offer(block(1))
    writer.close(GUARD)
    assert writer.stopped and len(said) == 1 and one.read(block(1).header.name) is None


def test_two_writers_share_a_folder(root: Path) -> None:
    """The same blocks at the same time, each more than once: whole files, nothing else, and no error."""
    said = list[str]()
    writers = [BlockWriter(store(root), said.append) for _ in range(2)]
    for number in range(60):
        for writer in writers:
            assert writer.offer(block(number))
    for writer in writers:
        writer.close(GUARD)
    reader = store(root)
    assert not said and len(paths(root)) == 60
    assert all(same(reader.read(block(number).header.name), block(number)) for number in range(60))


def test_two_writers_within_one_budget(root: Path) -> None:
    """Never more than it, not for a moment, what is half written included; neither stumbles over what the other took
    away."""
    size = len(content(block(1)))
    said, budget = list[str](), 32 * size
    writers = [BlockWriter(store(root, budget, key), said.append) for key in ("a", "b")]
    looking, most = PrefixFolder(root, budget), 0
    for number in range(200):
        for key, writer in zip("ab", writers, strict=True):
            assert writer.offer(block(number, key=key))
        with looking._locked():  # else what goes and what comes while it is counted may both count
            most = max(most, held(root))
    for writer in writers:
        writer.close(GUARD)
    assert not said and 16 * size < held(root) <= budget and most <= budget


def test_a_file_gets_its_name_while_nobody_counts(root: Path) -> None:
    """Who makes room looks at names, then at files: one that changed its name between the two would not count, and the
    budget would be exceeded by it."""
    folder = PrefixFolder(root, PLENTY)
    partial = folder.reserve("key", 10, 1)
    assert partial is not None
    path = root / "key" / "name.block"
    thread = threading.Thread(target=folder.publish, args=(partial, path, 1))
    with PrefixFolder(root, PLENTY)._locked():
        thread.start()
        thread.join(0.2)
        assert thread.is_alive() and not path.exists()
    thread.join(GUARD)
    assert path.exists()


def test_the_least_recently_used_go_first(root: Path) -> None:
    """Of all keys; what was used again stays."""
    size = len(content(block(1)))
    one, other = store(root, 4 * size), store(root, 4 * size, "other")
    for age, (where, file) in enumerate([(one, block(1)), (other, block(2, key="other")), (one, block(3))]):
        where.write(file)
        stamp = time.time_ns() - (10 - age) * 10**9
        os.utime(where.folder / f"{file.header.name.hex()}.block", ns=(stamp, stamp))
    one.touch([block(1).header.name])
    one.sweep(2 * size)
    assert held(root) <= 2 * size
    assert one.has(block(1).header.name) and one.has(block(3).header.name)
    assert not other.has(block(2).header.name)


def test_the_end_of_a_chain_goes_before_its_beginning(root: Path) -> None:
    """A block whose parent is gone would be found by nobody."""
    one, chain = store(root), [block(1)]
    for number in range(2, 9):
        chain.append(block(number, chain[-1].header.name))
    names = [file.header.name for file in chain]
    writer, begun = BlockWriter(one, pytest.fail), time.time_ns()
    for place, file in enumerate(chain):
        writer.offer(file, used=begun - place * APART)
    writer.close(GUARD)
    size = held(root) // 8
    for left in range(7, -1, -1):
        one.sweep(left * size + size // 2)
        assert [one.has(name) for name in names] == [True] * left + [False] * (8 - left)


def test_a_text_that_is_longer_than_the_budget(root: Path) -> None:
    """Its beginning is written and stays, for the rest would be the first to go; a later text takes the place of its
    end."""
    size = len(content(block(1)))
    one, chains = store(root, 8 * size + size // 2), []
    for first in (1, 101):
        chain = [block(first)]
        for number in range(first + 1, first + 20):
            chain.append(block(number, chain[-1].header.name))
        chains.append([file.header.name for file in chain])
        count, begun = (20 if first == 1 else 3), time.time_ns()
        written = [one.write(file, begun - place * APART) for place, file in enumerate(chain[:count])]
        assert written == [place < (8 if first == 1 else 3) for place in range(count)]
    assert [[one.has(name) for name in names].count(True) for names in chains] == [5, 3]
    assert all(one.has(name) for names, count in zip(chains, (5, 3), strict=True) for name in names[:count])


def test_a_block_that_follows_nothing_is_not_written(root: Path) -> None:
    """Nobody would find it."""
    one = store(root)
    assert not one.write(block(2, block(1).header.name)) and not paths(root)
    assert one.write(block(1)) and one.write(block(2, block(1).header.name))


def test_files_of_a_clock_that_was_wrong_make_room(root: Path) -> None:
    """They were not used a year from now."""
    size = len(content(block(1)))
    one = store(root, 3 * size)
    for number in range(1, 4):
        assert one.write(block(number), time.time_ns() + (365 * 86400 + number) * 10**9)
    for number in range(4, 8):
        assert one.write(block(number))


def test_the_budget_is_never_exceeded(root: Path) -> None:
    """By one writer, not for a moment; and what is larger than all of it is not written."""
    size = len(content(block(1)))
    one = store(root, 10 * size + 5)
    for number in range(100):
        assert one.write(block(number))
        assert held(root) <= 10 * size + 5
    assert held(root) > 5 * size
    assert not one.write(block(1, width=10 * size)) and not store(root, 0).write(block(101))


def test_partial_files_of_the_dead_are_swept(root: Path) -> None:
    """Those of others that are still writing are not, and count."""
    one = store(root)
    one.write(block(1))
    dead, alive = root / "key" / "1-0.partial", root / "key" / "1-1.partial"
    for path in (dead, alive):
        path.write_bytes(b"half")
    with open(alive) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        one.sweep()
        assert not dead.exists() and alive.exists() and one.has(block(1).header.name)
        assert one.nbytes == held(root)
    one.sweep()
    assert not alive.exists()


def test_a_small_budget_takes_no_others_file_for_damaged(root: Path) -> None:
    """What a daemon with a larger one wrote is read; only room is made as the budget says, the oldest first."""
    large, small = block(1, width=5000), store(root, 1000)
    store(root).write(large)
    assert same(small.read(large.header.name), large)
    assert store(root).has(large.header.name)


def test_a_block_is_written_anew_with_its_snapshots(root: Path) -> None:
    """In place of the one without; the reverse never happens, and a file under the other's name is a miss."""
    one, plain = store(root), block(1)
    tensors = (*plain.header.tensors, Tensor("uint8", (1, 3)))
    header = msgspec.structs.replace(plain.header, parts=(True, False), snapshots=(None, States((True,))))
    whole = BlockFile(msgspec.structs.replace(header, tensors=tensors), plain.tokens, (*plain.tensors, b"abc"))
    name = plain.header.name
    assert one.write(plain) and one.write(whole) and not one.write(whole) and not one.write(plain)
    assert same(one.read(name), whole) and one.has(name, end=True) and len(paths(root)) == 1
    (path,) = paths(root)
    path.rename(path.with_suffix(".block"))
    assert one.read(name) is None and not paths(root)


def test_a_folder_that_others_may_write_into_is_not_used(root: Path) -> None:
    """Somebody else could say there what a model has read."""
    store(root).write(block(1))
    root.chmod(0o777)
    one, said = store(root), list[str]()
    writer = BlockWriter(one, said.append)
    writer.offer(block(2))
    writer.close(GUARD)
    assert not one.readable and writer.stopped and len(said) == 1


def test_the_writer_never_makes_anybody_wait(root: Path) -> None:
    """What does not fit into its queue is refused at once, while the disk takes its time."""
    one, gate = store(root), threading.Event()
    real = one.write

    def slow(file: BlockFile, used: int | None = None) -> bool:
        gate.wait(GUARD)
        return real(file, used)

    one.write = slow  # type: ignore[method-assign]
    file = block(1)
    writer = BlockWriter(one, pytest.fail, queued=2 * file.nbytes)
    taken = [writer.offer(block(number)) for number in range(1, 5)]
    assert taken == [True, True, False, False] and not writer.flush(0)
    gate.set()
    assert writer.flush(GUARD) and len(paths(root)) == 2
    assert writer.offer(block(3))
    writer.close(GUARD)
    assert len(paths(root)) == 3 and not writer.offer(block(4))


def test_automatic_budget() -> None:
    """A tenth of what is free, what is held counted as free, and 8 GiB at most."""
    assert automatic_budget(10 << 30, 0) == 1 << 30
    assert automatic_budget(9 << 30, 1 << 30) == 1 << 30
    assert automatic_budget(1 << 40, 0) == 8 << 30


def test_each_numeric_is_in_the_key() -> None:
    """Whatever changes the content of a block changes the folder."""
    plain = Numerics("1" * 64, "float32", ("mlx 0.30",), "cpu", "this one")
    fields = {"model": "2" * 64, "layout": "float16", "libraries": (), "backend": "cuda", "device": "b", "bits": 8}
    others = [msgspec.structs.replace(plain, **{field: other}) for field, other in fields.items()]
    others.append(msgspec.structs.replace(plain, arithmetic=ARITHMETIC + 1))
    assert len({one.key() for one in (plain, *others)}) == 8
    assert plain.key() == msgspec.structs.replace(plain).key() and model_of(plain.key()) == plain.model


def test_kills_in_the_middle_of_writing(root: Path) -> None:
    """Of processes that write without end: what they leave is whole, or gone after the next sweep, and within the
    budget."""
    source = Path(__file__).read_text()
    code = source[source.index("def block(") : source.index("def content(")]
    imports = "from mlx_serve.daemon.engine.prefix"
    code = (
        f"import sys\nfrom pathlib import Path\n{imports}.disk.block_file import BlockFile, Header\n"
        f"{imports}.disk.tensor import Tensor\n"
        f"{imports}.chain import end_name\n{imports}.disk.disk_store import DiskStore\n{code}"
        f"one = DiskStore(Path({str(root)!r}), 'key', 60_000)\n"
        "for number in range(int(sys.argv[1]), 1 << 30): one.write(block(number % 256, width=2000 + number % 3000))\n"
    )
    for turn in range(3):
        before = set(paths(root))
        process = subprocess.Popen([sys.executable, "-c", code, str(70 * turn)])
        wait_until(lambda before=before: len(set(paths(root)) - before) > 3, "some files are written")
        process.kill()
        process.wait(GUARD)
        assert held(root) <= 60_000
    one = store(root, 60_000)
    one.sweep()
    assert {path.suffix for path in paths(root)} == {".block"} and one.nbytes == held(root)
    assert all(one.read(bytes.fromhex(path.stem)) is not None for path in paths(root))


FIRST = """
import sys, threading, time
from pathlib import Path
from mlx_serve.daemon.engine.prefix.disk.disk_store import DiskStore

half_learned = threading.Event()

def look(frame, event, argument):  # at who learns what a header is, in the midst of which the others come by
    if frame.f_code.co_name == "get_class_annotations" and frame.f_locals["obj"].__name__ != "Header":
        half_learned.set()
        time.sleep(0.01)

store, found = DiskStore(Path(sys.argv[1]), "key", 1 << 20), []
threading.setprofile(look)
readers = [threading.Thread(target=lambda: found.append(store.read(bytes.fromhex(sys.argv[2])))) for _ in range(4)]
readers[0].start()
half_learned.wait(1)
for one in readers[1:]:
    one.start()
for one in readers:
    one.join()
assert len(found) == 4 and None not in found
"""


def test_the_first_that_a_process_reads_it_reads_with_several_threads(tmp_path: Path) -> None:
    """As after a restart: what msgspec learns of a file's header it has learned before."""
    file = block(1)
    DiskStore(tmp_path / "files", "key", PLENTY).write(file)
    arguments = [sys.executable, "-c", FIRST, str(tmp_path / "files"), file.header.name.hex()]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
