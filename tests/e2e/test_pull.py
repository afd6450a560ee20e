"""Pulls from a hub, end to end: the real daemon and the real command, with nothing going wrong."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from e2e.conftest import StartPulling
from e2e.pulling_daemon import PullingDaemon, kept, model, size
from fakes.hub.faults import Gate, paused
from fakes.hub.server import Hub
from huggingface_hub import snapshot_download
from support.live_daemon import together


def test_the_command_pulls_a_model_and_says_so(pulling: PullingDaemon) -> None:
    files = model(300_000)
    repository = pulling.hub.add("acme/plain", files)
    done = pulling.command("pull", "acme/plain")
    assert done.returncode == 0, done
    assert done.stdout.startswith("pulled acme/plain (")
    assert "model.safetensors" in done.stderr
    assert pulling.stored(files) == kept(files)
    shown = json.loads(pulling.command("show", "acme/plain", "--json").stdout)
    assert shown["revision"] == repository.head.id and "acme/plain" in shown["source"]


def test_events_name_each_file_and_add_up(pulling: PullingDaemon) -> None:
    files = model(200_000, 300_000, seed=3)
    pulling.hub.add("acme/events", files)
    events = pulling.pull("acme/events")
    assert {event["path"] for event in events if event.get("path")} == kept(files)
    last = [event for event in events if event.get("overall_total")][-1]
    assert last["overall_completed"] == last["overall_total"] == size(files)
    for path in kept(files):
        steps = [
            event.get("completed", 0)
            for event in events
            if event.get("path") == path and event["status"] == "downloading"
        ]
        assert steps == sorted(steps), path


def test_a_file_comes_with_its_name_in_the_repository_and_no_more_than_serving_needs(pulling: PullingDaemon) -> None:
    more = {
        "modeling_evil.py": b"raise SystemExit",
        "pytorch_model.bin": b"pickle",
        "onnx/model.onnx": b"onnx",
        "1_Pooling/config.json": b"{}",
        "images/logo.png": b"png",
    }
    files = model(100_000, seed=4)
    repository = pulling.hub.add("acme/more", files | more)
    pulling.pull("acme/more")
    assert pulling.stored(files | more) == kept(files) | {"1_Pooling/config.json"}
    assert {request.path.rpartition("/")[2] for request in pulling.bodies(repository)}.isdisjoint(
        {"modeling_evil.py", "pytorch_model.bin", "model.onnx", "logo.png"}
    )


def test_a_repository_that_is_kept_in_xet_comes_the_plain_way(pulling: PullingDaemon) -> None:
    files = model(150_000, seed=20)
    pulling.hub.add("acme/xet", files, xet=True)
    pulling.pull("acme/xet")
    assert pulling.stored(files) == kept(files)
    assert not pulling.hub.journal.entries("*xet-read-token*")


def test_a_second_pull_fetches_no_byte(pulling: PullingDaemon) -> None:
    repository = pulling.hub.add("acme/twice", model(200_000, seed=5))
    pulling.pull("acme/twice")
    before = pulling.sent(repository)
    events = pulling.pull("acme/twice")
    assert pulling.sent(repository) == before
    assert {event.get("fetched", 0) for event in events} == {0}


def test_files_that_two_models_share_are_fetched_once(pulling: PullingDaemon) -> None:
    first, second = model(150_000, 250_000, seed=6), model(150_000, 260_000, seed=6)
    second["generation_config.json"] = b'{"temperature": 0.1}'
    pulling.hub.add("acme/one", first)
    other = pulling.hub.add("acme/two", second)
    pulling.pull("acme/one")
    events = pulling.pull("acme/two")
    new = {path for path in kept(second) if second[path] != first.get(path)}
    difference = sum(len(second[path]) for path in new)
    assert events[-2].get("fetched", difference) == difference
    # Small files have no sha256 in the listing: whether one is here is known by git's name for it.
    assert difference <= pulling.sent(other) <= difference + sum(len(c) for p, c in second.items() if len(c) < 10_000)
    assert pulling.stored(second) == kept(second)


def test_a_revision_is_pinned_and_the_branch_moves_on(pulling: PullingDaemon) -> None:
    old, new = model(100_000, seed=7), model(100_000, seed=8)
    repository = pulling.hub.add("acme/moves", old)
    repository.tag("v1")
    repository.update({"model.safetensors": new["model.safetensors"]})
    before = repository.head.id
    pulling.pull("acme/moves@v1")
    assert "model.safetensors" in pulling.stored(old)
    assert "model.safetensors" not in pulling.stored(new)
    pulling.pull("acme/moves")
    assert pulling.daemon.control("GET", "/models/acme/moves")["revision"] == before
    fetched = {request.path.rpartition("/")[2] for request in pulling.bodies(repository) if before in request.path}
    assert "model.safetensors" in fetched and "tokenizer.json" not in fetched
    assert pulling.stored(new) == kept(new)


def test_a_commit_can_be_asked_for(pulling: PullingDaemon) -> None:
    repository = pulling.hub.add("acme/commits", model(50_000, seed=9))
    first = repository.head.id
    repository.update({"README.md": b"# Another"})
    done = pulling.command("pull", "acme/commits", "--revision", first)
    assert done.returncode == 0, done
    assert pulling.daemon.control("GET", "/models/acme/commits")["revision"] == first


def test_a_token_opens_a_gated_model_and_stays_with_the_hub(pulling: PullingDaemon) -> None:
    """The command's own HF_TOKEN is used; the host of the large files never sees it."""
    files = model(120_000, seed=10)
    repository = pulling.hub.add("acme/gated", files, gated=True, allowed=["hf_accepted"])
    done = pulling.command("pull", "acme/gated", HF_TOKEN="hf_accepted")
    assert done.returncode == 0, done
    assert pulling.stored(files) == kept(files)
    asked = pulling.hub.journal.entries(f"*{repository.id}*")
    assert {request.had_token for request in asked if request.host == "cdn"} == {False}
    assert {request.token for request in asked if request.host == "hub"} == {"hf_accepted"}
    log = "\n".join(path.read_text() for path in (pulling.daemon.home / "logs").iterdir())
    assert "hf_accepted" not in log


def test_two_pulls_at_once_share_the_work(pulling: PullingDaemon) -> None:
    files = model(500_000, seed=11)
    repository = pulling.hub.add("acme/both", files)
    gate = Gate()
    pulling.hub.fault("*acme/both/*model.safetensors", paused(100_000, gate))

    def second() -> list[dict[str, object]]:
        gate.wait()
        with pulling.begin("acme/both") as stream:
            stream.next()
            gate.open()
            return stream.rest().records

    first, joined = together([lambda: pulling.pull("acme/both"), second])
    assert first[-1]["status"] == joined[-1]["status"] == "success"
    assert first[-1]["name"] == joined[-1]["name"]
    assert pulling.sent(repository, "model.safetensors") == len(files["model.safetensors"])


def test_ollamas_pull_tells_it_in_ollamas_words(pulling: PullingDaemon) -> None:
    files = model(90_000, seed=12)
    pulling.hub.add("acme/ollama", files)
    with pulling.daemon.stream("/api/pull", model="acme/ollama") as stream:
        records = stream.rest().records
    assert records[-1]["status"] == "success"
    digest = f"sha256:{hashlib.sha256(files['model.safetensors']).hexdigest()}"
    assert any(r.get("digest") == digest and r.get("total") == len(files["model.safetensors"]) for r in records)
    answer = pulling.daemon.post("/api/pull", model="acme/ollama", stream=False)
    assert (answer.status, answer.json) == (200, {"status": "success"})


def test_what_the_hubs_own_tools_have_fetched_is_taken_over(
    start_pulling: StartPulling, hub: Hub, tmp_path: Path
) -> None:
    """Not one byte is fetched, every one is checked, and the user's cache is as it was."""
    files = model(140_000, 150_000, seed=13)
    repository = hub.add("acme/cached", files)
    cache = tmp_path / "hf" / "hub"
    snapshot_download("acme/cached", endpoint=hub.url, token="hf_reader", cache_dir=cache)
    before = _fingerprint(cache)
    pulling = start_pulling()
    fetched = pulling.sent(repository)
    pulling.pull("acme/cached")
    assert pulling.sent(repository) == fetched
    assert pulling.stored(files) == kept(files)
    assert _fingerprint(cache) == before
    assert pulling.complete()


def test_a_damaged_cache_is_not_believed(start_pulling: StartPulling, hub: Hub, tmp_path: Path) -> None:
    files = model(140_000, seed=14)
    repository = hub.add("acme/rotten", files)
    cache = tmp_path / "hf" / "hub"
    folder = Path(snapshot_download("acme/rotten", endpoint=hub.url, token="hf_reader", cache_dir=cache))
    weights = (folder / "model.safetensors").resolve()
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    pulling = start_pulling()
    pulling.pull("acme/rotten")
    assert pulling.stored(files) == kept(files)
    assert pulling.sent(repository, "model.safetensors") == 2 * len(files["model.safetensors"])


def test_offline_the_cache_is_all_there_is(start_pulling: StartPulling, hub: Hub, tmp_path: Path) -> None:
    files = model(60_000, seed=15)
    hub.add("acme/offline", files)
    snapshot_download("acme/offline", endpoint=hub.url, token="hf_reader", cache_dir=tmp_path / "hf" / "hub")
    pulling = start_pulling(environ={"HF_HUB_OFFLINE": "1"})
    hub.journal.clear()
    pulling.pull("acme/offline")
    assert pulling.stored(files) == kept(files)
    assert "HF_HUB_OFFLINE" in pulling.refused("acme/plain")
    assert not hub.requests


def test_a_damaged_file_is_found_and_only_that_is_fetched_again(pulling: PullingDaemon) -> None:
    files = model(130_000, 170_000, seed=16)
    repository = pulling.hub.add("acme/damaged", files)
    pulling.pull("acme/damaged")
    assert pulling.complete()
    victim = "model-00002-of-00002.safetensors"
    blob = pulling.store / "blobs" / f"sha256-{hashlib.sha256(files[victim]).hexdigest()}"
    blob.chmod(0o600)
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(bytes(content))
    found = pulling.command("verify", "acme/damaged")
    assert found.returncode == 1 and victim in found.stdout + found.stderr, found
    before = pulling.sent(repository)
    pulling.pull("acme/damaged")
    assert pulling.sent(repository) - before == len(files[victim])
    assert pulling.stored(files) == kept(files)
    assert pulling.command("verify", "acme/damaged").returncode == 0


def test_a_lost_file_is_fetched_again(pulling: PullingDaemon) -> None:
    files = model(110_000, seed=17)
    repository = pulling.hub.add("acme/lost", files)
    pulling.pull("acme/lost")
    (pulling.store / "blobs" / f"sha256-{hashlib.sha256(files['tokenizer_config.json']).hexdigest()}").unlink()
    before = pulling.sent(repository, "model.safetensors")
    pulling.pull("acme/lost")
    assert pulling.stored(files) == kept(files)
    assert pulling.sent(repository, "model.safetensors") == before


@pytest.mark.parametrize("spelling", ["ZENITH/Spelt", "zenith/spelt"])
def test_a_repository_keeps_the_hubs_own_spelling(pulling: PullingDaemon, spelling: str) -> None:
    pulling.hub.add("Zenith/Spelt", model(40_000, seed=18))
    pulling.pull(spelling)
    assert "Zenith/Spelt" in pulling.names()


def test_a_renamed_repository_is_followed(pulling: PullingDaemon) -> None:
    pulling.hub.add("acme/before", model(40_000, seed=19))
    pulling.hub.rename("acme/before", "acme/after")
    pulling.pull("acme/before")
    assert {"acme/after", "acme/before"} & pulling.names()


def _fingerprint(folder: Path) -> dict[str, tuple[str, float, int]]:
    """What every entry below a folder is: link target or digest, time, inode."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        what = str(path.readlink()) if path.is_symlink() else ""
        if path.is_file() and not path.is_symlink():
            what = hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path)] = (what, status.st_mtime, status.st_ino)
    return found
