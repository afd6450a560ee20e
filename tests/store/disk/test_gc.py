"""Sweeping: what goes, what stays, and who has to wait for whom."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import pytest
from support.waiting import GUARD

from mlx_serve.store import store as facade
from mlx_serve.store.disk import locks
from mlx_serve.store.disk.filesystem import FileSystem
from mlx_serve.store.disk.gc import Collected
from mlx_serve.store.disk.locks import Lock
from mlx_serve.store.errors import StoreBusy, StoreError, UnknownModel
from mlx_serve.store.store import Store

MakeModel = Callable[..., Path]
DAY = 24 * 3600

PULLER = """
import sys
from pathlib import Path
from mlx_serve.store.store import Store

def report(progress):
    if progress.status == sys.argv[3]:
        print("here", flush=True)
        sys.stdin.readline()

store = Store.open(Path(sys.argv[1]))
print("done", store.pull_folder(Path(sys.argv[2]), name="pulled", progress=report).digest, flush=True)
"""

HOLDER = """
import sys
from pathlib import Path
from mlx_serve.store.disk.locks import Lock

with getattr(Lock(Path(sys.argv[1])), sys.argv[2])():
    print("here", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def process(code: str, *arguments: object) -> Iterator[Popen[str]]:
    """Another process that has said "here" and goes on when it gets a line."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "here\n"
            yield child
        finally:
            child.kill()


def blobs(store: Store) -> set[str]:
    return {path.name for path in (store.directory / "blobs").iterdir()}


def test_a_dry_run_tells_and_does_nothing(store: Store, make_model: MakeModel) -> None:
    store.pull_folder(make_model())
    store.pull_folder(make_model(fill=1))
    before = blobs(store)
    planned = store.gc(dry_run=True)
    assert planned.blobs == 2
    assert blobs(store) == before
    assert store.gc() == planned
    assert len(blobs(store)) == len(before) - 2
    assert store.gc() == Collected(0, 0, 0)
    assert all(file.ok for file in store.verify())


def test_models_in_memory_keep_their_files(store: Store, make_model: MakeModel) -> None:
    model = store.pull_folder(make_model())
    store.remove("tiny", protect=[model.digest])
    assert store.models() == []
    assert store.gc(protect=[model.digest]) == Collected(0, 0, 0)
    assert (store.view(model) / "model.safetensors").is_file()
    assert store.gc().blobs == len(model.manifest.layers) + 1
    assert blobs(store) == set()


def test_a_file_that_is_open_stays_readable(store: Store, make_model: MakeModel) -> None:
    with (store.view(store.pull_folder(make_model(fill=7))) / "model.safetensors").open("rb") as file:
        store.remove("tiny")
        assert file.read()[-1] == 7


def test_only_old_partials_go_and_orphans_of_dead_processes(store: Store) -> None:
    partial = store.directory / "partial"
    now = time.time()
    for name, age in {"fresh": 0, "young": 13 * DAY, "old": 15 * DAY, "future": -30 * DAY, "1970": now}.items():
        (partial / name).write_bytes(b"x")
        os.utime(partial / name, (now - age, now - age))
    (partial / "1-dead.tmp").write_bytes(b"x")
    assert store.gc(dry_run=True).partials == 1
    assert store.gc().partials == 2
    kept = {"fresh", "young", "future", "1970"}
    assert {path.name for path in partial.iterdir()} == kept
    (partial / "2-dead.tmp").write_bytes(b"x")
    (partial / "3-dead.tmp").mkdir()
    (partial / "note-of-nothing.pieces").write_bytes(b"x")
    Store.open(store.directory)
    assert {path.name for path in partial.iterdir()} == kept


def test_a_clock_that_was_wrong_costs_no_download_and_keeps_none_for_ever(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial = store.directory / "partial"
    for name, when in {"1970": 0.0, "future": time.time() + 400 * DAY}.items():
        (partial / name).write_bytes(b"x")
        os.utime(partial / name, (when, when))
    assert store.gc().partials == 0
    later = time.time() + 15 * DAY
    monkeypatch.setattr(time, "time", lambda: later)
    assert store.gc().partials == 2


def test_the_files_of_one_download_grow_old_together_and_not_while_somebody_writes(store: Store) -> None:
    partial = store.directory / "partial"
    old = time.time() - 15 * DAY
    for name in ("a.part", "a.pieces", "b.part", "b.pieces", "c.part", "c.promised"):
        (partial / name).write_bytes(b"x")
        os.utime(partial / name, (old, old))
    os.utime(partial / "a.pieces")
    with (partial / "b.part").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert store.gc().partials == 1
    assert {path.name for path in partial.iterdir()} == {"a.part", "a.pieces", "b.part", "b.pieces"}
    assert store.gc().partials == 1
    assert {path.name for path in partial.iterdir()} == {"a.part", "a.pieces"}


def test_views_go_with_their_models(store: Store, make_model: MakeModel) -> None:
    gone, kept = store.pull_folder(make_model("gone")), store.pull_folder(make_model("kept", fill=1))
    gone_view, kept_view = store.view(gone), store.view(kept)
    (store.directory / "views" / "unfinished-1").mkdir()
    store.remove("gone")
    assert not gone_view.exists()
    assert list((store.directory / "views").iterdir()) == [kept_view]


def test_what_a_damaged_manifest_still_names_is_kept(store: Store, make_model: MakeModel) -> None:
    """Removing the weights of a model whose manifest lost a bit would turn a small repair into a large one."""
    model = store.pull_folder(make_model())
    path = store.directory / "blobs" / f"sha256-{model.digest}"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b'"kind":"llm"', b'"kind":"lln"'))
    assert Store.open(store.directory).gc() == Collected(0, 0, 0)
    assert Store.open(store.directory).pull_folder(make_model()).manifest.layers == model.manifest.layers


def test_nothing_is_swept_when_a_name_cannot_be_read(
    store: Store, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlx_serve.store.disk import refs

    store.pull_folder(make_model())
    before = blobs(store)

    def broken(path: Path, limit: int) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(refs, "read_regular", broken)
    with pytest.raises(StoreError, match="nothing was removed"):
        store.gc()
    assert blobs(store) == before


def test_files_that_are_not_ours_are_left_alone(store: Store) -> None:
    (store.directory / "blobs" / "notes.txt").write_text("mine")
    (store.directory / "blobs" / ("sha256-" + "A" * 64)).write_text("mine")
    assert store.gc() == Collected(0, 0, 0)
    assert len(blobs(store)) == 2


def test_a_planted_link_is_removed_and_not_followed(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("x")
    (store.directory / "blobs" / ("sha256-" + "a" * 64)).symlink_to(target)
    assert store.gc() == Collected(1, 0, 0)
    assert target.read_text() == "x"


# --- two processes ----------------------------------------------------------------------------------------------------


def test_nothing_is_swept_while_another_process_pulls(
    store: Store, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All blobs are there and no name yet: the moment in which a sweep would do harm."""
    monkeypatch.setattr(facade, "_BUSY_SECONDS", 0.0)
    monkeypatch.setattr(facade, "_REMOVE_BUSY_SECONDS", 0.0)
    store.pull_folder(make_model("mine", fill=1))
    with process(PULLER, store.directory, make_model(), "writing manifest") as child:
        before = blobs(store)
        with pytest.raises(StoreBusy) as caught:
            store.gc()
        assert caught.value.hint
        store.remove("mine")
        assert blobs(store) == before
        assert store.gc(dry_run=True).blobs > 0
        out, _ = child.communicate("\n")
        assert out.startswith("done")
    assert store.gc().blobs > 0
    assert [model.name.display() for model in store.models()] == ["local/pulled"]
    assert all(file.ok for file in store.verify())


def test_reading_waits_for_a_sweep_in_another_process(store: Store, make_model: MakeModel) -> None:
    model = store.pull_folder(make_model())
    views: list[Path] = []
    with process(HOLDER, store.directory / "lock", "exclusive") as child:
        reader = threading.Thread(target=lambda: views.append(store.view(model)))
        reader.start()
        reader.join(0.1)
        assert reader.is_alive()
        assert views == []
        child.communicate("\n")
        reader.join(GUARD)
    assert len(views) == 1


def test_readers_do_not_wait_for_each_other(store: Store, make_model: MakeModel) -> None:
    model = store.pull_folder(make_model())
    with process(HOLDER, store.directory / "lock", "shared"):
        assert store.view(model).is_dir()
        assert store.copy("tiny", "second").digest == model.digest


def test_the_lock_of_a_killed_process_is_free(store: Store) -> None:
    with process(HOLDER, store.directory / "lock", "exclusive") as child:
        child.kill()
        child.wait()
        assert store.gc() == Collected(0, 0, 0)


def test_two_processes_may_pull_the_same_folder(store: Store, make_model: MakeModel) -> None:
    folder = make_model()
    with (
        process(PULLER, store.directory, folder, "checking files") as one,
        process(PULLER, store.directory, folder, "checking files") as two,
    ):
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
        second, _ = two.communicate("\n")
        first, _ = one.communicate()
    assert first.startswith("done")
    assert second.startswith("done")
    assert [model.name.display() for model in store.models()] == ["local/pulled"]
    assert all(file.ok for file in store.verify("pulled"))
    assert list((store.directory / "partial").iterdir()) == []


def test_remove_and_pull_at_once_leave_a_whole_model_or_none(store: Store, make_model: MakeModel) -> None:
    folder = make_model()
    for _ in range(25):
        puller = threading.Thread(target=store.pull_folder, args=(folder,))
        puller.start()
        try:
            store.remove("tiny")
        except UnknownModel:
            pass
        puller.join()
        assert all(file.ok for file in store.verify())
        for model in store.models():
            store.view(model)


def test_four_threads_of_mixed_work_leave_a_clean_store(store: Store, make_model: MakeModel) -> None:
    folders = [make_model(f"m{index}", fill=index % 2) for index in range(3)]
    failures: list[BaseException] = []

    def work(start: int) -> None:
        try:
            for step in range(12):
                folder = folders[(start + step) % 3]
                store.pull_folder(folder)
                store.copy(folder.name, f"copy{start}")
                store.view(store.find(f"copy{start}"))
                store.models()
                store.remove(f"copy{start}")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    store.gc()
    assert {model.name.display() for model in store.models()} == {"local/m0", "local/m1", "local/m2"}
    assert all(file.ok and file.name for file in store.verify())


def test_a_disk_whose_locks_let_everybody_in_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert Lock(tmp_path).works()
    monkeypatch.setattr("fcntl.flock", lambda descriptor, operation: None)
    assert not Lock(tmp_path).works()
    Store.open(tmp_path / "models", disk=FileSystem())
    assert "locks do not work" in caplog.text


@pytest.mark.timeout(30)
def test_nobody_waits_for_ever_for_a_store_that_is_held(
    store: Store, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a process that stands still, for example: everything that needs the lock says so after a while."""
    model = store.pull_folder(make_model())
    monkeypatch.setattr(locks, "LONGEST_SECONDS", 0.1)
    waiting: list[Callable[[], object]] = [
        lambda: store.view(model),
        lambda: store.pull_folder(make_model("other")),
        lambda: store.copy("tiny", "second"),
        lambda: store.claim(model.manifest.layers[0].digest),
        lambda: list(store.verify()),
        lambda: store.remove("tiny"),
        lambda: store.gc(dry_run=True),
    ]
    with process(HOLDER, store.directory / "lock", "exclusive"):
        for call in waiting:
            with pytest.raises(StoreBusy, match="is being cleaned up") as caught:
                call()
            assert caught.value.hint == "try again in a moment"
        assert store.models() == [store.find("tiny")], "looking needs no lock"
    with process(HOLDER, store.directory / "views", "exclusive"), pytest.raises(StoreBusy):
        store.view(model)
    assert store.view(model).is_dir()
