"""Which hub, as whom, which repository: environment variables and what people paste; refusals in words."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mlx_serve.store.errors import (
    AccessDenied,
    HubChanged,
    HubUnreachable,
    RateLimited,
    RepositoryNotFound,
    SourceError,
)
from mlx_serve.store.hub.address import Address, checked_revision, parse
from mlx_serve.store.hub.cache import find_cached
from mlx_serve.store.hub.hub_endpoint import HubEndpoint, cache_folder
from mlx_serve.store.hub.hub_errors import duration_text, resume_at, status_error
from mlx_serve.store.hub.repository import HubFile, Repository

HEX = "a" * 40


# the environment


def test_nothing_set(tmp_path: Path) -> None:
    assert HubEndpoint.from_environment({"HOME": str(tmp_path)}) == HubEndpoint("https://huggingface.co")


@pytest.mark.parametrize(
    "url", ["https://hf-mirror.com", "http://127.0.0.1:5000", "https://proxy/artifactory/api/huggingfaceml/hub", "http://[::1]:80"]
)  # fmt: skip
def test_another_hub(tmp_path: Path, url: str) -> None:
    """A slash at the end is taken off, a path in front of the hub's own stays."""
    endpoint = HubEndpoint.from_environment({"HOME": str(tmp_path), "HF_ENDPOINT": f" {url}/ "})
    assert endpoint.url == url


@pytest.mark.parametrize(
    "url",
    ["huggingface.co", "ftp://x", "https://", "https://a b", "https://x?y", "https://x#y", "https://x\\y", "file:///etc",
     "https://user:secret@host", "https://x:port", "https://[", "https://\u0430pple.com", "http://x\n.y"],
)  # fmt: skip
def test_what_is_no_hub(tmp_path: Path, url: str) -> None:
    """Refused with the variable's name; a password in it is not repeated."""
    with pytest.raises(SourceError, match="HF_ENDPOINT") as caught:
        HubEndpoint.from_environment({"HOME": str(tmp_path), "HF_ENDPOINT": url})
    assert "secret" not in str(caught.value)


def test_where_the_token_comes_from(tmp_path: Path) -> None:
    """The caller's, else the environment's, else the file of `hf auth login`; unless nothing implicit is wanted."""
    folder = tmp_path / ".cache" / "huggingface"
    folder.mkdir(parents=True)
    (folder / "token").write_text("hf_file\n")
    (tmp_path / "other").write_text("hf_other")
    home = {"HOME": str(tmp_path)}
    for environ, token in (
        (home, "hf_file"),
        (home | {"HF_TOKEN": " hf_env "}, "hf_env"),
        (home | {"HF_TOKEN": ""}, "hf_file"),
        (home | {"HUGGING_FACE_HUB_TOKEN": "hf_old"}, "hf_old"),
        (home | {"HF_TOKEN_PATH": "~/other"}, "hf_other"),
        (home | {"HF_TOKEN_PATH": "$HOME/other"}, "hf_other"),
        (home | {"HF_HOME": str(tmp_path / "none")}, None),
        (home | {"XDG_CACHE_HOME": str(tmp_path / ".cache")}, "hf_file"),
        (home | {"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1", "HF_TOKEN": "hf_env"}, None),
    ):
        assert HubEndpoint.from_environment(environ).token == token
        assert HubEndpoint.from_environment(environ, "hf_mine").token == "hf_mine"


def test_the_token_is_not_shown_and_is_one_word(tmp_path: Path) -> None:
    endpoint = HubEndpoint.from_environment({"HOME": str(tmp_path)}, "hf_secret")
    assert "hf_secret" not in repr(endpoint) + str(endpoint)
    for token in ("two words", "hf_\r\nX-Evil: 1", "x" * 5000, "schl\u00fcssel"):
        with pytest.raises(SourceError, match="HF_TOKEN is not a valid hub token") as caught:
            HubEndpoint.from_environment({"HOME": str(tmp_path), "HF_TOKEN": token})
        assert token not in str(caught.value)


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("true", True), ("YES", True), ("0", False), ("", False)])
def test_offline(tmp_path: Path, value: str, offline: bool) -> None:
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        assert HubEndpoint.from_environment({"HOME": str(tmp_path), variable: value}).offline is offline


def test_where_the_cache_is(tmp_path: Path) -> None:
    home = {"HOME": "/u"}
    for environ, folder in (
        (home, "/u/.cache/huggingface/hub"),
        (home | {"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        (home | {"HF_HOME": "/h"}, "/h/hub"),
        (home | {"HF_HOME": "/h", "HF_HUB_CACHE": "/x"}, "/x"),
        (home | {"HUGGINGFACE_HUB_CACHE": "~/old"}, "/u/old"),
    ):
        assert cache_folder(environ) == Path(folder)


# what people type


@pytest.mark.parametrize(
    ("text", "repository", "revision"),
    [
        ("owner/name", "owner/name", None),
        (" Owner/Na.me_1-x ", "Owner/Na.me_1-x", None),
        ("owner/name@v1.0", "owner/name", "v1.0"),
        ("owner/name@refs/pr/3", "owner/name", "refs/pr/3"),
        (f"owner/name@{HEX}", "owner/name", HEX),
        ("hf.co/owner/name", "owner/name", None),
        ("huggingface.co/owner/name@main", "owner/name", "main"),
        ("https://huggingface.co/owner/name", "owner/name", None),
        ("https://huggingface.co/owner/name/", "owner/name", None),
        ("https://HuggingFace.co/owner/name?library=mlx#x", "owner/name", None),
        ("https://huggingface.co/owner/name/tree/main", "owner/name", "main"),
        ("https://huggingface.co/owner/name/tree/refs%2Fpr%2F3", "owner/name", "refs/pr/3"),
        ("https://huggingface.co/owner/name/blob/v2/config.json", "owner/name", "v2"),
        (f"https://huggingface.co/owner/name/commit/{HEX}", "owner/name", HEX),
        ("https://mirror.example/owner/name", "owner/name", None),
    ],
)
def test_what_is_a_repository(text: str, repository: str, revision: str | None) -> None:
    found = parse(text, "https://mirror.example")
    assert found == Address(repository, revision)
    assert str(found) == repository + (f"@{revision}" if revision else "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name", "owner/name"),
        ("", "owner/name"),
        ("owner/", "owner/name"),
        ("a/b/c", "owner/name"),
        ("owner/na me", "owner/name"),
        ("../name", "owner/name"),
        ("owner/..", "owner/name"),
        ("owner/name.git", "owner/name"),
        ("owner/a--b", "owner/name"),
        ("owner/-name", "owner/name"),
        ("owner/" + "x" * 200, "owner/name"),
        ("owner/n\u00e4me", "owner/name"),
        ("owner/name:Q4_K_M", "has a tag"),
        ("hf.co/owner/name-GGUF:Q8_0", "has a tag"),
        ("https://huggingface.co/datasets/owner/name", "datasets cannot be served"),
        ("https://evil.example/owner/name", "not a URL of the configured hub"),
        ("owner/name@", "not a valid revision"),
        ("owner/name@../x", "not a valid revision"),
        ("owner/name@a b", "not a valid revision"),
        ("owner/name@" + "x" * 300, "not a valid revision"),
    ],
)
def test_what_is_none(text: str, words: str) -> None:
    """A sentence that says how it should look."""
    with pytest.raises(SourceError) as caught:
        parse(text)
    assert words in f"{caught.value}; {caught.value.hint}"


@pytest.mark.parametrize("text", ["main", "v1", "refs/pr/12", HEX, "feature/x+y", "1.0-rc"])
def test_revisions(text: str) -> None:
    assert checked_revision(text) == text


# what the hub says


def test_refusals_of_the_usual_hub() -> None:
    """Addresses in the sentences are the real ones, and nobody is told of HF_ENDPOINT."""
    hub = HubEndpoint("https://huggingface.co")
    gated = status_error(hub, "meta/llama", None, 401, {"x-error-code": "GatedRepo"})
    assert isinstance(gated, AccessDenied) and "https://huggingface.co/meta/llama" in str(gated.hint)
    assert "https://huggingface.co/settings/tokens" in str(gated.hint)
    assert str(status_error(hub, "a/b", None, 500, {})).startswith("the hub answered with status 500")
    missing = status_error(hub, "a/b", None, 404, {"x-error-code": "EntryNotFound"}, "config.json")
    assert isinstance(missing, HubChanged) and "config.json is no longer in a/b" in str(missing)
    disabled = status_error(hub, "a/b", None, 403, {"x-error-message": "Access to this resource is disabled."})
    assert isinstance(disabled, AccessDenied) and "disabled" in str(disabled)
    assert isinstance(status_error(hub, "a/b", "v1", 404, {"x-error-code": "RevisionNotFound"}), RepositoryNotFound)
    assert isinstance(status_error(hub, "a/b", None, 302, {}), HubUnreachable)


def test_rate_limits_know_when_they_end() -> None:
    now = time.time()
    for headers, seconds in (
        ({"retry-after": "30"}, 30),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "9" * 12}, 10 * 365 * 86400),
        ({"ratelimit": '"api";r=0;t=55'}, 55),
        ({"ratelimit": '"api";r=0;t=55', "retry-after": "1"}, 55),
        ({"ratelimit": '"api";r=7;t=55', "retry-after": "2"}, 2),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
    ):
        assert resume_at(headers) == pytest.approx(now + seconds, abs=2)
    for garbage in ("soon", "-1", "1e9", "", "nan", "\u0661"):
        assert resume_at({"retry-after": garbage}) is None
    error = status_error(HubEndpoint("https://huggingface.co"), "a/b", None, 429, {"retry-after": "40"})
    assert isinstance(error, RateLimited) and 38 <= error.retry_after <= 40
    assert RateLimited("x").retry_after == 60


@pytest.mark.parametrize(("seconds", "text"), [(0, "1 s"), (0.2, "1 s"), (90, "90 s"), (3000, "50 min"), (1e5, "28 h")])
def test_spans(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


# the cache


def test_files_of_the_cache(tmp_path: Path) -> None:
    """By digest or in the commit's snapshot; only whole regular files of the right size, whatever else lies there."""
    environ = {"HF_HUB_CACHE": str(tmp_path)}
    repository = Repository("o/n", HEX, ())
    folder = tmp_path / "models--o--n"
    (folder / "blobs").mkdir(parents=True)
    (folder / "snapshots" / HEX / "1_Pooling").mkdir(parents=True)
    large, small = HubFile("model.safetensors", 4, "b" * 64, None), HubFile("1_Pooling/config.json", 2, None, "c" * 40)
    assert find_cached(environ, repository, large) is None and find_cached(environ, repository, small) is None
    (folder / "blobs" / ("b" * 64)).write_bytes(b"1234")
    (folder / "snapshots" / HEX / "1_Pooling" / "config.json").write_bytes(b"{}")
    assert find_cached(environ, repository, large) == folder / "blobs" / ("b" * 64)
    assert find_cached(environ, repository, small) == folder / "snapshots" / HEX / "1_Pooling" / "config.json"
    (folder / "blobs" / ("b" * 64)).write_bytes(b"12")
    assert find_cached(environ, repository, large) is None
    (folder / "blobs" / ("b" * 64)).unlink()
    (folder / "blobs" / ("b" * 64)).symlink_to("b" * 64)
    assert find_cached(environ, repository, large) is None
    (folder / "blobs" / ("b" * 64)).unlink()
    (folder / "blobs" / ("b" * 64)).mkdir()
    assert find_cached(environ, repository, large) is None
    assert find_cached({"HF_HUB_CACHE": str(tmp_path / "none")}, repository, small) is None
