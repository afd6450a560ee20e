"""Pulls that are interrupted, by Ctrl-C, by the death of the daemon, by a full disk: the next one goes on."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.conftest import StartPulling
from e2e.pulling_daemon import QUIET, PullingDaemon, kept, model, size
from fakes.hub import faults
from fakes.hub.faults import Gate, paused
from fakes.hub.server import Hub
from support.live_daemon import wait_until
from support.waiting import GUARD

from mlx_serve.store.disk.leftovers import PART, PIECES

HEAD_BYTES, SLOT = 64, struct.Struct("<QQQ")  # as store/hub/fetch/partial.py has them

WEIGHTS = "model.safetensors"
SLACK = 300_000
"""Bytes that may be on their way when a connection ends."""


def test_ctrl_c_keeps_what_is_here_and_the_next_pull_goes_on(pulling: PullingDaemon) -> None:
    files = model(2_000_000, seed=60)
    repository = pulling.hub.add("acme/interrupted", files)
    gate = Gate()
    pulling.hub.fault(f"*acme/interrupted/*{WEIGHTS}", paused(1_200_000, gate))
    command = pulling.daemon.begin("pull", "acme/interrupted")
    gate.wait()
    _wait_for_partial(pulling, 1_000_000)
    command.send_signal(signal.SIGINT)
    out, err = command.communicate(timeout=GUARD)
    assert command.returncode == 130 and "Traceback" not in out + err
    # The daemon hangs up, although the hub would keep it waiting for ever.
    wait_until(lambda: all(request.done for request in pulling.bodies(repository)), "the daemon hung up", QUIET)
    assert "acme/interrupted" not in pulling.names()
    before = pulling.sent(repository)
    gate.open()
    pulling.pull("acme/interrupted")
    assert pulling.sent(repository) - before <= size(files) - 1_000_000
    assert pulling.stored(files) == kept(files)


def test_one_of_two_leaves_and_the_other_gets_the_model(pulling: PullingDaemon) -> None:
    files = model(800_000, seed=61)
    repository = pulling.hub.add("acme/leaving", files)
    gate = Gate()
    pulling.hub.fault(f"*acme/leaving/*{WEIGHTS}", paused(400_000, gate))
    with pulling.begin("acme/leaving") as first:
        gate.wait()
        with pulling.begin("acme/leaving") as second:
            second.next()
            first.drop()
            gate.open()
            assert second.rest().last["status"] == "success"
    assert pulling.sent(repository, WEIGHTS) == len(files[WEIGHTS])


def test_everybody_leaving_stops_the_work(pulling: PullingDaemon) -> None:
    files = model(800_000, seed=62)
    repository = pulling.hub.add("acme/left", files)
    pulling.hub.fault(f"*acme/left/*{WEIGHTS}", faults.stall(400_000))
    first, second = pulling.begin("acme/left"), pulling.begin("acme/left")
    for stream in (first, second):
        stream.next()
    pulling.hub.journal.wait(f"*acme/left/*{WEIGHTS}", 1, kind="content")
    for stream in (first, second):
        stream.drop()
    wait_until(lambda: all(request.done for request in pulling.bodies(repository)), "the daemon hung up", QUIET)
    pulling.hub.heal()
    pulling.pull("acme/left")
    assert pulling.stored(files) == kept(files)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_daemon_that_ends_goes_on_where_it_was(
    start_pulling: StartPulling, hub: Hub, short_path: Path, number: signal.Signals
) -> None:
    files = model(4_000_000, 4_000_000, seed=63 + number)
    repository = hub.add(f"acme/ended{number}", files)
    gate = Gate()
    hub.fault(f"*acme/ended{number}/*00002-of*", paused(3_000_000, gate))
    pulling = start_pulling(short_path / "home", server_drain_seconds=1)
    with pulling.begin(f"acme/ended{number}") as stream:
        gate.wait()
        hub.journal.wait(f"*acme/ended{number}/*00001-of*", 1, kind="content")
        _wait_for_partial(pulling, 6_000_000)
        pulling.daemon.signal(number)
        pulling.daemon.ended()
        stream.rest()
    gate.open()
    again = start_pulling(short_path / "home")
    before = pulling.sent(repository)
    assert f"acme/ended{number}" not in again.names()
    again.pull(f"acme/ended{number}")
    assert pulling.sent(repository) - before <= size(files) - 6_000_000 + SLACK
    assert again.stored(files) == kept(files)
    assert not list((again.store / "partial").iterdir())


def test_two_daemons_on_one_store_fetch_a_file_once(start_pulling: StartPulling, hub: Hub, tmp_path: Path) -> None:
    files = model(900_000, seed=66)
    repository = hub.add("acme/pair", files)
    gate = Gate()
    hub.fault(f"*acme/pair/*{WEIGHTS}", paused(300_000, gate))
    shared = {"models_dir": str(tmp_path / "shared")}
    first, second = start_pulling(**shared), start_pulling(**shared)
    with first.begin("acme/pair") as one:
        gate.wait()
        with second.begin("acme/pair") as two:
            two.next()
            gate.open()
            assert two.rest().last.get("status") == "success", two.last
        assert one.rest().last.get("status") == "success", one.last
    assert first.sent(repository, WEIGHTS) == len(files[WEIGHTS])


def test_gc_during_a_pull_takes_nothing_of_it(pulling: PullingDaemon) -> None:
    files = model(100_000, 700_000, seed=67)
    pulling.hub.add("acme/swept", files)
    gate = Gate()
    pulling.hub.fault("*acme/swept/*00002-of*", paused(300_000, gate))
    with pulling.begin("acme/swept") as stream:
        gate.wait()
        sweep = pulling.daemon.begin("gc")
        assert pulling.daemon.control("GET", "/status")["pid"] == pulling.daemon.pid
        gate.open()
        assert stream.rest().last.get("status") == "success", stream.last
        said = sweep.communicate(timeout=GUARD)
        assert sweep.returncode in (0, 1) and "Traceback" not in said[1], said
    assert pulling.stored(files) == kept(files)


def test_gc_after_an_interrupted_pull_leaves_what_can_be_resumed(pulling: PullingDaemon) -> None:
    files = model(400_000, 700_000, seed=68)
    repository = pulling.hub.add("acme/resumable", files)
    gate = Gate()
    pulling.hub.fault("*acme/resumable/*00002-of*", paused(500_000, gate))
    with pulling.begin("acme/resumable"):
        gate.wait()
        wait_until(lambda: "model-00001-of-00002.safetensors" in pulling.stored(files), "the first shard is stored")
        _wait_for_partial(pulling, 400_000)
    wait_until(lambda: all(request.done for request in pulling.bodies(repository)), "the daemon hung up", QUIET)
    gate.open()
    wait_until(lambda: pulling.command("gc").returncode == 0, "gc")
    before = pulling.sent(repository)
    pulling.pull("acme/resumable")
    assert pulling.sent(repository) - before <= 700_000 - 400_000 + SLACK
    assert pulling.stored(files) == kept(files)


# the disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB, where this user may mount one."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=24m,mode=700", "tmpfs", str(place)], capture_output=True
        ).returncode
    )
    if not mounted:
        pytest.skip("only root can mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_model_too_large_for_the_disk_is_refused_at_once_with_figures(
    start_pulling: StartPulling, hub: Hub, small_disk: Path
) -> None:
    files = model(40_000_000, seed=70)
    repository = hub.add("acme/large", files)
    pulling = start_pulling(models_dir=str(small_disk / "models"))
    text = pulling.refused("acme/large")
    assert "no space left" in text and "MB" in text
    assert not pulling.bodies(repository, WEIGHTS)


def test_a_disk_that_fills_up_midway_loses_nothing(start_pulling: StartPulling, hub: Hub, small_disk: Path) -> None:
    files = model(16_000_000, seed=71)
    repository = hub.add("acme/filling", files)
    pulling = start_pulling(models_dir=str(small_disk / "models"))
    small = model(50_000, seed=72)
    hub.add("acme/already", small)
    pulling.pull("acme/already")
    gate = Gate()
    hub.fault(f"*acme/filling/*{WEIGHTS}", paused(3_000_000, gate, times=None))
    with pulling.begin("acme/filling") as stream:
        gate.wait()
        ballast = small_disk / "ballast"
        _fill(ballast)
        hub.heal()
        last = stream.rest().last
    if last.get("status") != "success":  # where the space was reserved before, nothing can go wrong
        assert "no space left" in last["error"]["message"]
    assert pulling.names() >= {"acme/already"}
    assert pulling.daemon.get("/healthz").status == 200
    ballast.unlink()
    before = pulling.sent(repository)
    pulling.pull("acme/filling")
    assert pulling.sent(repository) - before <= size(files) - 2_000_000
    assert pulling.daemon.control("GET", "/models/acme/filling")


def test_a_read_only_store_serves_and_says_why_it_does_not_pull(
    start_pulling: StartPulling, hub: Hub, small_disk: Path
) -> None:
    hub.add("acme/readonly", model(50_000, seed=73))
    hub.add("acme/toolate", model(50_000, seed=74))
    pulling = start_pulling(models_dir=str(small_disk / "models"))
    pulling.pull("acme/readonly")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    again = start_pulling(models_dir=str(small_disk / "models"))
    assert again.names() == {"acme/readonly"}
    assert "read-only" in again.refused("acme/toolate")
    done = again.command("pull", "acme/toolate")
    assert done.returncode == 1 and "read-only" in done.stderr


def _fill(path: Path) -> None:
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            return


def _wait_for_partial(pulling: PullingDaemon, count: int) -> None:
    """Until so many bytes are known to lie in partial files, and in young blobs. What is written and not in the index
    of its file yet is fetched again after a `kill -9`."""
    wait_until(lambda: _known(pulling.store) >= count, f"{count} bytes on disk")


def _known(store: Path) -> int:
    found = 0
    for path in [*(store / "partial").rglob(f"*{PIECES}"), *(store / "blobs").iterdir()]:
        try:
            if path.suffix != PIECES:
                found += path.lstat().st_size
            elif path.with_suffix(PART).exists():
                slots = path.read_bytes()[HEAD_BYTES:]
                found += sum(
                    written for _, written, _ in SLOT.iter_unpack(slots[: len(slots) // SLOT.size * SLOT.size])
                )
        except FileNotFoundError:
            continue
    return found
