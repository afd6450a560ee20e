"""Quantizing from the daemon's side: what is asked, what is refused, what is stored, and that nothing stays behind."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from reference.checkpoints import make
from support.waiting import GUARD

from mlx_serve.daemon.errors import DaemonError, InsufficientMemory, JobDied, RequestRejected
from mlx_serve.daemon.tasks.quantizing import QuantizeOrder, Quantizer, check, target_name
from mlx_serve.store.disk.filesystem import FileSystem
from mlx_serve.store.disk.manifests import Overrides, Quantization
from mlx_serve.store.errors import (
    DamagedModel,
    NoSpace,
    SourceError,
    StoreBusy,
    StoreError,
    UnknownModel,
    UnsupportedModel,
)
from mlx_serve.store.progress import Progress, silent
from mlx_serve.store.store import Installed, Store

FAKE = str(Path(__file__).parents[2] / "fakes" / "job.py")
ORDER = QuantizeOrder("qwen3")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with one full model, local/qwen3."""
    return filled(Store.open(tmp_path / "models"), tmp_path)


def filled(store: Store, tmp_path: Path) -> Store:
    store.pull_folder(make("qwen3", tmp_path / "sources").folder)
    return store


async def run(
    store: Store, mode: str = "works", order: QuantizeOrder = ORDER, report: Callable[[Progress], None] = silent
) -> Installed:
    async with asyncio.timeout(GUARD):
        return await Quantizer(None, store, (FAKE, mode)).run(order, report)  # type: ignore[arg-type]


def assert_untouched(store: Store) -> None:
    """The full model alone, whole; nothing in flight, no blob too many."""
    assert [model.name.display() for model in store.models()] == ["local/qwen3"]
    assert not list((store.directory / "partial").iterdir())
    assert all(verified.ok for verified in store.verify())
    assert store.gc(dry_run=True).blobs == 0


async def test_the_result_is_a_model_of_its_own_that_names_its_parent(store: Store) -> None:
    full = store.find("qwen3")
    made = await run(store)
    assert made == store.find("local/qwen3-4bit")
    assert made.manifest.parent == full.digest
    assert made.manifest.quantization == Quantization(bits=4, group_size=64, mode="affine")
    assert (made.manifest.kind, made.manifest.source) == (full.manifest.kind, full.manifest.source)
    assert {model.name.display() for model in store.models()} == {"local/qwen3", "local/qwen3-4bit"}
    assert all(verified.ok for verified in store.verify())
    assert not list((store.directory / "partial").iterdir())


async def test_whatever_is_not_weights_or_config_is_shared_with_the_parent(store: Store) -> None:
    made = await run(store)
    layers, before = ({layer.path: layer for layer in model.manifest.layers} for model in (made, store.find("qwen3")))
    assert layers.keys() == before.keys()
    assert {path for path in layers if layers[path] != before[path]} == {"config.json", "model.safetensors"}
    assert (store.view(made) / "tokenizer.json").read_bytes() == (
        store.view(store.find("qwen3")) / "tokenizer.json"
    ).read_bytes()


async def test_progress_counts_bytes_then_the_manifest_then_success(store: Store) -> None:
    seen: list[Progress] = []
    made = await run(store, report=seen.append)
    told = [(one.status, one.overall_completed, one.overall_total) for one in seen if one.status == "quantizing"]
    assert told == [("quantizing", 0, 0), *(("quantizing", done, 1000) for done in (0, 500, 1000))]
    statuses = list(dict.fromkeys(one.status for one in seen))
    assert statuses == ["quantizing", "writing manifest", "success"]
    assert seen[-1].digest == f"sha256:{made.digest}"


async def test_doing_it_again_keeps_the_model_as_it_is(store: Store) -> None:
    """A client that has the first one in memory need not load it anew."""
    first = await run(store)
    again = await run(store)
    assert (again.digest, again.modified) == (first.digest, first.modified)


@pytest.mark.parametrize("moment", ["found", "seen"])
async def test_a_model_that_is_removed_while_it_is_quantized_is_finished(
    store: Store, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name goes at once, wherever the work is; its files stay until the work is done."""
    method = {"found": "view", "seen": "workspace"}[moment]
    original = getattr(Store, method)

    def removed_first(self: Store, *arguments: object) -> object:
        self.remove("qwen3")
        return original(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Store, method, removed_first)
        made = await run(store)
    assert [model.name.display() for model in store.models()] == ["local/qwen3-4bit"]
    assert all(verified.ok for verified in store.verify())
    assert made.manifest.quantization is not None
    store.gc()
    assert store.view(store.find("qwen3-4bit")).is_dir()


async def test_settings_that_were_laid_over_the_model_come_along(store: Store) -> None:
    full = store.find("qwen3")
    store.create("qwen3", "pirate", Overrides(system="arr"))
    made = await run(store, order=QuantizeOrder("pirate"))
    assert made.manifest.overrides == Overrides(system="arr")
    assert made.base not in (full.digest, store.find("pirate").digest)
    assert made.manifest.quantization is not None


@pytest.mark.parametrize(
    ("order", "name"),
    [
        (QuantizeOrder("qwen3"), "local/qwen3-4bit"),
        (QuantizeOrder("qwen3", 8, 32), "local/qwen3-8bit"),
        (QuantizeOrder("qwen3", mode="mxfp4"), "local/qwen3-mxfp4"),
        (QuantizeOrder("qwen3", 4, 16, "nvfp4"), "local/qwen3-nvfp4"),
        (QuantizeOrder("qwen3", mode="mxfp8"), "local/qwen3-mxfp8"),
    ],
)
def test_the_name_says_how_it_is_quantized(store: Store, order: QuantizeOrder, name: str) -> None:
    assert target_name(store.find("qwen3"), order) == name


async def test_a_tag_stays_and_a_wanted_name_wins(store: Store) -> None:
    store.copy("qwen3", "acme/qwen3:v2")
    assert (await run(store, order=QuantizeOrder("acme/qwen3:v2"))).name.display() == "acme/qwen3-4bit:v2"
    assert (await run(store, order=QuantizeOrder("qwen3", target="me/small"))).name.display() == "me/small"


@pytest.mark.parametrize(
    ("bits", "size", "mode", "field", "sentence"),
    [
        (7, None, "affine", "bits", "mode affine supports 2, 3, 4, 5, 6 or 8 bits, not 7"),
        (4, 48, "affine", "group_size", "mode affine supports group sizes 32, 64 or 128, not 48"),
        (8, None, "mxfp4", "bits", "mode mxfp4 supports 4 bits, not 8"),
        (4, 64, "nvfp4", "group_size", "mode nvfp4 supports group sizes 16, not 64"),
        (4, None, "gguf", "mode", "there is no quantization mode 'gguf': choose affine, mxfp4, nvfp4 or mxfp8"),
    ],
)
def test_settings_that_no_model_can_have_are_refused(
    bits: int, size: int | None, mode: str, field: str, sentence: str
) -> None:
    with pytest.raises(RequestRejected) as refused:
        check(bits, size, mode)
    assert (str(refused.value), refused.value.param) == (sentence, field)


async def refused(store: Store, order: QuantizeOrder, error: type[Exception], sentence: str) -> None:
    """Without a child: this one would die, and say so."""
    with pytest.raises(error, match=sentence):
        await run(store, "dies", order)


async def test_orders_that_cannot_be_carried_out_are_refused_before_a_child_starts(store: Store) -> None:
    await refused(store, QuantizeOrder("qwen3", bits=9), RequestRejected, "not 9")
    await refused(store, QuantizeOrder("nobody"), UnknownModel, "nobody")
    await refused(store, QuantizeOrder("qwen3", target="local/Qwen3:latest"), SourceError, "the name of the one")
    await refused(store, QuantizeOrder("qwen3", target="a/b/c"), StoreError, "a/b/c")
    assert_untouched(store)


async def test_a_quantized_source_is_refused(store: Store) -> None:
    await run(store)
    await refused(store, QuantizeOrder("qwen3-4bit", 8), UnsupportedModel, "quantized already .4 bits, affine.")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("unsupported", UnsupportedModel),
        ("bad_model", DamagedModel),
        ("no_space", NoSpace),
        ("insufficient_memory", InsufficientMemory),
        ("internal_error", DaemonError),
    ],
)
async def test_what_the_child_could_not_do_is_told_and_changes_nothing(
    store: Store, code: str, error: type[Exception]
) -> None:
    with pytest.raises(
        error, match="no space left" if code == "no_space" else "local/qwen3 cannot be quantized: it is so"
    ):
        await run(store, code)
    assert_untouched(store)


@pytest.mark.parametrize(("mode", "cause"), [("dies", "killed by SIGKILL"), ("babbles", "it sent an invalid frame")])
async def test_a_child_that_dies_is_told_and_changes_nothing(store: Store, mode: str, cause: str) -> None:
    with pytest.raises(JobDied, match=cause):
        await run(store, mode)
    assert_untouched(store)


def children() -> set[int]:
    """The processes that this one has."""
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
async def test_cancelling_kills_the_child_at_once_and_leaves_nothing(store: Store) -> None:
    before, began = children(), asyncio.Event()
    work = asyncio.create_task(run(store, "waits", report=lambda told: began.set() if told.completed else None))
    await asyncio.wait_for(began.wait(), GUARD)
    assert len(children() - before) == 1
    assert len(list((store.directory / "partial").iterdir())) == 1
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(work, GUARD)
    assert children() == before
    assert_untouched(store)


async def test_an_exception_out_of_the_report_ends_the_work(store: Store) -> None:
    class Enough(Exception):
        pass

    for status in ("quantizing", "writing manifest"):

        def report(told: Progress, status: str = status) -> None:
            if told.status == status and told.completed:
                raise Enough

        with pytest.raises(Enough):
            await run(store, "waits" if status == "quantizing" else "works", report=report)
        store.gc()  # a file that was stored before the end is nobody's
        assert_untouched(store)


async def test_nothing_is_swept_while_a_job_is_at_work(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent may lose its name meanwhile; its files are still read."""
    monkeypatch.setattr("mlx_serve.store.store._BUSY_SECONDS", 0)
    began = asyncio.Event()
    work = asyncio.create_task(run(store, "waits", report=lambda told: began.set() if told.completed else None))
    await asyncio.wait_for(began.wait(), GUARD)
    with pytest.raises(StoreBusy):
        await asyncio.to_thread(store.gc)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work


async def test_a_disk_too_small_is_told_before_a_child_starts(tmp_path: Path) -> None:
    class SmallDisk(FileSystem):
        left = 1 << 40

        def free(self, folder: Path) -> int:
            return self.left

    disk = SmallDisk()
    store = filled(Store.open(tmp_path / "models", disk=disk), tmp_path)
    disk.left = 1 << 20
    with pytest.raises(NoSpace, match="needed") as full:
        await run(store, "dies")
    assert full.value.needed is not None
    assert full.value.needed > full.value.have == 1 << 20
    assert_untouched(store)
