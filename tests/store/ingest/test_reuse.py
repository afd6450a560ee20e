"""Files of the hub library's own cache are taken over, checked, and left as they are."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from fakes.hub.server import Hub
from support.hub_pulls import WEIGHTS, MakeFiles, content, sound

from mlx_serve.store.errors import HubUnreachable
from mlx_serve.store.progress import Progress
from mlx_serve.store.store import Store


def cache_of(tmp_path: Path, hub: Hub, name: str) -> Path:
    """A snapshot as the hub's library leaves it: links to blobs that are named by what the hub says of them."""
    folder = tmp_path / "hf/hub" / f"models--{name.replace('/', '--')}"
    head = hub.repository(name).head
    for path, file in head.files.items():
        link = folder / "snapshots" / head.id / path
        link.parent.mkdir(parents=True, exist_ok=True)
        (folder / "blobs").mkdir(exist_ok=True)
        (folder / "blobs" / file.etag).write_bytes(file.content.read(0, file.content.size))
        link.symlink_to(f"../../blobs/{file.etag}")
    (folder / "refs").mkdir()
    (folder / "refs/main").write_text(head.id)
    return folder


def snapshot(folder: Path) -> dict[str, tuple[bytes | str, int, int]]:
    return {
        str(path): (str(path.readlink()) if path.is_symlink() else path.read_bytes(), status.st_ino, status.st_mtime_ns)
        for path in folder.rglob("*")
        if not path.is_dir() and (status := path.lstat())
    }


def test_files_of_the_hubs_cache_are_taken_over_and_left_as_they_are(
    store: Store, hub: Hub, make_files: MakeFiles, tmp_path: Path
) -> None:
    files = make_files(5000)
    hub.add("owner/name", files)
    before = snapshot(cache_of(tmp_path, hub, "owner/name"))
    told: list[Progress] = []
    model = store.pull("owner/name", progress=told.append)
    assert content(store, model) == files
    assert hub.bytes_sent == 0
    assert {event.status for event in told if event.path} == {"taken from the hub's cache"}
    assert snapshot(tmp_path / "hf/hub") == before
    assert sound(store)
    for layer in model.manifest.layers:
        path = store.directory / "blobs" / f"sha256-{layer.hex}"
        assert (path.stat().st_nlink, path.stat().st_mode & 0o777) == (1, 0o444)


def test_a_damaged_file_of_the_cache_is_noticed_and_fetched(
    store: Store, hub: Hub, make_files: MakeFiles, tmp_path: Path
) -> None:
    files = make_files(5000)
    hub.add("owner/name", files)
    folder = cache_of(tmp_path, hub, "owner/name")
    for path in (folder / "blobs").iterdir():
        data = bytearray(path.read_bytes())
        data[0] ^= 1
        path.write_bytes(data)
    assert content(store, store.pull("owner/name")) == files
    assert hub.bytes_sent == sum(map(len, files.values()))
    assert sound(store)


def test_offline_the_cache_is_all_there_is(
    store: Store, hub: Hub, make_files: MakeFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = make_files(5000)
    hub.add("owner/name", files)
    folder = cache_of(tmp_path, hub, "owner/name")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert content(store, store.pull("owner/name")) == files
    weights = hashlib.sha256(files[WEIGHTS]).hexdigest()
    (folder / "blobs" / weights).write_bytes(bytes(len(files[WEIGHTS])))
    assert content(store, store.pull("owner/name")) == files
    store.remove("name")
    with pytest.raises(HubUnreachable, match="HF_HUB_OFFLINE"):
        store.pull("owner/name")
    assert hub.requests == []
