"""The downloader against a hub that misbehaves: what is asked for again, from where, and when it gives up."""

from __future__ import annotations

import email.utils
import errno
import hashlib
import itertools
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.hub import faults
from fakes.hub.faults import Fault, Gate
from fakes.hub.server import Hub

from mlx_serve.store.disk.filesystem import FileSystem
from mlx_serve.store.errors import HubUnreachable, NoSpace, RateLimited, StoreError, WrongContent
from mlx_serve.store.hub.fetch import timeouts
from mlx_serve.store.hub.fetch.timeouts import Timeouts
from mlx_serve.store.progress import Progress
from mlx_serve.store.store import Store

Files = dict[str, bytes]
MakeFiles = Callable[..., Files]
WEIGHTS = "model.safetensors"
PLACE = f"*/{WEIGHTS}"
MB = 1 << 20


@pytest.fixture
def files(make_files: MakeFiles) -> Files:
    """Weights large enough for three pieces."""
    return make_files(12 * MB)


@pytest.fixture
def offer(hub: Hub) -> Callable[..., Hub]:
    def add(files: Files, *planned: Fault) -> Hub:
        hub.add("owner/name", files)
        for fault in planned:
            hub.fault(PLACE, fault)
        return hub

    return add


Offer = Callable[..., Hub]


def weights(store: Store) -> bytes:
    return (store.view(store.find("owner/name")) / WEIGHTS).read_bytes()


def sent(hub: Hub) -> int:
    return sum(request.sent for request in hub.journal.entries(PLACE, kind="content"))


def ranges(hub: Hub) -> list[str | None]:
    return [request.range for request in hub.journal.entries(PLACE, host="cdn")]


def partial(store: Store, files: Files) -> Path:
    return store.directory / "partial" / f"{hashlib.sha256(files[WEIGHTS]).hexdigest()}.part"


class Enough(Exception):
    pass


def enough_after(size: int) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        if progress.path == WEIGHTS and progress.completed >= size:
            raise Enough

    return report


def interrupted(store: Store, hub: Hub, files: Files, at: int = 2 * MB) -> None:
    """A pull that somebody ended with Ctrl-C, some way into the weights."""
    stalled = hub.fault(PLACE, Fault(None, on="content", pause_at=at, gate=Gate()))
    with pytest.raises(Enough):
        store.pull("owner/name", progress=enough_after(at))
    assert stalled.gate is not None
    hub.heal()
    hub.journal.clear()
    assert partial(store, files).stat().st_size >= at


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    deadline = time.monotonic() + 5
    while left := [thread.name for thread in threading.enumerate() if thread.name.startswith("hub-str")]:
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


# several at once


def test_several_pieces_of_one_file_come_at_once_over_a_slow_line(store: Store, offer: Offer, files: Files) -> None:
    gates = [Gate(), Gate(), Gate()]
    hub = offer(files, *(Fault(1, on="content", pause_at=0, gate=gate) for gate in gates))
    puller = threading.Thread(target=store.pull, args=("owner/name",))
    puller.start()
    for gate in gates:
        gate.wait()
    for gate in reversed(gates):
        gate.open()
    puller.join()
    assert weights(store) == files[WEIGHTS]
    asked = sorted(tuple(map(int, str(found).removeprefix("bytes=").split("-"))) for found in ranges(hub))
    assert len(asked) == 3
    assert asked[0][0] == 0
    assert all(stop + 1 == start for (_, stop), (start, _) in itertools.pairwise(asked))
    assert sent(hub) == len(files[WEIGHTS])


def test_several_files_come_at_once(store: Store, hub: Hub, make_files: MakeFiles) -> None:
    small = {f"extra{number}.txt": b"%d" % number for number in range(3)}
    hub.add("owner/name", make_files() | small)
    gates = {path: Gate() for path in small}
    for path, gate in gates.items():
        hub.fault(f"*/{path}", Fault(1, on="content", pause_at=0, gate=gate))
    puller = threading.Thread(target=store.pull, args=("owner/name",))
    puller.start()
    for gate in gates.values():
        gate.wait()
    for gate in gates.values():
        gate.open()
    puller.join()
    assert store.find("owner/name")


def test_a_file_that_waits_for_a_slow_line_holds_no_more_than_its_share(
    store: Store, hub: Hub, make_files: MakeFiles
) -> None:
    """More files than are opened at once, the first of them without end until the others are there."""
    many = {f"extra{number:02}.txt": b"x" * number for number in range(20)}
    hub.add("owner/name", make_files() | many)
    gate = Gate()
    hub.fault("*/extra00.txt", Fault(None, before=gate))
    puller = threading.Thread(target=store.pull, args=("owner/name",))
    puller.start()
    hub.journal.wait("*/extra19.txt", kind="content")
    gate.open()
    puller.join()
    assert store.find("owner/name")


# a bad line


@pytest.mark.parametrize("cut", [0, 1000, 3 * MB])
@pytest.mark.parametrize("reset", [False, True])
def test_a_connection_that_breaks_off_is_resumed(
    store: Store, offer: Offer, files: Files, cut: int, reset: bool
) -> None:
    hub = offer(files, Fault(2, on="content", cut=cut, reset=reset))
    told: list[str] = []
    store.pull("owner/name", progress=lambda progress: told.append(progress.status))
    assert weights(store) == files[WEIGHTS]
    # What a reset throws away in the kernel's buffers was sent and never read.
    assert sent(hub) <= len(files[WEIGHTS]) + (2 * 3 * MB if reset else 0)


def test_a_line_that_always_breaks_off_still_gets_there(store: Store, offer: Offer, make_files: MakeFiles) -> None:
    files = make_files(300_000)
    hub = offer(files, faults.truncated(50_000, times=None))
    store.pull("owner/name")
    assert weights(store) == files[WEIGHTS]
    assert sent(hub) == len(files[WEIGHTS])


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (faults.truncated(0, times=None), "ended too early"),
        (faults.reset(0, times=None), "the connection was lost"),
        (faults.failing(503, times=None, on="content"), "503"),
    ],
)
def test_without_progress_it_gives_up_after_five_tries_and_keeps_what_is_there(
    store: Store, offer: Offer, make_files: MakeFiles, fault: Fault, words: str
) -> None:
    files = make_files(100_000)
    hub = offer(files, fault, faults.truncated(60_000))
    told: list[str] = []
    with pytest.raises(HubUnreachable, match=words) as caught:
        store.pull("owner/name", progress=lambda progress: told.append(progress.status))
    assert caught.value.hint
    assert len([request for request in hub.journal.entries(PLACE) if request.fault]) == 1 + 5
    assert "connection lost, trying again" in told
    assert partial(store, files).stat().st_size == 60_000
    assert store.models() == []
    hub.heal()
    hub.journal.clear()
    store.pull("owner/name")
    assert sent(hub) == len(files[WEIGHTS]) - 60_000


def test_a_hub_that_is_down_is_asked_five_times(store: Store, offer: Offer, files: Files) -> None:
    """Several streams at once that fail for the same reason are one try."""
    hub = offer(files, faults.failing(500, times=None, on="redirect"))
    with pytest.raises(HubUnreachable, match="500"):
        store.pull("owner/name")
    assert 5 <= len(hub.journal.entries(PLACE)) <= 5 * 3


def test_a_line_that_gives_nothing_is_hung_up_and_dialled_again(
    store: Store, offer: Offer, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "DEFAULT", Timeouts(window=0.3, first_pause=0.01))
    hub = offer(files, faults.stall(1 * MB), faults.silent(on="content"), faults.silent(on="redirect"))
    store.pull("owner/name")
    assert weights(store) == files[WEIGHTS]
    assert sent(hub) <= len(files[WEIGHTS]) + MB


def test_a_line_that_only_drips_is_hung_up_too(
    store: Store, offer: Offer, make_files: MakeFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeouts, "DEFAULT", Timeouts(window=0.3, min_rate=100_000, first_pause=0.01))
    files = make_files(500_000)
    hub = offer(files, faults.drip(20_000, times=1))
    began = time.monotonic()
    store.pull("owner/name")
    assert time.monotonic() - began < 5
    assert weights(store) == files[WEIGHTS]
    assert len(ranges(hub)) == 2


def test_a_slow_line_is_told_of_all_the_time(store: Store, offer: Offer, make_files: MakeFiles) -> None:
    """Progress comes several times a second, and whoever hears it can end the pull."""
    files = make_files(200_000)
    offer(files, faults.drip(200_000))
    seen: list[int] = []
    store.pull("owner/name", progress=lambda progress: seen.append(progress.overall_completed))
    assert len(set(seen)) > 5
    assert weights(store) == files[WEIGHTS]


# ranges that are none


@pytest.mark.parametrize(
    "fault",
    [
        faults.without_ranges(),
        faults.wrong_range("bytes 5-10/100", times=2),
        faults.wrong_range("bytes 0-10/*", times=2),
        faults.wrong_range("garbage", times=2),
        faults.failing(416, times=2, on="content"),
        Fault(2, on="content", shift=1),
        Fault(2, on="content", flip=100),
        Fault(2, on="content", extra=10),
    ],
    ids=["ignored", "elsewhere", "short", "garbage", "416", "shifted", "flipped", "extra"],
)
def test_ranges_that_go_wrong_end_with_the_whole_file_in_one_piece(
    store: Store, offer: Offer, files: Files, fault: Fault
) -> None:
    hub = offer(files, fault)
    seen: list[int] = []
    store.pull("owner/name", progress=lambda p: seen.append(p.completed) if p.path == WEIGHTS else None)
    assert weights(store) == files[WEIGHTS]
    assert ranges(hub)[-1] is None or fault.shift or fault.flip is not None
    assert partial(store, files).parent.exists()
    assert list(partial(store, files).parent.iterdir()) == []


def test_a_server_without_ranges_that_breaks_off_begins_again(
    store: Store, offer: Offer, make_files: MakeFiles
) -> None:
    files = make_files(300_000)
    hub = offer(files, faults.without_ranges(), Fault(3, on="content", ignore_range=True, cut=100_000))
    store.pull("owner/name")
    assert weights(store) == files[WEIGHTS]
    rest = f"bytes=100000-{len(files[WEIGHTS]) - 1}"
    assert ranges(hub) == [None, rest, rest, None]


def test_one_odd_answer_among_many_does_not_cost_what_is_there(store: Store, offer: Offer, files: Files) -> None:
    hub = offer(files, faults.wrong_range("bytes 5-10/100"))
    store.pull("owner/name")
    assert weights(store) == files[WEIGHTS]
    assert None not in ranges(hub)
    assert sent(hub) <= len(files[WEIGHTS]) + 8 * MB


def test_a_server_without_ranges_that_always_breaks_off_is_given_up(
    store: Store, offer: Offer, make_files: MakeFiles
) -> None:
    files = make_files(300_000)
    hub = offer(files, Fault(None, on="content", ignore_range=True, cut=1000))
    interrupted_at = threading.active_count()
    with pytest.raises(HubUnreachable):
        store.pull("owner/name")
    assert len(ranges(hub)) < 20
    assert threading.active_count() <= interrupted_at + 8


# content that is not what was listed


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (faults.corrupt(70_000, times=None), "digest mismatch, expected sha256:"),
        (faults.html(times=None), "of text/html"),
        (Fault(None, on="content", gzip=True), "compressed"),
        (Fault(None, on="content", extra=1), "instead of"),
    ],
)
def test_wrong_content_is_fetched_once_more_and_then_named(
    store: Store, offer: Offer, make_files: MakeFiles, fault: Fault, words: str
) -> None:
    files = make_files(100_000)
    hub = offer(files, fault)
    with pytest.raises(WrongContent, match=words) as caught:
        store.pull("owner/name")
    assert WEIGHTS in str(caught.value)
    assert caught.value.hint
    assert len(ranges(hub)) == 2
    assert not partial(store, files).exists()
    assert store.models() == []


def test_a_small_file_is_checked_by_its_git_id(store: Store, hub: Hub, make_files: MakeFiles) -> None:
    hub.add("owner/name", make_files())
    hub.fault("*/tokenizer.json", faults.corrupt(times=None))
    with pytest.raises(WrongContent, match=r"tokenizer\.json .*git id"):
        store.pull("owner/name")


@pytest.mark.parametrize("way", ["chunked", "no_length"])
def test_a_body_of_unknown_length_is_fine_when_it_is_right(
    store: Store, offer: Offer, make_files: MakeFiles, way: str
) -> None:
    files = make_files(2_000_000)
    hub = offer(files, Fault(None, on="content", **{way: True}))
    store.pull("owner/name")
    assert weights(store) == files[WEIGHTS]
    assert len(ranges(hub)) == 1


@pytest.mark.parametrize("way", ["chunked", "no_length"])
def test_a_body_without_end_never_takes_more_room_than_the_file(
    store: Store, offer: Offer, make_files: MakeFiles, way: str
) -> None:
    files = make_files(100_000)
    offer(files, Fault(None, on="content", flip=5, endless=True, **{way: True}))
    with pytest.raises(WrongContent):
        store.pull("owner/name")
    assert sum(path.stat().st_size for path in store.directory.rglob("*") if path.is_file()) < 110_000


# what an earlier pull left


def test_an_interrupted_pull_goes_on_where_it_was(store: Store, offer: Offer, files: Files) -> None:
    hub = offer(files)
    interrupted(store, hub, files)
    store.pull("owner/name")
    assert weights(store) == files[WEIGHTS]
    assert sent(hub) <= len(files[WEIGHTS]) - 2 * MB
    assert list(partial(store, files).parent.iterdir()) == []


@pytest.mark.parametrize("kind", ["flipped", "zeroed", "shifted"])
def test_a_partial_that_went_bad_costs_its_own_bytes_and_no_more(
    store: Store, offer: Offer, files: Files, kind: str
) -> None:
    hub = offer(files)
    interrupted(store, hub, files)
    path = partial(store, files)
    data = bytearray(path.read_bytes())
    if kind == "flipped":
        data[100] ^= 1
    path.write_bytes({"flipped": data, "zeroed": bytes(len(data)), "shifted": b"x" + data}[kind])
    store.pull("owner/name")
    assert weights(store) == files[WEIGHTS]
    assert len(files[WEIGHTS]) < sent(hub) < 2 * len(files[WEIGHTS])
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_a_partial_that_is_no_file_is_named_and_not_followed(
    store: Store, offer: Offer, files: Files, tmp_path: Path, kind: str
) -> None:
    hub = offer(files)
    path = partial(store, files)
    (tmp_path / "precious").write_text("mine")
    path.symlink_to(tmp_path / "precious") if kind == "link" else path.mkdir()
    with pytest.raises(StoreError, match="was not written by the model store"):
        store.pull("owner/name")
    assert (tmp_path / "precious").read_text() == "mine"
    path.unlink() if kind == "link" else path.rmdir()
    store.pull("owner/name")
    assert sent(hub) == len(files[WEIGHTS])


# the end of it


@pytest.mark.parametrize("fault", [faults.stall(1 * MB, times=None), faults.silent(times=None, on="content")])
def test_whoever_ends_a_pull_waits_less_than_a_second(store: Store, offer: Offer, files: Files, fault: Fault) -> None:
    """Every thread is gone by then, and the hub sees its connections closed."""
    hub = offer(files, fault)
    before = threading.active_count()

    def report(progress: Progress) -> None:
        if progress.status == "downloading" and hub.journal.entries(PLACE, kind="content"):
            ends.append(time.monotonic())
            raise Enough

    ends: list[float] = []
    with pytest.raises(Enough):
        store.pull("owner/name", progress=report)
    assert time.monotonic() - ends[0] < 1
    own = [thread for thread in threading.enumerate() if thread.name.startswith(("hub-stream", "hub-digest"))]
    assert own == []
    assert len(ends) == 1
    hub.heal()
    store.pull("owner/name")
    assert threading.active_count() < before + 20


# limits of rate


def test_a_short_limit_is_waited_for_by_all_and_told(store: Store, offer: Offer, files: Files) -> None:
    told: list[str] = []
    hub = offer(files, faults.limited("1", on="redirect"))
    began = time.monotonic()
    store.pull("owner/name", progress=lambda progress: told.append(progress.status))
    assert 0.9 < time.monotonic() - began < 5
    assert "rate limited, continuing in 1 s" in told
    assert weights(store) == files[WEIGHTS]
    assert sent(hub) == len(files[WEIGHTS])


@pytest.mark.parametrize("after", ["61", "100000", "date"])
def test_a_long_limit_is_an_error_that_says_until_when(
    store: Store, offer: Offer, make_files: MakeFiles, after: str
) -> None:
    value = email.utils.formatdate(time.time() + 3600, usegmt=True) if after == "date" else after
    offer(make_files(), faults.limited(value, times=None))
    began = time.monotonic()
    with pytest.raises(RateLimited) as caught:
        store.pull("owner/name")
    assert time.monotonic() - began < 5
    assert caught.value.until is not None
    assert caught.value.until > time.time() + 30


@pytest.mark.parametrize("after", [None, "soon", "-5"])
def test_a_limit_that_says_nothing_is_waited_for_a_little_and_not_for_ever(
    store: Store, offer: Offer, make_files: MakeFiles, monkeypatch: pytest.MonkeyPatch, after: str | None
) -> None:
    monkeypatch.setattr(timeouts, "DEFAULT", Timeouts(default_rate_pause=0.05, rate_wait=0.12))
    hub = offer(make_files(), faults.limited(after, times=None))
    with pytest.raises(RateLimited):
        store.pull("owner/name")
    assert 2 <= len([request for request in hub.requests if request.status == 429]) <= 4


# addresses


def test_an_address_that_expired_is_asked_for_again(store: Store, offer: Offer, files: Files) -> None:
    gate = Gate()
    hub = offer(files, Fault(1, on="content", pause_at=MB, cut=MB + 1, gate=gate))
    puller = threading.Thread(target=store.pull, args=("owner/name",))
    puller.start()
    gate.wait()
    hub.expire()
    gate.open()
    puller.join()
    assert weights(store) == files[WEIGHTS]
    assert sent(hub) == len(files[WEIGHTS])


def test_a_host_that_always_refuses_is_given_up(store: Store, offer: Offer, make_files: MakeFiles) -> None:
    hub = offer(make_files(), faults.failing(403, times=None, on="content"))
    with pytest.raises(HubUnreachable, match=r"refuses to send it \(status 403\)"):
        store.pull("owner/name")
    assert len(ranges(hub)) == 5


def test_the_token_goes_to_the_hub_and_to_nobody_else(store: Store, hub: Hub, files: Files) -> None:
    hub.add("owner/name", files, private=True, allowed=["hf_reader"])
    store.pull("owner/name", token="hf_reader")
    assert all(request.token == "hf_reader" for request in hub.requests if request.host == "hub")
    assert not any(request.had_token for request in hub.cdn_requests)
    assert hub.cdn_requests


# the disk


class FailingWrites(FileSystem):
    """Has room for so many bytes of weights; `code` is what it says then."""

    def __init__(self, room: int, code: int) -> None:
        self.room = room
        self.code = code

    def write_at(self, descriptor: int, data: bytes | bytearray | memoryview, position: int) -> None:
        if len(data) > 1000:
            self.room -= len(data)
            if self.room < 0:
                raise OSError(self.code, os.strerror(self.code))
        super().write_at(descriptor, data, position)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG])
def test_a_disk_that_fails_midway_keeps_what_is_there(tmp_path: Path, offer: Offer, files: Files, code: int) -> None:
    hub = offer(files)
    store = Store.open(tmp_path / "models", disk=FailingWrites(8 * MB, code))
    with pytest.raises(NoSpace if code in (errno.ENOSPC, errno.EDQUOT) else StoreError) as caught:
        store.pull("owner/name")
    if isinstance(caught.value, NoSpace):
        assert caught.value.needed in range(4 * MB, 13 * MB)
    else:
        assert errno.errorcode[code] in str(caught.value)
    hub.journal.clear()
    again = Store.open(tmp_path / "models")
    again.pull("owner/name")
    assert weights(again) == files[WEIGHTS]
    assert sent(hub) <= len(files[WEIGHTS]) - 3 * MB


def test_room_is_taken_before_the_first_byte_comes(tmp_path: Path, offer: Offer, files: Files) -> None:
    class Full(FileSystem):
        def allocate(self, descriptor: int, size: int) -> None:
            if size > MB:
                raise OSError(errno.ENOSPC, "No space left on device")

    hub = offer(files)
    store = Store.open(tmp_path / "models", disk=Full())
    with pytest.raises(NoSpace):
        store.pull("owner/name")
    assert sent(hub) == 0


def test_allocating_keeps_the_length_and_promises_the_room(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    try:
        FileSystem().allocate(descriptor, MB)
        status = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    assert status.st_size == 0
    assert status.st_blocks * 512 in (0, MB) or status.st_blocks * 512 > MB


@pytest.mark.parametrize("call", ["sync", "flush"])
def test_after_a_failed_sync_the_file_is_dropped(
    tmp_path: Path, offer: Offer, files: Files, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the kernel failed to write may be gone although a second sync says all is well."""
    from mlx_serve.store.hub.fetch import syncer

    monkeypatch.setattr(syncer, "_SYNC_BYTES", MB)
    monkeypatch.setattr(syncer, "_POLL_SECONDS", 0.001)

    class NoSync(FileSystem):
        def fail(self, descriptor: int) -> None:
            if os.fstat(descriptor).st_size > MB:
                raise OSError(errno.EIO, "Input/output error")

    setattr(NoSync, call, NoSync.fail)
    hub = offer(files, faults.drip(60 * MB, times=None))
    store = Store.open(tmp_path / "models", disk=NoSync())
    with pytest.raises(StoreError, match="EIO"):
        store.pull("owner/name")
    assert not partial(store, files).exists()
    assert not (store.directory / "blobs" / f"sha256-{hashlib.sha256(files[WEIGHTS]).hexdigest()}").exists()
    hub.heal()
    again = Store.open(tmp_path / "models")
    again.pull("owner/name")
    assert weights(again) == files[WEIGHTS]


# two at once


def test_two_pulls_in_one_store_share_the_work(store: Store, offer: Offer, files: Files) -> None:
    gate = Gate()
    hub = offer(files, Fault(1, on="content", pause_at=MB, gate=gate))
    other = Store.open(store.directory)
    told: list[str] = []

    def report(progress: Progress) -> None:
        told.append(progress.status)
        if progress.status == "waiting for another pull":
            gate.open()

    first = threading.Thread(target=store.pull, args=("owner/name",))
    first.start()
    gate.wait()
    model = other.pull("owner/name", progress=report)
    first.join()
    assert sent(hub) == len(files[WEIGHTS])
    assert store.find("owner/name") == model
    assert {"waiting for another pull", "already here"} <= set(told)


def test_when_one_of_two_gives_up_the_other_goes_on_from_there(store: Store, offer: Offer, files: Files) -> None:
    gate, waiting = Gate(), threading.Event()
    hub = offer(files, Fault(1, on="content", pause_at=MB, gate=gate))
    outcome: list[BaseException] = []

    def first() -> None:
        def report(progress: Progress) -> None:
            if waiting.is_set():
                raise Enough

        try:
            store.pull("owner/name", progress=report)
        except Enough as error:
            outcome.append(error)

    thread = threading.Thread(target=first)
    thread.start()
    gate.wait()
    other = Store.open(store.directory)
    other.pull("owner/name", progress=lambda p: waiting.set() if p.status == "waiting for another pull" else None)
    thread.join()
    assert outcome
    assert weights(other) == files[WEIGHTS]
    # What was in the kernel's buffers when the first one ended was sent and never read.
    assert sent(hub) <= 1.6 * len(files[WEIGHTS])


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_the_content_is_right_or_there_is_an_error(
    store: Store, offer: Offer, make_files: MakeFiles, seed: int
) -> None:
    """Faults at random, one after the other: the store never shows a wrong byte, and ends with the model."""
    chance = random.Random(seed)
    files = make_files(9 * MB, seed)
    kinds: list[Callable[[], Fault]] = [
        lambda: faults.truncated(chance.randrange(3 * MB)),
        lambda: faults.reset(chance.randrange(3 * MB)),
        lambda: faults.failing(502, on="content"),
        lambda: faults.wrong_range("bytes 1-2/3"),
        lambda: faults.without_ranges(times=1),
        lambda: faults.html(),
        lambda: faults.failing(403, on="content"),
        lambda: Fault(1, on="content", chunked=True),
    ]
    hub = offer(files, *(chance.choice(kinds)() for _ in range(8)))
    for _ in range(10):
        try:
            store.pull("owner/name")
            break
        except StoreError:
            assert store.models() == []
    assert weights(store) == files[WEIGHTS]
    assert all(file.ok for file in store.verify())
    assert hub.bytes_sent
