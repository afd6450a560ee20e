"""A child that waits for its model on a GPU gets to know what every model needs, and is as it was afterwards.

What it saves was seen on a GPU (docs/performance.md); here the processor takes the same way."""

from __future__ import annotations

import functools
import json
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from support.engine_client import Engine

from mlx_serve.daemon import protocol
from mlx_serve.daemon.engine import serve
from mlx_serve.daemon.engine.cache import attention
from mlx_serve.daemon.engine.mailbox import Mailbox
from mlx_serve.daemon.engine.model.load import LanguageModel, load
from mlx_serve.daemon.engine.warmup import rehearsal
from mlx_serve.daemon.engine.warmup.rehearsal import rehearse
from mlx_serve.daemon.engine.warmup.small_checkpoint import CONFIG, write_small_checkpoint


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, Any]]:
    """What a rehearsal does: the models that it loads, and the requests that run."""
    done: list[tuple[str, Any]] = []
    read, warm_up = rehearsal.load, rehearsal.warm_up

    def loads(request: protocol.Load) -> Any:
        packed = "quantization" in json.loads(Path(request.path, "config.json").read_text())
        done.append(("load packed" if packed else "load", None))
        return read(request)

    def warms(model: LanguageModel, *rest: Any) -> None:
        warm_up(model, *rest)
        done.append(("warm up", model.network.layers[0].self_attn.q_norm.weight.size))

    monkeypatch.setattr(rehearsal, "load", loads)
    monkeypatch.setattr(rehearsal, "warm_up", warms)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return done


@pytest.fixture
def packed(tmp_path: Path) -> dict[str, str]:
    """The environment of a child whose machine has loaded a model with packed weights."""
    kept = tmp_path / "ptx"
    kept.mkdir()
    (kept / "quantized_product_0123_abcd.ptx").touch()
    return {"MLX_PTX_CACHE_DIR": str(kept)}


def test_it_takes_the_way_of_every_model(steps: list[tuple[str, Any]], packed: dict[str, str], tmp_path: Path) -> None:
    """With plain weights and with packed ones; and leaves neither files nor memory."""
    before = mx.get_active_memory()
    rehearse(lambda: False, packed)
    warmed = ("warm up", CONFIG["head_dim"])
    assert steps == [("load", None), warmed, ("load packed", None), warmed]
    steps.clear()
    rehearse(lambda: True)
    assert not steps and not list((tmp_path / "tmp").iterdir())
    assert mx.get_active_memory() <= before + 4096 and mx.get_cache_memory() == 0


@pytest.mark.parametrize("asked", [1, 2, 3])
def test_it_ends_when_there_is_something_to_do(
    steps: list[tuple[str, Any]], packed: dict[str, str], asked: int
) -> None:
    """A model that comes meanwhile waits for one part of it at most."""
    answers = iter([False] * asked + [True] * 9)
    rehearse(lambda: next(answers), packed)
    assert [what for what, _ in steps] == ["load", "warm up", "load packed"][:asked]


def test_what_fails_is_told_and_no_more_is_tried(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[Any] = []

    def fail(request: protocol.Load) -> Any:
        calls.append(request)
        raise RuntimeError("no such\nkernel")

    monkeypatch.setattr(rehearsal, "load", fail)
    rehearse(lambda: False)
    assert len(calls) == 1 and capsys.readouterr().err == "rehearse: RuntimeError: no such kernel\n"


def test_nobody_waits_for_a_compiler_without_need(tmp_path: Path) -> None:
    """Packed weights are rehearsed once a model with such weights has been loaded on this machine."""
    environ = {"MLX_PTX_CACHE_DIR": str(tmp_path)}
    assert rehearsal.kinds({}) == rehearsal.kinds(environ) == (None,)
    (tmp_path / "quantized_product_0123_abcd.ptx").touch()
    assert rehearsal.kinds(environ) == (None, 4)


def test_its_heads_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or plans would be made for them."""
    monkeypatch.setattr(mx, "device_info", lambda: {"architecture": "sm_90a"})
    cuda = attention.CudaAttention(mx.fast.scaled_dot_product_attention)
    monkeypatch.setattr(mx.fast, "scaled_dot_product_attention", cuda)
    cuda._heads.add((4, 2, 128, mx.bfloat16))
    cuda._work[1, 2] = 3.0
    rehearse(lambda: True)
    assert not cuda._heads and not cuda._work


@pytest.mark.parametrize("bits", [None, 4])
def test_its_checkpoint_is_one_like_others(tmp_path: Path, bits: int | None) -> None:
    write_small_checkpoint(tmp_path, bits)
    model, loaded = load(
        protocol.Load(path=str(tmp_path), name="x", kind="llm", max_batch=2, prefill_tokens_per_step=64)
    )
    assert loaded.batchable and model.stop_tokens == {CONFIG["eos_token_id"]}
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 4 << 20


# in the child


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, socket.socket]]:
    """And the parent's end."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Mailbox(ours), theirs


LOAD = protocol.Load(path="", name="x", kind="llm", max_batch=1, prefill_tokens_per_step=1)


@pytest.mark.parametrize("backend", ["cpu", "metal", "cuda"])
def test_only_nvidia_gpus_are_rehearsed_on(
    mailbox: tuple[Mailbox, socket.socket], monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    """And the parent hears of it meanwhile, for a first rehearsal may compile for long."""
    box, theirs = mailbox
    rehearsed: list[bool] = []

    def takes_long(busy: Callable[[], bool]) -> None:
        rehearsed.append(busy())
        theirs.settimeout(10)
        assert protocol.decode_from_child(_frame(theirs)) == protocol.Loading()
        box.queue.put(LOAD)
        assert busy()

    monkeypatch.setattr(serve, "backend", lambda: backend)
    monkeypatch.setattr(serve, "rehearse", takes_long)
    monkeypatch.setattr(serve, "signs_of_life", functools.partial(serve.signs_of_life, seconds=0.01))
    if backend != "cuda":
        box.queue.put(LOAD)
    assert serve._first(box) == LOAD
    assert rehearsed == ([False] if backend == "cuda" else [])


def test_a_model_that_waits_is_loaded_at_once(
    mailbox: tuple[Mailbox, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody rehearses while somebody waits."""
    box, _ = mailbox
    monkeypatch.setattr(serve, "backend", lambda: "cuda")
    monkeypatch.setattr(serve, "rehearse", lambda busy: pytest.fail("it rehearsed"))
    monkeypatch.setattr(serve, "REHEARSE_AFTER", 60.0)
    threading.Timer(0.05, box.queue.put, [LOAD]).start()
    assert serve._first(box) == LOAD


def _frame(sock: socket.socket) -> bytes:
    length = protocol.frame_length(sock.recv(4, socket.MSG_WAITALL))
    return sock.recv(length, socket.MSG_WAITALL)


def test_a_child_without_a_model_goes_when_it_is_told() -> None:
    """Whatever it does meanwhile: here nothing reads what has come."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(protocol.encode(protocol.Quit()))
        box = Mailbox(ours)
        box._read_frames()
        assert box.drain(wait=False) == []


def test_one_with_a_model_ends_its_work_first() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for frame in (LOAD, protocol.Quit()):
            theirs.sendall(protocol.encode(frame))
        theirs.shutdown(socket.SHUT_WR)
        box = Mailbox(ours)
        box._read_frames()
        assert box.drain(wait=False) == [LOAD, protocol.Quit()]


def test_a_real_child_goes_at_once() -> None:
    with Engine() as child:
        child.hello()
        child.send(protocol.Quit())
        assert child.process.wait(30) == 0
