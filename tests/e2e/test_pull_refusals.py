"""What is refused before a byte of weights is fetched: what is not there, is not for us, or is not what it says."""

from __future__ import annotations

from typing import Any

import pytest
from e2e.pulling_daemon import PullingDaemon, StoreSnapshot, model
from fakes.hub import faults
from fakes.hub.body import pieces
from fakes.hub.faults import Fault

WEIGHTS = "model.safetensors"


def test_what_the_hub_does_not_have_is_said_so(pulling: PullingDaemon, snapshot: StoreSnapshot) -> None:
    done = pulling.command("pull", "acme/nowhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert "acme/nowhere" in done.stderr and "Traceback" not in done.stderr and len(done.stderr.splitlines()) <= 3
    snapshot.check()


def test_a_gated_model_says_where_to_accept_the_terms_and_how_to_set_the_token(
    pulling: PullingDaemon, snapshot: StoreSnapshot
) -> None:
    repository = pulling.hub.add("acme/closed", model(), gated=True, allowed=["hf_in"])
    for environ in ({}, {"HF_TOKEN": "hf_reader"}):
        done = pulling.command("pull", "acme/closed", **environ)
        assert done.returncode == 1
        assert f"{pulling.hub.url}/acme/closed" in done.stderr and "HF_TOKEN" in done.stderr
    assert not pulling.bodies(repository, WEIGHTS)
    snapshot.check()


def test_a_private_model_and_a_false_token_are_told_apart(pulling: PullingDaemon, snapshot: StoreSnapshot) -> None:
    pulling.hub.add("acme/private", model(), private=True, allowed=["hf_friend"])
    assert "private" in pulling.refused("acme/private")
    assert "does not accept the token" in pulling.refused("acme/private", token="hf_wrong")
    snapshot.check()


def test_a_revision_that_is_not_there_is_named(pulling: PullingDaemon, snapshot: StoreSnapshot) -> None:
    pulling.hub.add("acme/revised", model())
    assert "v9" in pulling.refused("acme/revised", revision="v9")
    snapshot.check()


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
    pulling: PullingDaemon, snapshot: StoreSnapshot, files: dict[str, bytes], words: str, request: pytest.FixtureRequest
) -> None:
    name = f"acme/unserved-{request.node.callspec.id.replace(' ', '-')}"
    repository = pulling.hub.add(name, files)
    assert words in pulling.refused(name)
    assert not [r for r in pulling.bodies(repository) if r.path.endswith((".safetensors", ".bin", ".gguf"))]
    snapshot.check()


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
def test_names_that_lead_elsewhere_are_refused_or_left_behind(
    pulling: PullingDaemon, snapshot: StoreSnapshot, path: str
) -> None:
    """Nothing outside of the store is written, and no file of such a name gets into a model."""
    entry = {"type": "file", "path": path, "oid": "0" * 40, "size": 12}
    name = f"acme/evil{EVIL.index(path)}"
    pulling.hub.add(name, model(20_000), extra_tree=[entry])
    events = pulling.events(name)
    assert "error" in events[-1] or events[-1].get("status") == "success"
    if "error" not in events[-1]:
        shown = pulling.daemon.control("GET", f"/models/{name}")
        assert path not in str(shown)
        pulling.daemon.control("DELETE", f"/models/{name}")
    snapshot.check()


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
    pulling: PullingDaemon, snapshot: StoreSnapshot, lies: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    name = f"acme/lies-{request.node.callspec.id.replace(' ', '-')}"
    pulling.hub.add(name, model(30_000), lies={WEIGHTS: lies})
    pulling.refused(name)
    assert name not in pulling.names()
    snapshot.check()


# answers that never end


@pytest.mark.parametrize(
    "body",
    [b"[" * 200_000, b"{}", b"null", b"<html>", b'{"sha": 5}', b"\xff\xfe"],
    ids=["deep", "empty", "null", "html", "types", "bytes"],
)
def test_a_listing_that_is_none_is_one_sentence(
    pulling: PullingDaemon, snapshot: StoreSnapshot, body: bytes, request: pytest.FixtureRequest
) -> None:
    name = f"acme/nolist-{request.node.callspec.id}"
    pulling.hub.add(name, model(1000))
    pulling.hub.fault(f"/api/models/{name}*", Fault(None, body=body, status=200))
    text = pulling.refused(name)
    assert "Traceback" not in text and "/work" not in text
    snapshot.check()


def test_a_listing_without_end_is_cut_off(pulling: PullingDaemon, snapshot: StoreSnapshot) -> None:
    pulling.hub.add("acme/endless", model(1000))
    pulling.hub.fault("/api/models/acme/endless*", Fault(None, body=pieces(b'{"a":1},' * 100_000, 2000)))
    pulling.refused("acme/endless")
    snapshot.check()


def test_pages_without_end_are_cut_off(pulling: PullingDaemon, snapshot: StoreSnapshot) -> None:
    pulling.hub.add("acme/loop", model(1000))
    pulling.hub.loop_links()
    pulling.refused("acme/loop")
    snapshot.check()


def test_a_hub_that_is_not_there_is_one_sentence(pulling: PullingDaemon, snapshot: StoreSnapshot) -> None:
    pulling.hub.add("acme/gone", model(1000))
    pulling.hub.fault("/api/models/acme/gone*", faults.failing(503, times=None))
    assert "503" in pulling.refused("acme/gone")
    snapshot.check()
