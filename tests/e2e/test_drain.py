"""How the daemon ends with models at work, and who may run beside whom."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from e2e.conftest import Start
from e2e.scripted_model import ENDLESS, HELLO
from support.live_daemon import LiveDaemon, wait_until
from support.ports import free_port
from support.process_use import dead

ROUND = ENDLESS[0]


def gone(daemon: LiveDaemon) -> bool:
    """Neither socket nor lock is left, nor anything in the temporary folder."""
    left = [path for path in (daemon.home / "run").iterdir() if path.stem == str(daemon.port)]
    return not left and not list(daemon.temporary.iterdir())


def test_what_can_finish_finishes_and_the_place_is_free_at_once(start: Start) -> None:
    """A stream and a whole answer under way at SIGTERM come to their good ends; nobody new is let in meanwhile; an
    immediate restart on the same port works."""
    daemon = start()
    assert daemon.chat("scripted", "say H").text == HELLO.text
    with ThreadPoolExecutor(1) as pool, daemon.chat_stream("scripted", "say P", max_tokens=1500) as stream:
        whole = pool.submit(daemon.chat, "scripted", "say P", max_tokens=1000)
        assert stream.wait_for_text()
        with daemon.chat_stream("scripted", "say Q") as held:  # holds the end up until it is left
            assert held.wait_for_text()
            children = daemon.family()
            daemon.signal(signal.SIGTERM)
            wait_until(lambda: daemon.control("GET", "/status")["draining"], "it drains")
            with pytest.raises(ConnectionRefusedError):
                daemon.get("/healthz")
        assert stream.rest().text == ROUND.beginning(1500) and stream.whole and stream.last == "[DONE]"
        assert whole.result().text == ROUND.beginning(1000)
        assert whole.result().headers["connection"] == "close"
    assert daemon.ended() == 0 and gone(daemon)
    assert all(dead(child.pid) for child in children)
    again = start(store=None, home=daemon.home, port=daemon.port)
    assert again.get("/readyz").status == 200


def test_what_cannot_finish_is_cut_with_an_error_in_its_dialect(start: Start) -> None:
    daemon = start(server_drain_seconds=1)
    assert daemon.chat("scripted", "say H").text == HELLO.text
    ours, theirs = daemon.chat_stream("scripted", "say P"), daemon.ollama_stream("scripted", "say Q")
    with ThreadPoolExecutor(1) as pool:
        whole = pool.submit(daemon.chat, "scripted", "say R")
        assert ours.wait_for_text() and theirs.wait_for_text()
        wait_until(lambda: daemon.gauge("queue_running") == 3, "all run")
        children = daemon.family()
        began = time.monotonic()
        daemon.signal(signal.SIGTERM)
        drained = pool.submit(daemon.ended)
        assert ours.rest().last["error"]["code"] == "shutting_down" and ours.whole
        assert "shutting down" in theirs.rest().last["error"] and theirs.whole
        refused = whole.result()
        assert refused.status == 503 and "retry-after" in refused.headers
        assert refused.error["code"] == "shutting_down"
        assert drained.result() == 0 and time.monotonic() - began >= 1
    assert gone(daemon) and all(dead(child.pid) for child in children)


def test_a_second_signal_is_at_once(start: Start) -> None:
    daemon = start(server_drain_seconds=3600)
    assert daemon.chat("scripted", "say H").text == HELLO.text
    with daemon.chat_stream("scripted", "say P") as stream:
        assert stream.wait_for_text()
        daemon.signal(signal.SIGTERM)
        wait_until(lambda: daemon.control("GET", "/status")["draining"], "it drains")
        daemon.signal(signal.SIGTERM)
        assert stream.rest().last["error"]["code"] == "shutting_down"
        assert daemon.ended() == 0
    assert gone(daemon)


def test_a_load_under_way_does_not_hold_the_end_up(start: Start) -> None:
    """Who waits for it is told."""
    daemon = start(server_drain_seconds=0)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(daemon.chat, "scripted", "say H")
        wait_until(lambda: daemon.gauge("queue_running") == 1, "it waits for the load")
        daemon.signal(signal.SIGTERM)
        assert daemon.ended() == 0 and daemon.log("abandon runners") == []
        assert answer.result().status == 503
    assert gone(daemon)


def test_two_daemons_of_one_home_side_by_side(start: Start) -> None:
    """One store, two ports, two sockets; the end of one is not the other's."""
    first = start()
    second = start(store=None, home=first.home)
    assert first.port != second.port and first.home == second.home
    names = [[model["id"] for model in each.get("/v1/models").json["data"]] for each in (first, second)]
    assert names[0] == names[1] != []
    assert second.stop() == 0
    assert not second.socket_path.exists() and first.socket_path.exists()
    assert first.get("/readyz").status == 200


def test_a_second_daemon_on_the_port_is_told_so_and_the_first_lives_on(start: Start) -> None:
    first = start()
    second = start(store=None, home=first.home, port=first.port, wait=False)
    assert second.ended() == 75
    assert second.complaints() == f"mlx-serve: a daemon for port {first.port} is already running, pid {first.pid}"
    elsewhere = start(port=first.port, wait=False)
    assert elsewhere.ended() == 1
    assert f"port {first.port} is in use" in elsewhere.complaints()
    assert first.get("/readyz").status == 200 and first.control("GET", "/status")["pid"] == first.pid


def test_of_daemons_that_start_at_once_one_wins(start: Start) -> None:
    """The other is told whose the port is, and leaves the winner's socket alone."""
    home, port = start(store=None).home, free_port()
    for _ in range(3):
        racing = [start(store=None, home=home, port=port, wait=False) for _ in range(2)]
        wait_until(lambda pair=racing: any(each.process.poll() is not None for each in pair), "one has lost")
        winner, loser = sorted(racing, key=lambda each: each.process.poll() is not None)
        assert loser.ended() == 75
        assert loser.complaints().startswith(f"mlx-serve: a daemon for port {port} is already running")
        assert winner.ready().control("GET", "/status")["pid"] == winner.pid
        assert winner.get("/readyz").status == 200
        assert winner.stop() == 0


def test_connections_kept_alive_do_not_hold_the_end_up(start: Start) -> None:
    daemon = start(server_drain_seconds=3600)
    kept = daemon.connect()
    kept.request("GET", "/healthz")
    kept.getresponse().read()
    assert daemon.stop() == 0
    kept.close()
