"""Pulls from a hub that misbehaves: what can be had is had, the rest is one sentence and an unharmed store."""

from __future__ import annotations

import email.utils
import time
from typing import Any

import pytest
from e2e.pulling import Pulling, kept, model
from hub import faults
from hub.body import pieces
from hub.faults import Fault

WEIGHTS = "model.safetensors"


class Unharmed:
    """Takes what is in the store before, and compares afterwards. Partial files do not count: they are for resuming."""

    def __init__(self, pulling: Pulling) -> None:
        self.pulling = pulling
        self.before = self._look()

    def _look(self) -> tuple[set[str], list[str]]:
        home = self.pulling.daemon.home
        outside = [str(p) for p in home.rglob("*") if not p.is_relative_to(self.pulling.store) and p.suffix != ".log"]
        return self.pulling.names(), sorted(outside)

    def check(self) -> None:
        assert self._look() == self.before


@pytest.fixture
def unharmed(pulling: Pulling) -> Unharmed:
    return Unharmed(pulling)


# refusals


def test_what_the_hub_does_not_have_is_said_so(pulling: Pulling, unharmed: Unharmed) -> None:
    done = pulling.command("pull", "acme/nowhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert "acme/nowhere" in done.stderr and "Traceback" not in done.stderr and len(done.stderr.splitlines()) <= 3
    unharmed.check()


def test_a_gated_model_says_where_to_accept_the_terms_and_how_to_set_the_token(
    pulling: Pulling, unharmed: Unharmed
) -> None:
    repository = pulling.hub.add("acme/closed", model(), gated=True, allowed=["hf_in"])
    for environ in ({}, {"HF_TOKEN": "hf_reader"}):
        done = pulling.command("pull", "acme/closed", **environ)
        assert done.returncode == 1
        assert f"{pulling.hub.url}/acme/closed" in done.stderr and "HF_TOKEN" in done.stderr
    assert not pulling.bodies(repository, WEIGHTS)
    unharmed.check()


def test_a_private_model_and_a_false_token_are_told_apart(pulling: Pulling, unharmed: Unharmed) -> None:
    pulling.hub.add("acme/private", model(), private=True, allowed=["hf_friend"])
    assert "private" in pulling.refused("acme/private")
    assert "does not accept the token" in pulling.refused("acme/private", token="hf_wrong")
    unharmed.check()


def test_a_revision_that_is_not_there_is_named(pulling: Pulling, unharmed: Unharmed) -> None:
    pulling.hub.add("acme/revised", model())
    assert "v9" in pulling.refused("acme/revised", revision="v9")
    unharmed.check()


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"config.json": b'{"model_type": "llama"}', "pytorch_model.bin": b"x"}, "safetensors"),
        ({"model-q4.gguf": b"GGUF"}, "safetensors"),
        ({"modeling.py": b"print()"}, "safetensors"),
        (model(model_type="nobody_knows_this"), "nobody_knows_this"),
        (model(auto_map={"AutoModel": "modeling.Evil"}), "code"),
        (model(model_file="evil.py"), "code"),
        (
            {k: v for k, v in model(1000, 1000).items() if not k.startswith("model-00002")},
            "model-00002-of-00002.safetensors",
        ),
    ],
    ids=["pickles", "gguf", "python", "unknown", "auto_map", "model_file", "shard missing"],
)
def test_what_cannot_be_served_is_refused_before_a_byte_of_weights(
    pulling: Pulling, unharmed: Unharmed, files: dict[str, bytes], words: str, request: pytest.FixtureRequest
) -> None:
    name = f"acme/unserved-{request.node.callspec.id.replace(' ', '-')}"
    repository = pulling.hub.add(name, files)
    assert words in pulling.refused(name)
    assert not [r for r in pulling.bodies(repository) if r.path.endswith((".safetensors", ".bin", ".gguf"))]
    unharmed.check()


EVIL = [
    "../x.json",
    "../../../../tmp/pwned.json",
    "/etc/x.json",
    "a/../../b.json",
    "C:x.json",
    "C:\\x.json",
    "a\\..\\b.json",
    ".git/config",
    "a\0b.json",
    "x" * 5000 + ".json",
    "/".join(["d"] * 300) + ".json",
    "Config.json",
    "./config.json",
    "a//b.json",
    "config.json",
    "tokenizer\u0301.json",
]


@pytest.mark.parametrize("path", EVIL, ids=lambda path: repr(path[:24]))
def test_names_that_lead_elsewhere_are_refused_or_left_behind(pulling: Pulling, unharmed: Unharmed, path: str) -> None:
    """Nothing outside of the store is written, and no file of such a name gets into a model."""
    entry = {"type": "file", "path": path, "oid": "0" * 40, "size": 12}
    name = f"acme/evil{EVIL.index(path)}"
    pulling.hub.add(name, model(20_000), extra_tree=[entry])
    events = pulling._pull(name)
    assert "error" in events[-1] or events[-1].get("status") == "success"
    if "error" not in events[-1]:
        shown = pulling.daemon.control("GET", f"/models/{name}")
        assert path not in str(shown)
        pulling.daemon.control("DELETE", f"/models/{name}")
    unharmed.check()


@pytest.mark.parametrize(
    "lies",
    [
        {"size": -1},
        {"size": 10**15, "lfs": {"size": 10**15}},
        {"size": "many"},
        {"size": 7, "lfs": {"size": 7}},
        {"lfs": {"oid": "../../../../evil"}},
        {"lfs": {"oid": "0" * 64}},
    ],
    ids=["negative", "huge", "text", "small", "traversal", "another digest"],
)
def test_a_listing_that_lies_about_a_file_leaves_no_model(
    pulling: Pulling, unharmed: Unharmed, lies: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    name = f"acme/lies-{request.node.callspec.id.replace(' ', '-')}"
    pulling.hub.add(name, model(30_000), lies={WEIGHTS: lies})
    pulling.refused(name)
    assert name not in pulling.names()
    unharmed.check()


# content


def test_wrong_bytes_once_are_fetched_again(pulling: Pulling) -> None:
    files = model(250_000, seed=30)
    pulling.hub.add("acme/flip-once", files)
    pulling.hub.fault(f"*acme/flip-once/*{WEIGHTS}", faults.corrupt(200_000))
    pulling.pull("acme/flip-once")
    assert pulling.stored(files) == kept(files)


def test_wrong_bytes_always_name_the_file_and_leave_nothing(pulling: Pulling, unharmed: Unharmed) -> None:
    files = model(250_000, seed=31)
    repository = pulling.hub.add("acme/flipped", files)
    pulling.hub.fault(f"*acme/flipped/*{WEIGHTS}", faults.corrupt(200_000, times=None))
    assert WEIGHTS in pulling.refused("acme/flipped")
    assert pulling.sent(repository, WEIGHTS) <= 3 * len(files[WEIGHTS])
    assert WEIGHTS not in pulling.stored(files)
    unharmed.check()
    pulling.hub.heal()
    pulling.pull("acme/flipped")
    assert pulling.stored(files) == kept(files)


def test_small_files_are_checked_as_well(pulling: Pulling, unharmed: Unharmed) -> None:
    pulling.hub.add("acme/small", model(40_000, seed=32) | {"tokenizer_config.json": b'{"tokenizer_class": "Other"}'})
    pulling.hub.fault("*acme/small/*/tokenizer_config.json", faults.corrupt(3, times=None))
    assert "tokenizer_config.json" in pulling.refused("acme/small")
    unharmed.check()


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
    pulling: Pulling, fault: Fault, request: pytest.FixtureRequest
) -> None:
    number = request.node.callspec.indices["fault"]
    files = model(300_000, seed=100 + number)
    repository = pulling.hub.add(f"acme/bad{number}", files)
    pulling.hub.fault(f"*acme/bad{number}/*{WEIGHTS}", fault)
    pulling.pull(f"acme/bad{number}")
    assert pulling.stored(files) == kept(files)
    if not fault.endless:
        assert pulling.sent(repository, WEIGHTS) <= 2 * len(files[WEIGHTS]) + 100_000


def test_truncation_is_resumed_and_not_begun_again(pulling: Pulling) -> None:
    files = model(900_000, seed=33)
    repository = pulling.hub.add("acme/cut", files)
    pulling.hub.fault(f"*acme/cut/*{WEIGHTS}", faults.truncated(400_000))
    pulling.pull("acme/cut")
    assert pulling.sent(repository, WEIGHTS) <= len(files[WEIGHTS]) + 1000
    assert pulling.stored(files) == kept(files)


def test_a_hub_that_names_another_commit_is_not_believed(pulling: Pulling, unharmed: Unharmed) -> None:
    pulling.hub.add("acme/commit", model(30_000, seed=34))
    pulling.hub.fault(f"*acme/commit/resolve/*{WEIGHTS}", Fault(None, on="redirect", commit="f" * 40))
    pulling.refused("acme/commit")
    unharmed.check()


@pytest.mark.parametrize("etag", ['"../../../../pwn"', '"/etc/passwd"', 'W/""', '"' + "e" * 7000 + '"'])
def test_an_etag_is_no_path(pulling: Pulling, unharmed: Unharmed, etag: str, request: pytest.FixtureRequest) -> None:
    name = f"acme/etag{request.node.callspec.indices['etag']}"
    pulling.hub.add(name, model(30_000, seed=35))
    pulling.hub.fault(f"*{name}/*", Fault(None, etag=etag))
    events = pulling._pull(name)
    if "error" not in events[-1]:
        pulling.daemon.control("DELETE", f"/models/{name}")
    unharmed.check()
    assert not list(pulling.daemon.home.rglob("*pwn*"))


def test_a_commit_that_changes_during_the_pull_never_mixes(pulling: Pulling) -> None:
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
    pulling: Pulling, unharmed: Unharmed, location: str, request: pytest.FixtureRequest
) -> None:
    name = f"acme/moved{request.node.callspec.indices['location']}"
    pulling.hub.add(name, model(30_000, seed=38))
    pulling.hub.fault(f"*{name}/resolve/*{WEIGHTS}", faults.moved(location))
    text = pulling.refused(name)
    assert "Traceback" not in text
    unharmed.check()


def test_redirects_in_a_circle_end(pulling: Pulling, unharmed: Unharmed) -> None:
    repository = pulling.hub.add("acme/circle", model(30_000, seed=39))
    location = f"{pulling.hub.url}/acme/circle/resolve/{repository.head.id}/{WEIGHTS}"
    pulling.hub.fault(f"*acme/circle/resolve/*{WEIGHTS}", faults.moved(location))
    pulling.refused("acme/circle")
    assert len(pulling.hub.journal.entries(f"*acme/circle/resolve/*{WEIGHTS}")) < 100
    unharmed.check()


def test_a_token_does_not_come_back_from_the_cdn_to_the_hub_by_way_of_others(pulling: Pulling) -> None:
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
def test_a_short_limit_is_waited_for_and_shown(pulling: Pulling, way: str) -> None:
    files = model(50_000, seed=41)
    pulling.hub.add(f"acme/limit-{way}", files)
    after = email.utils.formatdate(time.time() + 1, usegmt=True) if way == "date" else "1"
    where = f"/api/models/acme/limit-{way}*" if way == "listing" else f"*acme/limit-{way}/*{WEIGHTS}"
    pulling.hub.fault(where, faults.limited(after))
    events = pulling.pull(f"acme/limit-{way}")
    assert [event for event in events if "rate limited" in event["status"]] or way == "date"
    assert pulling.stored(files) == kept(files)


@pytest.mark.parametrize("after", ["100000", "Fri, 31 Dec 2100 23:59:59 GMT"])
def test_a_long_limit_is_not_waited_for(pulling: Pulling, unharmed: Unharmed, after: str) -> None:
    name = f"acme/long-{len(after)}"
    pulling.hub.add(name, model(50_000, seed=42))
    pulling.hub.fault(f"*{name}/*{WEIGHTS}", faults.limited(after, times=None))
    began = time.monotonic()
    assert "limits the rate" in pulling.refused(name)
    assert time.monotonic() - began < 10
    unharmed.check()


def test_signed_addresses_that_expired_are_asked_for_again(pulling: Pulling) -> None:
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


# answers that never end


@pytest.mark.parametrize(
    "body",
    [b"[" * 200_000, b"{}", b"null", b"<html>", b'{"sha": 5}', b"\xff\xfe"],
    ids=["deep", "empty", "null", "html", "types", "bytes"],
)
def test_a_listing_that_is_none_is_one_sentence(
    pulling: Pulling, unharmed: Unharmed, body: bytes, request: pytest.FixtureRequest
) -> None:
    name = f"acme/nolist-{request.node.callspec.id}"
    pulling.hub.add(name, model(1000))
    pulling.hub.fault(f"/api/models/{name}*", Fault(None, body=body, status=200))
    text = pulling.refused(name)
    assert "Traceback" not in text and "/work" not in text
    unharmed.check()


def test_a_listing_without_end_is_cut_off(pulling: Pulling, unharmed: Unharmed) -> None:
    pulling.hub.add("acme/endless", model(1000))
    pulling.hub.fault("/api/models/acme/endless*", Fault(None, body=pieces(b'{"a":1},' * 100_000, 2000)))
    pulling.refused("acme/endless")
    unharmed.check()


def test_pages_without_end_are_cut_off(pulling: Pulling, unharmed: Unharmed) -> None:
    pulling.hub.add("acme/loop", model(1000))
    pulling.hub.loop_links()
    pulling.refused("acme/loop")
    unharmed.check()


def test_a_hub_that_is_not_there_is_one_sentence(pulling: Pulling, unharmed: Unharmed) -> None:
    pulling.hub.add("acme/gone", model(1000))
    pulling.hub.fault("/api/models/acme/gone*", faults.failing(503, times=None))
    assert "503" in pulling.refused("acme/gone")
    unharmed.check()
