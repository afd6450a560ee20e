"""Several pieces and several files come at once, and two pulls of one model share the work."""

from __future__ import annotations

import itertools
import threading

from fakes.hub.faults import Fault, Gate
from fakes.hub.server import Hub
from support.hub_pulls import MB, WEIGHTS, Enough, Files, MakeFiles, Offer, ranges, sent, weights

from mlx_serve.store.progress import Progress
from mlx_serve.store.store import Store


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
