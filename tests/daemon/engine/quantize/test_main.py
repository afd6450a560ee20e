"""The job's process as the daemon has it: from its order to a stored model, its failures, its end with its parent."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.utils import load_model
from support.kind_checkpoints import encoder, seeing
from support.process_use import dead
from support.quantized_files import quantized, restored, weights
from support.waiting import GUARD, wait_until

from mlx_serve.daemon.engine.model.model_folder import BadModel, UnsupportedModel
from mlx_serve.daemon.engine.quantize import main as job
from mlx_serve.daemon.protocol import Quantize
from mlx_serve.daemon.tasks import quantizing
from mlx_serve.daemon.tasks.quantizing import QuantizeOrder, Quantizer
from mlx_serve.store.errors import DamagedModel
from mlx_serve.store.progress import Progress, silent
from mlx_serve.store.store import Store

PARENT = """
import subprocess, socket, sys
ours, theirs = socket.socketpair()
child = subprocess.Popen(
    [sys.executable, "-m", "mlx_serve.daemon.engine.quantize.main", "--fd", str(theirs.fileno())],
    pass_fds=[theirs.fileno()],
)
theirs.close()
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def store(tmp_path: Path, checkpoint: Callable[[str], Path]) -> Store:
    store = Store.open(tmp_path / "models")
    store.pull_folder(restored(checkpoint("qwen3"), tmp_path / "plain", "bfloat16"), name="acme/plain")
    return store


async def run(store: Store, order: QuantizeOrder, report: Callable[[Progress], None] = silent) -> Any:
    async with asyncio.timeout(GUARD):
        return await Quantizer(None, store).run(order, report)  # type: ignore[arg-type]


async def test_a_model_in_the_store_becomes_a_quantized_one_that_loads(store: Store) -> None:
    """All of it: the real process, its frames, the store; the same logits as from the engine's own function."""
    seen: list[Progress] = []
    made = await run(store, QuantizeOrder("plain", 4, 32), seen.append)
    assert made.name.display() == "acme/plain-4bit"
    total = sum(array.nbytes for array in weights(store.view(store.find("plain"))).values())
    counted = [(one.overall_completed, one.overall_total) for one in seen if one.overall_total]
    assert (counted[0], counted[-1]) == ((0, total), (total, total))
    direct = store.directory.parent / "direct"
    quantized(store.view(store.find("plain")), direct)
    prompt = mx.array([[1, 2, 3]])
    logits, expected = (load_model(folder)[0](prompt) for folder in (store.view(made), direct))
    assert mx.array_equal(logits, expected).item()
    assert all(verified.ok for verified in store.verify())


async def test_a_failure_of_the_real_process_is_a_sentence(store: Store, tmp_path: Path) -> None:
    """Weights that config.json does not fit; the folder's path stays out of it."""
    config = tmp_path / "plain" / "config.json"
    config.write_text(config.read_text().replace('"intermediate_size": 96', '"intermediate_size": 128'))
    store.pull_folder(tmp_path / "plain", name="acme/new")
    with pytest.raises(DamagedModel, match="acme/new cannot be quantized: Expected shape") as failure:
        await run(store, QuantizeOrder("acme/new"))
    assert "/" not in str(failure.value).removeprefix("acme/new")
    assert not list((store.directory / "partial").iterdir())


def test_the_process_ends_with_its_parent() -> None:
    """The parent is killed while the child waits for its order."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        os.kill(child, 0)
        parent.kill()
        wait_until(lambda: dead(child), "the child has ended")


def test_it_gives_way_on_the_processor_but_not_on_a_macs_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a fake of the platform: a niced process beside others on Metal has met the GPU's time limit."""
    given: list[int] = []
    monkeypatch.setattr(os, "nice", given.append)
    for platform in ("darwin", "linux"):
        monkeypatch.setattr(sys, "platform", platform)
        job.give_way()
    assert given == [job.NICE]


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (UnsupportedModel("its weights are quantized already"), "unsupported", "its weights are quantized already"),
        (BadModel("config.json is not JSON"), "bad_model", "config.json is not JSON"),
        (ValueError("Model type x not supported."), "unsupported", "Model type x not supported."),
        (ValueError("Missing 3 parameters"), "bad_model", "Missing 3 parameters"),
        (FileNotFoundError("No safetensors found in /models/view"), "bad_model", "No safetensors found in the model"),
        (SystemExit(1), "unsupported", "its architecture needs a package that is missing"),
        (OSError(errno.ENOSPC, "No space left on device"), "no_space", "the disk is full"),
        (MemoryError(), "insufficient_memory", "this machine is out of memory"),
        (RuntimeError("[metal::malloc] out of memory"), "insufficient_memory", "[metal::malloc] out of memory"),
        (RuntimeError("[load_safetensors] bad file"), "bad_model", "the weight files cannot be read"),
        (RuntimeError("what"), "internal_error", "RuntimeError: what"),
        (OSError(errno.EIO, "Input/output error"), "internal_error", "OSError: [Errno 5] Input/output error"),
    ],
)
def test_every_failure_says_whose_it_is(error: BaseException, code: str, words: str) -> None:
    order = Quantize(path="/models/view", output="/models/out", kind="llm", bits=4, group_size=64, mode="affine")
    failed = job._failure(order, error)
    assert failed.code == code
    assert words in failed.message
    assert "/models" not in failed.message


SETTINGS = [(2, 32, "affine"), (4, 64, "affine"), (8, 32, "affine"), (4, 32, "mxfp4"), (4, 16, "nvfp4")]


@pytest.mark.parametrize("name", ["llama", "qwen3_moe", "gemma3", "vl", "bert"])
def test_room_is_asked_for_as_much_as_the_result_takes(
    checkpoint: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    """Not less, but for what the reserve of a tenth covers (routers keep more bits), and not a quarter too much."""
    makers = {"vl": lambda: seeing(tmp_path / "vl", "float32"), "bert": lambda: encoder(tmp_path / "bert", "bert")}
    source = makers[name]() if name in makers else checkpoint(name)
    kind = {"vl": "vlm", "bert": "embedding"}.get(name, "llm")
    shutil.rmtree(source / "2_Dense", ignore_errors=True)
    installed = Store.open(tmp_path / "models").pull_folder(source, kind=kind, name="a/b")  # type: ignore[arg-type]
    for bits, size, mode in SETTINGS:
        output = tmp_path / f"{bits}{mode}"
        result, _ = quantized(source, output, kind, bits, size, mode)  # type: ignore[arg-type]
        room = quantizing._estimate(installed, source, quantizing.check(bits, size, mode)) - (1 << 20)
        assert result.weight_bytes <= room * 1.1
        assert room <= result.weight_bytes * 1.25
