"""The test hub is faithful: the real huggingface_hub lists and downloads from it, and each fault is what it says."""

from __future__ import annotations

import hashlib
import http.client
import json
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.hub import faults
from fakes.hub.body import pieces
from fakes.hub.contents import Content
from fakes.hub.faults import Fault, Gate
from fakes.hub.server import CERTIFICATE, Hub
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile, RepoFolder
from support.waiting import GUARD

CONFIG = b'{"model_type": "llama"}'
WEIGHTS = bytes(range(256)) * 40
POOLING = "1_Pooling/config.json"
FILES: dict[str, bytes] = {"config.json": CONFIG, "model.safetensors": WEIGHTS, POOLING: b"{}", "empty.txt": b""}


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as running:
        running.add("owner/name", FILES)
        yield running


@pytest.fixture
def api(hub: Hub) -> HfApi:
    return HfApi(endpoint=hub.url, token=False)


def get(
    hub: Hub, path: str = "/owner/name/resolve/main/model.safetensors", *, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """One file's answer, redirects followed by hand; the body as far as it came."""
    url = hub.url + path
    while True:
        parts = urllib.parse.urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=GUARD)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, f"{parts.path}?{parts.query}", headers=named)
            answer = connection.getresponse()
            try:
                body = answer.read()
            except http.client.IncompleteRead as error:
                body = error.partial
            if answer.status not in (302, 307):
                return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body
            url = urllib.parse.urljoin(url, answer.headers["Location"])
        finally:
            connection.close()


# what huggingface_hub sees


def test_the_library_lists_files_with_sizes_and_digests(hub: Hub, api: HfApi) -> None:
    info = api.model_info("owner/name", files_metadata=True)
    found = {sibling.rfilename: sibling for sibling in info.siblings or []}
    assert set(found) == set(FILES)
    weights = found["model.safetensors"].lfs
    assert (
        weights is not None and weights.sha256 == hashlib.sha256(WEIGHTS).hexdigest() and weights.size == len(WEIGHTS)
    )
    assert found["config.json"].size == len(CONFIG)
    assert found["config.json"].blob_id == hashlib.sha1(b"blob %d\0" % len(CONFIG) + CONFIG).hexdigest()
    assert info.sha == hub.repository("owner/name").head.id and len(info.sha) == 40


def test_the_library_walks_the_tree_page_by_page() -> None:
    names = [f"file{number:02}.txt" for number in range(25)]
    with Hub(page_size=10) as hub:
        hub.add("owner/many", {name: name for name in names} | {"folder/inner.txt": b"x"})
        listed = list(HfApi(endpoint=hub.url, token=False).list_repo_tree("owner/many", recursive=True))
    assert sorted(entry.path for entry in listed if isinstance(entry, RepoFile)) == sorted([*names, "folder/inner.txt"])
    assert [entry.path for entry in listed if isinstance(entry, RepoFolder)] == ["folder"]
    assert len(hub.journal.entries("/api/models/owner/many/tree/*")) == 3


def test_a_snapshot_has_every_byte(hub: Hub, tmp_path: Path) -> None:
    folder = Path(snapshot_download("owner/name", endpoint=hub.url, token="hf_reader", cache_dir=tmp_path))
    found = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.relative_to(folder).as_posix(): path.read_bytes() for path in found} == FILES
    assert folder.name == hub.repository("owner/name").head.id


def test_the_library_takes_no_token_to_the_cdn(hub: Hub, tmp_path: Path) -> None:
    snapshot_download("owner/name", endpoint=hub.url, token="hf_reader", cache_dir=tmp_path)
    assert [request.had_token for request in hub.cdn_requests] == [False]
    assert all(request.had_token for request in hub.journal.entries(host="hub"))


def test_a_commit_stays_when_the_branch_moves_on(hub: Hub, api: HfApi) -> None:
    repository = hub.repository("owner/name")
    old = repository.head.id
    repository.tag("v1")
    new = repository.update({"config.json": b'{"model_type": "qwen3"}', "empty.txt": None})
    assert api.model_info("owner/name").sha == new != old
    assert api.model_info("owner/name", revision="v1").sha == api.model_info("owner/name", revision=old).sha == old
    assert get(hub, f"/owner/name/resolve/{old}/config.json")[2] == CONFIG
    assert get(hub, "/owner/name/resolve/main/config.json")[2] != CONFIG


def test_branches_with_a_slash_are_found(hub: Hub, api: HfApi) -> None:
    other = hub.repository("owner/name").commit({"config.json": b"{}"}, branch="refs/pr/1")
    assert api.model_info("owner/name", revision="refs/pr/1").sha == other


def test_what_is_not_there_is_refused_as_the_library_knows_it(hub: Hub, api: HfApi) -> None:
    with pytest.raises(RepositoryNotFoundError) as anonymous:
        api.model_info("owner/other")
    assert anonymous.value.response.status_code == 401
    with pytest.raises(RepositoryNotFoundError) as known:
        HfApi(endpoint=hub.url, token="hf_reader").model_info("owner/other")
    assert known.value.response.status_code == 404
    with pytest.raises(RevisionNotFoundError):
        api.model_info("owner/name", revision="nowhere")
    with pytest.raises(EntryNotFoundError):
        api.get_hf_file_metadata(url=f"{hub.url}/owner/name/resolve/main/nothing.json")


def test_a_token_that_nobody_has_is_refused(hub: Hub) -> None:
    with pytest.raises(HfHubHTTPError, match="401"):
        HfApi(endpoint=hub.url, token="hf_false").model_info("owner/name")


def test_gated_and_private_repositories_open_for_their_tokens(hub: Hub, tmp_path: Path) -> None:
    hub.add("owner/gated", FILES, gated=True, allowed=["hf_accepted"])
    hub.add("owner/private", FILES, private=True, allowed=["hf_friend"])
    assert HfApi(endpoint=hub.url, token=False).model_info("owner/gated").gated == "auto"
    for token, status in ((False, 401), ("hf_reader", 403)):
        with pytest.raises(GatedRepoError) as refused:
            HfApi(endpoint=hub.url).get_hf_file_metadata(
                url=f"{hub.url}/owner/gated/resolve/main/model.safetensors", token=token
            )
        assert refused.value.response.status_code == status
        with pytest.raises(RepositoryNotFoundError):
            HfApi(endpoint=hub.url, token=token).model_info("owner/private")
    for id, token in (("owner/gated", "hf_accepted"), ("owner/private", "hf_friend")):
        folder = Path(snapshot_download(id, endpoint=hub.url, token=token, cache_dir=tmp_path))
        assert (folder / "model.safetensors").read_bytes() == WEIGHTS


def test_a_renamed_repository_is_found_under_its_old_name(hub: Hub) -> None:
    hub.rename("owner/name", "company/name")
    # The library follows redirects of listings only where its session is told to; a browser's way will do here.
    status, _, body = get(hub, "/api/models/owner/name?blobs=true")
    assert (status, json.loads(body)["id"]) == (200, "company/name")
    assert get(hub, "/owner/name/resolve/main/model.safetensors")[2] == WEIGHTS


def test_entries_of_the_listing_can_lie(hub: Hub, api: HfApi) -> None:
    evil = [{"type": "file", "path": path, "oid": "0" * 40, "size": -1} for path in ("../x", "a\0b")]
    hub.add("owner/evil", FILES, extra_tree=evil, lies={"model.safetensors": {"size": 7, "lfs": {"size": 7}}})
    siblings = api.model_info("owner/evil", files_metadata=True).siblings or []
    assert {"../x", "a\0b"} <= {sibling.rfilename for sibling in siblings}
    assert [sibling.size for sibling in siblings if sibling.rfilename == "model.safetensors"] == [7]


# ranges


def test_ranges_follow_the_standard(hub: Hub) -> None:
    size = len(WEIGHTS)
    status, headers, body = get(hub, Range="bytes=100-199")
    assert (status, body, headers["content-range"]) == (206, WEIGHTS[100:200], f"bytes 100-199/{size}")
    assert get(hub, Range="bytes=10000-")[2] == WEIGHTS[10000:]
    assert get(hub, Range="bytes=-5")[2] == WEIGHTS[-5:]
    assert get(hub, Range=f"bytes=5-{size * 2}")[1]["content-range"] == f"bytes 5-{size - 1}/{size}"
    status, headers, body = get(hub, Range=f"bytes={size}-")
    assert (status, headers["content-range"], body) == (416, f"bytes */{size}", b"")
    etag = get(hub)[1]["etag"]
    assert get(hub, Range="bytes=1-2", If_Range=etag)[0] == 206
    assert get(hub, Range="bytes=1-2", If_Range='"another"')[0] == 200


def test_a_head_request_tells_all_and_sends_nothing(hub: Hub) -> None:
    status, headers, body = get(hub, method="HEAD")
    assert (status, headers["content-length"], body) == (200, str(len(WEIGHTS)), b"")
    assert hub.bytes_sent == 0


def test_the_journal_knows_who_asked_for_what(hub: Hub) -> None:
    get(hub, Range="bytes=0-9", Authorization="Bearer hf_reader")
    first, second = hub.requests
    assert (first.host, first.status, first.had_token, first.kind) == ("hub", 302, True, "redirect")
    assert (second.host, second.status, second.range, second.kind) == ("cdn", 206, "bytes=0-9", "content")
    assert second.headers["host"].startswith("localhost:") and first.headers["host"].startswith("127.0.0.1:")
    hub.journal.wait_for_bytes(10)
    assert hub.bytes_sent == second.sent == 10


def test_a_secure_hub_speaks_tls_on_both_hosts(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(WEIGHTS)
    with Hub(secure=True) as hub:
        hub.add("owner/name", {"model.safetensors": tmp_path / "weights", "config.json": CONFIG})
        trust = ssl.create_default_context(cafile=str(CERTIFICATE))
        for url, size in ((hub.url, len(CONFIG)), (hub.url, len(WEIGHTS))):
            path = "config.json" if size == len(CONFIG) else "model.safetensors"
            with urllib.request.urlopen(f"{url}/owner/name/resolve/main/{path}", context=trust) as answer:
                assert len(answer.read()) == size
        assert {request.host for request in hub.requests} == {"hub", "cdn"}
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(f"{hub.url}/api/models/owner/name")


# faults


@pytest.mark.parametrize("on_disk", [False, True])
def test_bodies_can_be_spoilt(hub: Hub, tmp_path: Path, on_disk: bool) -> None:
    (tmp_path / "weights").write_bytes(WEIGHTS)
    hub.add("owner/name", {"w.safetensors": tmp_path / "weights" if on_disk else WEIGHTS, "config.json": CONFIG})
    path = "/owner/name/resolve/main/w.safetensors"

    def spoilt(fault: Fault, **headers: str) -> tuple[int, dict[str, str], bytes]:
        hub.fault("*w.safetensors", fault)
        try:
            return get(hub, path, **headers)
        finally:
            hub.heal()

    assert get(hub, path)[2] == WEIGHTS
    assert spoilt(faults.truncated(1000))[2] == WEIGHTS[:1000]
    with pytest.raises(ConnectionResetError):
        spoilt(faults.reset(1000))
    flipped = spoilt(faults.corrupt(300), Range="bytes=100-399")[2]
    assert [at for at in range(300) if flipped[at] != WEIGHTS[100 + at]] == [200] and len(flipped) == 300
    assert spoilt(faults.shifted(3), Range="bytes=100-199")[2] == WEIGHTS[103:203]
    assert spoilt(faults.shifted(3))[2] == WEIGHTS[3:] + WEIGHTS[:3]
    assert spoilt(faults.without_ranges(), Range="bytes=100-199")[::2] == (200, WEIGHTS)
    assert spoilt(faults.wrong_range("bytes 0-9/10"), Range="bytes=5-9")[1]["content-range"] == "bytes 0-9/10"
    assert spoilt(Fault(on="content", gzip=True))[1]["content-encoding"] == "gzip"
    assert "content-length" not in spoilt(Fault(on="content", no_length=True))[1]
    assert spoilt(Fault(on="content", no_length=True))[2] == WEIGHTS
    assert spoilt(Fault(on="content", chunked=True))[2] == WEIGHTS
    assert spoilt(Fault(on="content", extra=7))[2] == WEIGHTS + bytes(7)
    assert b"airport" in spoilt(faults.html())[2]
    assert spoilt(Fault(on="content", etag='"changed"'))[1]["etag"] == '"changed"'
    assert spoilt(Fault(on="content", body=pieces(b"[", 1000)))[2] == b"[" * 1000
    assert get(hub, path)[2] == WEIGHTS


def test_a_fault_is_used_up_and_may_spare_the_first(hub: Hub) -> None:
    hub.fault("*/model.safetensors", Fault(2, skip=1, on="content", status=503, body=b""))
    assert [get(hub)[0] for _ in range(5)] == [200, 503, 503, 200, 200]
    hub.fault("*/config.json", faults.failing(403, on="any", X_Error_Code="GatedRepo"))
    status, headers, _ = get(hub, "/owner/name/resolve/main/config.json")
    assert (status, headers["x-error-code"]) == (403, "GatedRepo")


def test_limits_and_redirects_are_said_as_told(hub: Hub, api: HfApi) -> None:
    hub.fault("/api/models/*", faults.limited("100000"))
    with pytest.raises(HfHubHTTPError, match="429"):
        api.model_info("owner/name")
    hub.fault("*/model.safetensors", faults.moved("file:///etc/passwd", times=1))
    connection = http.client.HTTPConnection(hub.url.removeprefix("http://"), timeout=GUARD)
    connection.request("GET", "/owner/name/resolve/main/model.safetensors")
    assert connection.getresponse().headers["Location"] == "file:///etc/passwd"
    connection.close()


def test_an_endless_body_ends_with_its_reader(hub: Hub) -> None:
    hub.fault("*/config.json", Fault(on="content", endless=True))
    connection = http.client.HTTPConnection(hub.url.removeprefix("http://"), timeout=GUARD)
    commit = hub.repository("owner/name").head.id
    connection.request("GET", f"/api/resolve-cache/models/owner/name/{commit}/config.json")
    answer = connection.getresponse()
    assert len(answer.read(20 << 20)) == 20 << 20
    answer.close()
    connection.close()


def test_an_answer_waits_at_its_gate(hub: Hub) -> None:
    gate = Gate()
    hub.fault("*/model.safetensors", faults.paused(100, gate))
    bodies: list[bytes] = []
    reader = threading.Thread(target=lambda: bodies.append(get(hub)[2]))
    reader.start()
    gate.wait()
    assert hub.bytes_sent == 100 and not bodies
    gate.open()
    reader.join(GUARD)
    assert bodies == [WEIGHTS]


def test_a_stall_ends_with_the_hub(hub: Hub) -> None:
    stalled = hub.fault("*/model.safetensors", faults.stall(100))
    bodies: list[bytes] = []
    reader = threading.Thread(target=lambda: bodies.append(get(hub)[2]))
    reader.start()
    assert stalled.gate is not None
    stalled.gate.wait()
    hub._closing.set()
    reader.join(GUARD)
    assert bodies == [WEIGHTS[:100]]


def test_a_drip_keeps_its_pace(hub: Hub) -> None:
    hub.fault("*/model.safetensors", faults.drip(len(WEIGHTS) * 10))
    began = time.monotonic()
    assert get(hub)[2] == WEIGHTS
    assert time.monotonic() - began >= 0.05


def test_addresses_of_the_cdn_expire(hub: Hub) -> None:
    connection = http.client.HTTPConnection(hub.url.removeprefix("http://"), timeout=GUARD)
    connection.request("GET", "/owner/name/resolve/main/model.safetensors")
    address = connection.getresponse().headers["Location"].removeprefix(hub.cdn_url)
    connection.close()
    cdn = http.client.HTTPConnection(hub.cdn_url.removeprefix("http://"), timeout=GUARD)
    for status in (200, 403):
        cdn.request("GET", address)
        answer = cdn.getresponse()
        answer.read()
        assert answer.status == status
        hub.expire()
    cdn.close()


def test_links_can_go_on_for_ever(hub: Hub) -> None:
    hub.loop_links()
    path = "/api/models/owner/name/tree/main?recursive=true&cursor=5000"
    assert 'rel="next"' in get(hub, path)[1]["link"] and json.loads(get(hub, path)[2])


# its speed


def test_it_serves_a_folder_from_a_process_of_its_own(tmp_path: Path) -> None:
    place = tmp_path / "owner" / "big"
    place.mkdir(parents=True)
    with open(place / "notes.txt", "wb") as file:
        file.truncate(64 << 20)
    command = [sys.executable, str(Path(__file__).with_name("main.py")), "--folder", str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        url = process.stdout.readline().strip()
        answer = HfApi(endpoint=url, token=False).model_info("owner/big", files_metadata=True)
        assert [sibling.size for sibling in answer.siblings or []] == [64 << 20]
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline().strip() == "0"
        process.stdin.close()
        assert process.wait(GUARD) == 0


def test_it_serves_5_gb_from_disk_by_stretches(tmp_path: Path) -> None:
    """A digest that is known is not computed again, and what is asked for is all that is read."""
    with open(tmp_path / "big", "wb") as file:
        file.truncate(5_000_000_000)
    assert Content(tmp_path / "big", sha256="0" * 64).sha256 == "0" * 64
    with Hub() as hub:
        hub.add("owner/big", {"model.safetensors": Content(tmp_path / "big", sha256="0" * 64)})
        _, headers, body = get(hub, "/owner/big/resolve/main/model.safetensors", Range="bytes=4999999990-")
        assert (headers["content-range"], body) == ("bytes 4999999990-4999999999/5000000000", bytes(10))
