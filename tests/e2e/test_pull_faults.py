"""Pulls from a hub that misbehaves: what can be had is had, the rest is one sentence and an unharmed store."""

from __future__ import annotations

import email.utils
import time

import pytest
from e2e.pulling_daemon import PullingDaemon, StoreSnapshot, kept, model
from fakes.hub import faults
from fakes.hub.faults import Fault

WEIGHTS = "model.safetensors"

# content


def test_wrong_bytes_once_are_fetched_again(pulling: PullingDaemon) -> None:
    files = model(250_000, seed=30)
    pulling.hub.add("acme/flip-once", files)
    pulling.hub.fault(f"*acme/flip-once/*{WEIGHTS}", faults.corrupt(200_000))
    pulling.pull("acme/flip-once")
    assert pulling.stored(files) == kept(files)


def test_wrong_bytes_always_name_the_file_and_leave_nothing(pulling: PullingDaemon, snapshot: StoreSnapshot) -> None:
    files = model(250_000, seed=31)
    repository = pulling.hub.add("acme/flipped", files)
    pulling.hub.fault(f"*acme/flipped/*{WEIGHTS}", faults.corrupt(200_000, times=None))
    assert WEIGHTS in pulling.refused("acme/flipped")
    assert pulling.sent(repository, WEIGHTS) <= 3 * len(files[WEIGHTS])
    assert WEIGHTS not in pulling.stored(files)
    snapshot.check()
    pulling.hub.heal()
    pulling.pull("acme/flipped")
    assert pulling.stored(files) == kept(files)


def test_small_files_are_checked_as_well(pulling: PullingDaemon, snapshot: StoreSnapshot) -> None:
    pulling.hub.add("acme/small", model(40_000, seed=32) | {"tokenizer_config.json": b'{"tokenizer_class": "Other"}'})
    pulling.hub.fault("*acme/small/*/tokenizer_config.json", faults.corrupt(3, times=None))
    assert "tokenizer_config.json" in pulling.refused("acme/small")
    snapshot.check()


@pytest.mark.parametrize(
    "fault",
    [
        faults.truncated(100_000),
        faults.reset(100_000),
        faults.reset(0),
        faults.shifted(5),
        faults.wrong_range("bytes 1-5/6"),
        faults.without_ranges(),
        faults.html(),
        faults.failing(503, on="content"),
        faults.failing(500, times=2),
        Fault(on="content", gzip=True),
        Fault(on="content", no_length=True),
        Fault(on="content", chunked=True),
        Fault(on="content", extra=1000),
        Fault(on="content", endless=True),
        Fault(on="content", etag='"another"'),
    ],
    ids=lambda fault: ",".join(f"{k}={v}" for k, v in vars(fault).items() if v != getattr(Fault, k, None))[:50],
)
def test_a_line_that_is_bad_for_a_while_costs_nothing_but_time(
    pulling: PullingDaemon, fault: Fault, request: pytest.FixtureRequest
) -> None:
    number = request.node.callspec.indices["fault"]
    files = model(300_000, seed=100 + number)
    repository = pulling.hub.add(f"acme/bad{number}", files)
    pulling.hub.fault(f"*acme/bad{number}/*{WEIGHTS}", fault)
    pulling.pull(f"acme/bad{number}")
    assert pulling.stored(files) == kept(files)
    if not fault.endless:
        assert pulling.sent(repository, WEIGHTS) <= 2 * len(files[WEIGHTS]) + 100_000


def test_truncation_is_resumed_and_not_begun_again(pulling: PullingDaemon) -> None:
    files = model(900_000, seed=33)
    repository = pulling.hub.add("acme/cut", files)
    pulling.hub.fault(f"*acme/cut/*{WEIGHTS}", faults.truncated(400_000))
    pulling.pull("acme/cut")
    assert pulling.sent(repository, WEIGHTS) <= len(files[WEIGHTS]) + 1000
    assert pulling.stored(files) == kept(files)


def test_a_hub_that_names_another_commit_is_not_believed(pulling: PullingDaemon, snapshot: StoreSnapshot) -> None:
    pulling.hub.add("acme/commit", model(30_000, seed=34))
    pulling.hub.fault(f"*acme/commit/resolve/*{WEIGHTS}", Fault(None, on="redirect", commit="f" * 40))
    pulling.refused("acme/commit")
    snapshot.check()


@pytest.mark.parametrize("etag", ['"../../../../pwn"', '"/etc/passwd"', 'W/""', '"' + "e" * 7000 + '"'])
def test_an_etag_is_no_path(
    pulling: PullingDaemon, snapshot: StoreSnapshot, etag: str, request: pytest.FixtureRequest
) -> None:
    name = f"acme/etag{request.node.callspec.indices['etag']}"
    pulling.hub.add(name, model(30_000, seed=35))
    pulling.hub.fault(f"*{name}/*", Fault(None, etag=etag))
    events = pulling.events(name)
    if "error" not in events[-1]:
        pulling.daemon.control("DELETE", f"/models/{name}")
    snapshot.check()
    assert not list(pulling.daemon.home.rglob("*pwn*"))


def test_a_commit_that_changes_during_the_pull_never_mixes(pulling: PullingDaemon) -> None:
    """The pull goes on at the commit that it listed."""
    old, new = model(200_000, 200_000, seed=36), model(200_000, 200_000, seed=37)
    repository = pulling.hub.add("acme/mid", old)
    first = repository.head.id
    gate = faults.Gate()
    pulling.hub.fault("*acme/mid/*00001-of*", faults.paused(50_000, gate))
    with pulling.begin("acme/mid") as stream:
        gate.wait()
        repository.commit(new)
        gate.open()
        assert stream.rest().last["status"] == "success"
    assert pulling.stored(old) == kept(old)
    assert pulling.daemon.control("GET", "/models/acme/mid")["revision"] == first


# redirects


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "http://169.254.169.254/latest/meta-data",
        "//",
        "javascript:alert(1)",
        "http://user:password@localhost:1/x",
    ],
)
def test_redirects_to_elsewhere_are_not_followed(
    pulling: PullingDaemon, snapshot: StoreSnapshot, location: str, request: pytest.FixtureRequest
) -> None:
    name = f"acme/moved{request.node.callspec.indices['location']}"
    pulling.hub.add(name, model(30_000, seed=38))
    pulling.hub.fault(f"*{name}/resolve/*{WEIGHTS}", faults.moved(location))
    text = pulling.refused(name)
    assert "Traceback" not in text
    snapshot.check()


def test_redirects_in_a_circle_end(pulling: PullingDaemon, snapshot: StoreSnapshot) -> None:
    repository = pulling.hub.add("acme/circle", model(30_000, seed=39))
    location = f"{pulling.hub.url}/acme/circle/resolve/{repository.head.id}/{WEIGHTS}"
    pulling.hub.fault(f"*acme/circle/resolve/*{WEIGHTS}", faults.moved(location))
    pulling.refused("acme/circle")
    assert len(pulling.hub.journal.entries(f"*acme/circle/resolve/*{WEIGHTS}")) < 100
    snapshot.check()


def test_a_token_does_not_come_back_from_the_cdn_to_the_hub_by_way_of_others(pulling: PullingDaemon) -> None:
    """Hub -> CDN -> hub: the last one is asked without the token, and what it says is not taken for the file."""
    files = model(60_000, seed=40)
    repository = pulling.hub.add("acme/around", files, gated=True, allowed=["hf_around"])
    back = f"{pulling.hub.url}/acme/around/resolve/{repository.head.id}/README.md"
    pulling.hub.fault(f"/repos/acme/around/*{WEIGHTS}", faults.moved(back, on="content", times=1))
    pulling.pull("acme/around", token="hf_around")
    asked = pulling.hub.journal.entries("*acme/around*")
    sent_back = next(at for at, request in enumerate(asked) if request.fault) + 1
    assert asked[sent_back].path.endswith("README.md") and not asked[sent_back].had_token
    assert not [request for request in asked if request.host == "cdn" and request.had_token]
    assert pulling.stored(files) == kept(files)


# limits


@pytest.mark.parametrize("way", ["seconds", "date", "listing"])
def test_a_short_limit_is_waited_for_and_shown(pulling: PullingDaemon, way: str) -> None:
    files = model(50_000, seed=41)
    pulling.hub.add(f"acme/limit-{way}", files)
    after = email.utils.formatdate(time.time() + 1, usegmt=True) if way == "date" else "1"
    where = f"/api/models/acme/limit-{way}*" if way == "listing" else f"*acme/limit-{way}/*{WEIGHTS}"
    pulling.hub.fault(where, faults.limited(after))
    events = pulling.pull(f"acme/limit-{way}")
    assert [event for event in events if "rate limited" in event["status"]] or way == "date"
    assert pulling.stored(files) == kept(files)


@pytest.mark.parametrize("after", ["100000", "Fri, 31 Dec 2100 23:59:59 GMT"])
def test_a_long_limit_is_not_waited_for(pulling: PullingDaemon, snapshot: StoreSnapshot, after: str) -> None:
    name = f"acme/long-{len(after)}"
    pulling.hub.add(name, model(50_000, seed=42))
    pulling.hub.fault(f"*{name}/*{WEIGHTS}", faults.limited(after, times=None))
    events = pulling.events(name)
    assert "limits the rate" in events[-1]["error"]["message"]
    assert not any("rate limited" in event.get("status", "") for event in events)
    snapshot.check()


def test_signed_addresses_that_expired_are_asked_for_again(pulling: PullingDaemon) -> None:
    files = model(800_000, seed=43)
    pulling.hub.add("acme/expired", files)
    gate = faults.Gate()
    pulling.hub.fault(f"*acme/expired/*{WEIGHTS}", Fault(on="content", pause_at=300_000, gate=gate, cut=300_001))
    with pulling.begin("acme/expired") as stream:
        gate.wait()
        pulling.hub.expire()
        gate.open()
        assert stream.rest().last.get("status") == "success", stream.last
    assert pulling.stored(files) == kept(files)
