"""Listing a hub repository: pinned, complete, within limits; every refusal has a sentence; unsafe names end it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.hub import faults
from fakes.hub.server import Hub
from support.ports import free_port

from mlx_serve.store.errors import (
    AccessDenied,
    HubChanged,
    HubError,
    HubUnreachable,
    RateLimited,
    RepositoryNotFound,
    SourceError,
)
from mlx_serve.store.hub import hub_library, listing
from mlx_serve.store.hub.hub_endpoint import HubEndpoint
from mlx_serve.store.hub.listing import Repository, file_url, list_repository
from mlx_serve.store.progress import Progress

FILES = {"config.json": b'{"model_type": "llama"}', "model.safetensors": b"x" * 4000, "onnx/model.onnx": b"o" * 30}
HEX = "0" * 40


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_library, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(listing, "_REPORT_SECONDS", 0.02)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as running:
        running.add("Owner/Name", FILES)
        yield running


def listed(hub: Hub, name: str = "Owner/Name", revision: str | None = None, token: str | None = None) -> Repository:
    return list_repository(HubEndpoint(hub.url, token), name, revision)


def refused(hub: Hub, kind: type[Exception], words: str, **options: Any) -> str:
    with pytest.raises(kind, match=words) as caught:
        listed(hub, **options)
    assert type(caught.value) is kind
    return f"{caught.value}; {getattr(caught.value, 'hint', '')}"


def test_files_have_sizes_and_digests_at_one_commit(hub: Hub) -> None:
    """Large files have the sha256, small ones git's id, and what is not needed is listed as well."""
    head = hub.repository("Owner/Name").head
    found = listed(hub)
    assert (found.id, found.commit) == ("Owner/Name", head.id)
    assert [(file.path, file.size) for file in found.files] == [(path, len(FILES[path])) for path in sorted(FILES)]
    config, weights, _ = found.files
    assert (config.sha256, config.git_id) == (None, head.files["config.json"].content.git_id)
    assert (weights.sha256, weights.git_id) == (head.files["model.safetensors"].content.sha256, None)


def test_branches_tags_and_commits(hub: Hub) -> None:
    """A revision is what it was when it was listed; the main branch moving on changes nothing of it."""
    repository = hub.repository("Owner/Name")
    first = repository.head.id
    repository.tag("v1")
    repository.update({"README.md": b"new"})
    hub.add("Owner/Name", {"config.json": b"{}"}, branch="refs/pr/3")
    assert listed(hub, revision="v1") == listed(hub, revision=first)
    assert listed(hub).commit == repository.head.id != first
    assert len(listed(hub, revision="refs/pr/3").files) == 1


def test_names_as_the_hub_spells_them(hub: Hub) -> None:
    """Another case and a renamed repository lead to the present name, on the same host."""
    assert listed(hub, "owner/NAME").id == "Owner/Name"
    hub.rename("Owner/Name", "New/Place")
    assert listed(hub).id == "New/Place"


def test_pages_are_followed() -> None:
    """A listing of many pages is one listing; the token goes with every page."""
    with Hub(page_size=2, tokens=["hf_me"]) as hub:
        hub.add("a/b", {f"{number}.json": b"{}" for number in range(5)})
        assert len(listed(hub, "a/b", token="hf_me").files) == 5
        assert len(hub.requests) == 4 and all(request.had_token for request in hub.requests)


def test_no_token_without_a_token(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library does not look for one of its own, and asks nothing but the listing."""
    monkeypatch.setenv("HF_TOKEN", "hf_reader")
    listed(hub)
    assert [request.had_token for request in hub.requests] == [False, False]
    asked = [request.path.removeprefix("/api/models/Owner/Name/").split("/")[0] for request in hub.requests]
    assert asked == ["revision", "tree"]


def test_urls_are_pinned_and_quoted(hub: Hub) -> None:
    found = listed(hub)
    assert file_url(HubEndpoint(hub.url), found, "1_Pooling/a b#?.json") == (
        f"{hub.url}/Owner/Name/resolve/{found.commit}/1_Pooling/a%20b%23%3F.json"
    )


# what the hub refuses


def test_unknown_repository(hub: Hub) -> None:
    """The hub says 401 for what does not exist; the sentence does not say "unauthorized"."""
    said = refused(hub, RepositoryNotFound, "has no model a/nothing", name="a/nothing")
    assert "HF_TOKEN" in said and f"{hub.url}/a/nothing" in said
    refused(hub, RepositoryNotFound, "account of HF_TOKEN has no access", name="a/nothing", token="hf_reader")


def test_private_repository(hub: Hub) -> None:
    hub.add("me/mine", FILES, private=True, allowed=["hf_me"])
    refused(hub, RepositoryNotFound, "no model me/mine", name="me/mine")
    assert len(listed(hub, "me/mine", token="hf_me").files) == 3


def test_unknown_revision(hub: Hub) -> None:
    said = refused(hub, RepositoryNotFound, "Owner/Name has no revision 'v9'", revision="v9")
    assert "/Owner/Name/refs" in said


def test_bad_token(hub: Hub) -> None:
    said = refused(hub, AccessDenied, "does not accept the token", token="hf_expired")
    assert "settings/tokens" in said and "hf_expired" not in said


def test_gated(hub: Hub) -> None:
    """Says where to accept the terms, and how to say who one is."""
    gated = faults.failing(403, X_Error_Code="GatedRepo", times=None)
    hub.fault("*", gated)
    said = refused(hub, AccessDenied, "Owner/Name is gated")
    assert f"{hub.url}/Owner/Name" in said and "HF_TOKEN=hf_… mlx-serve pull Owner/Name" in said
    assert "the account that HF_TOKEN belongs to" in refused(hub, AccessDenied, "gated", token="hf_reader")


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (403, AccessDenied, "denies access to Owner/Name"),
        (451, AccessDenied, "legal"),
        (418, HubUnreachable, "status 418"),
    ],
)
def test_other_statuses(hub: Hub, status: int, kind: type[HubError], words: str) -> None:
    """Asked once: trying again would change nothing."""
    hub.fault("*", faults.failing(status, times=None))
    refused(hub, kind, words)
    assert len(hub.requests) == 1


def test_server_errors_are_tried_again(hub: Hub) -> None:
    """A burst of 5xx passes; one that does not end is reported after five tries."""
    hub.fault("*", faults.failing(503, times=3))
    hub.fault("*/tree/*", faults.failing(500, times=2))
    assert len(listed(hub).files) == 3
    hub.journal.clear()
    hub.fault("*", faults.failing(502, times=None))
    assert "the bytes fetched so far are kept" in refused(hub, HubUnreachable, "status 502")
    assert len(hub.requests) == hub_library.TRIES


def test_lost_connections_are_tried_again(hub: Hub) -> None:
    hub.fault("*/tree/*", faults.reset(20, times=2, on="api"))
    assert len(listed(hub).files) == 3


def test_rate_limit_is_waited_for(hub: Hub) -> None:
    """Waits as told, says so meanwhile, and goes on."""
    hub.fault("*", faults.limited("0.1"))
    seen: list[Progress] = []
    assert len(list_repository(HubEndpoint(hub.url), "Owner/Name", None, report=seen.append).files) == 3
    assert "rate limited, continuing in 1 s" in {progress.status for progress in seen}


@pytest.mark.parametrize("retry_after", ["100000", "Wed, 21 Oct 2099 07:28:00 GMT"])
def test_a_long_rate_limit_is_an_error(hub: Hub, retry_after: str) -> None:
    """Nobody waits for a day; the error knows when it is over."""
    hub.fault("*", faults.limited(retry_after, times=None))
    seen: list[Progress] = []
    with pytest.raises(RateLimited, match="limits the rate of requests for another") as caught:
        list_repository(HubEndpoint(hub.url), "Owner/Name", None, report=seen.append)
    assert not any("rate limited" in progress.status for progress in seen) and len(hub.requests) == 1
    assert caught.value.until is not None and caught.value.until > time.time() + 90_000


def test_rate_limit_header_of_the_hub(hub: Hub) -> None:
    """`RateLimit: "api";r=0;t=…` counts like Retry-After."""
    hub.fault("*", faults.failing(429, RateLimit='"api";r=0;t=3000', times=None))
    with pytest.raises(RateLimited, match="another 50 min"):
        listed(hub)


# a hub that misbehaves


def test_no_hub_at_all() -> None:
    with pytest.raises(HubUnreachable, match="cannot be reached") as caught:
        list_repository(HubEndpoint(f"http://127.0.0.1:{free_port()}"), "a/b", None)
    assert caught.value.hint is not None and "HF_ENDPOINT" in caught.value.hint


def test_answers_that_are_no_listing(hub: Hub) -> None:
    """A login page, a compressed answer, nonsense and the wrong JSON are each an error that says so."""
    for fault, words in (
        (faults.html(times=None, on="api"), "text/html.* instead of JSON"),
        (faults.Fault(None, on="api", gzip=True), "compressed"),
        (json_body(b"["), "something other than a file listing"),
        (json_body(b"[]"), "something other than a file listing"),
        (json_body(b'{"id": "../../etc", "sha": "' + HEX.encode() + b'"}'), "is not a valid repository name"),
        (json_body(b'{"id": "Owner/Name", "sha": "main"}'), "no commit"),
        (json_body(b'{"id": "Owner/Name", "sha": null}'), "no commit"),
        (json_body(b"[" * 200_000), "something other than a file listing"),
    ):
        hub.heal()
        hub.fault("*", fault)
        with pytest.raises(SourceError, match=words):
            listed(hub)


def json_body(body: bytes) -> faults.Fault:
    return faults.Fault(None, on="api", status=200, body=body, headers={"Content-Type": "application/json"})


def test_another_commit_than_the_one_asked_for(hub: Hub) -> None:
    first = hub.repository("Owner/Name").head.id
    hub.fault("*/revision/*", json_body(b'{"id": "Owner/Name", "sha": "' + HEX.encode() + b'"}'))
    refused(hub, HubChanged, f"instead of {first}", revision=first)


def test_an_answer_without_end(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_library, "MAX_RESPONSE", 1 << 20)
    body = (b" " * 65536 for _ in range(10_000))
    hub.fault("*", faults.Fault(1, on="api", status=200, body=body, headers={"Content-Type": "application/json"}))
    refused(hub, HubUnreachable, "longer than 1 MiB")


def test_pages_without_end(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same page for ever: stopped by the first name that comes twice, or by the number of pages."""
    hub.loop_links()
    refused(hub, SourceError, "lists 'config.json' twice")
    hub.add("a/empty", {})
    monkeypatch.setattr(hub_library, "MAX_REQUESTS", 20)
    refused(hub, HubUnreachable, "more than 20 pages", name="a/empty")


def test_too_many_files(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlx_serve.store.hub.repository.MAX_FILES", 2)
    refused(hub, SourceError, "more than 2 files")


@pytest.mark.parametrize(
    "place", ["{cdn}/x", "http://169.254.169.254/latest", "file:///etc/passwd", "https://{host}/x"]
)
def test_other_hosts_are_never_asked(hub: Hub, place: str) -> None:
    """Not by a redirect and not by the next page; so the token stays with the hub."""
    target = place.format(cdn=hub.cdn_url, host=hub.url.removeprefix("http://"))
    hub.fault("*/revision/*", faults.moved(target))
    refused(hub, HubUnreachable, "another host|protocol|cannot be reached", token="hf_reader")
    hub.heal()
    hub.fault("*/tree/*", faults.Fault(None, on="api", headers={"Link": f'<{target}>; rel="next"'}))
    refused(hub, HubUnreachable, "another host|protocol|cannot be reached", token="hf_reader")
    assert not hub.cdn_requests


def test_redirects_in_a_circle(hub: Hub) -> None:
    hub.fault("*", faults.moved(f"{hub.url}/api/models/Owner/Name/revision/main"))
    refused(hub, HubUnreachable, "more than 5 redirects")


def test_a_silent_hub_does_not_hold_the_caller(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline ends it, and so does an exception out of `report`, at once."""
    hub.fault("*", faults.silent(times=None))
    monkeypatch.setattr(listing, "SECONDS", 0.05)
    refused(hub, HubUnreachable, "took longer")
    monkeypatch.setattr(listing, "SECONDS", 3600.0)
    calls = 0

    def cancel(progress: Progress) -> None:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list_repository(HubEndpoint(hub.url), "Owner/Name", None, report=cancel)


def test_two_listings_at_once(hub: Hub) -> None:
    """Each keeps its own token and limits, though the library has one client for all."""
    hub.add("me/mine", FILES, private=True, allowed=["hf_me"])
    found: list[str] = []
    names = [("Owner/Name", None), ("me/mine", "hf_me")] * 3
    threads = [threading.Thread(target=lambda n=n, t=t: found.append(listed(hub, n, None, t).id)) for n, t in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == ["Owner/Name"] * 3 + ["me/mine"] * 3
    assert all(request.had_token == ("mine" in request.path) for request in hub.requests)


# names


def entry(path: object, size: object = 2, **more: object) -> dict[str, Any]:
    return {"type": "file", "path": path, "size": size, "oid": HEX, **more}


UNSAFE = [
    "../x.json", "/etc/passwd", "a/../../b.json", "a/./b", "a//b", "C:x.json", "c:/x", "a\\..\\b.json", "\\\\host\\x",
    ".git/config", "a/.GIT/hooks", ".git ./x", "a\0b.json", "a\nb.json", "a\x1bb", "..", ".", "a/", "",
    "x" * 300 + ".json", "d/" * 100 + "x.json", "a/" + "y" * 5000, "a\u2028b.json", "\ud800.json",
]  # fmt: skip


@pytest.mark.parametrize("path", UNSAFE, ids=range(len(UNSAFE)))
def test_unsafe_names_end_the_listing(hub: Hub, path: str) -> None:
    """Also when the file would be skipped: nobody uploads such a name in good faith."""
    hub.repository("Owner/Name").extra_tree.append(entry(path))
    refused(hub, SourceError, "unsafe name|without a name")


def test_names_that_are_not_for_us_are_left_alone(hub: Hub) -> None:
    """Odd but harmless names of files that are skipped do not keep anybody from the model."""
    odd = [
        "имя.json",
        "e\u0301.json",
        "\u00e9.json",
        "space at the end ",
        "dot.",
        "Files/A.bin",
        "files/a.bin",
        "ab:c.md",
    ]
    hub.repository("Owner/Name").extra_tree.extend(entry(path) for path in odd)
    assert len(listed(hub).files) == 3 + len(odd)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ([entry("Config.json")], "Config.json.*differ only in case|config.json.*differ only in case"),
        ([entry("config.json")], "twice"),
        ([entry("vocab.json", -1)], "impossible size"),
        ([entry("vocab.json", 1 << 60)], "impossible size"),
        ([entry("vocab.json", True)], "impossible size"),
        ([entry("vocab.json", "7")], "impossible size"),
        ([entry("vocab.json", 1.5)], "impossible size"),
        ([entry("vocab.json", 7, lfs={"oid": "a" * 64, "size": 8, "pointerSize": 1})], "two sizes"),
        ([{"type": "symlink", "path": "vocab.json", "oid": HEX, "size": 3}], "not a regular file"),
        ([entry(7)], "without a name"),
        ([{"type": "file", "path": "vocab.json"}], "something other than a file listing"),
    ],
)
def test_impossible_rows(hub: Hub, more: list[dict[str, Any]], words: str) -> None:
    hub.repository("Owner/Name").extra_tree.extend(more)
    with pytest.raises(SourceError, match=words):
        listed(hub)


def test_digests_that_are_none_are_left_out(hub: Hub) -> None:
    """A file whose digest is no digest cannot be checked, so it has none (and nobody keeps it)."""
    hub.repository("Owner/Name").lies = {
        "config.json": {"oid": "../../x"},
        "model.safetensors": {"lfs": {"oid": "A" * 64}},
    }
    config, weights, _ = listed(hub).files
    assert (config.sha256, config.git_id, weights.sha256, weights.git_id) == (None, None, None, None)


def test_offline_lists_what_the_library_has_cached(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What huggingface_hub itself downloaded is listed again without a request, digests and all."""
    from huggingface_hub import snapshot_download

    snapshot_download("Owner/Name", endpoint=hub.url, cache_dir=tmp_path / "cache", token=False)
    online = listed(hub)
    hub.journal.clear()
    environ = {"HF_HUB_CACHE": str(tmp_path / "cache")}
    offline = HubEndpoint(hub.url, offline=True)
    for revision in (None, "main", online.commit):
        found = list_repository(offline, "owner/name", revision, environ=environ)
        assert (found.id, found.commit, found.files) == (online.id, online.commit, online.files) and found.cached
    for name, revision in (("Owner/Name", "v2"), ("Owner/Other", None), ("Owner/Name", HEX)):
        with pytest.raises(HubUnreachable, match="while HF_HUB_OFFLINE is set"):
            list_repository(offline, name, revision, environ=environ)
    assert not hub.requests
