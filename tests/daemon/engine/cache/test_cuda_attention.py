"""Which attention is computed by what on NVIDIA GPUs: our kernels, and plans of cuDNN's where they pay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models.cache import KVCache, RotatingKVCache

from mlx_serve.daemon.engine.cache import attention, cuda_attention
from mlx_serve.daemon.engine.cache.common_beginning import Beginnings
from mlx_serve.daemon.engine.cache.cuda_attention import LAYERS, MOST_SHAPES, CudaAttention
from mlx_serve.daemon.engine.cache.ragged import Ragged
from mlx_serve.daemon.engine.cuda.cubins import Cubins


class Rows:
    def __init__(self, cubins: Cubins) -> None:
        self.knows, self.broken = True, False

    def fits(self, q: mx.array, k: mx.array, v: mx.array, *, paged: bool) -> bool:
        return self.knows

    def __call__(self, q: mx.array, k: mx.array, *_: Any) -> Any:
        *_, longest, table = _
        return ("rows", k.shape[2], longest) if table is None else ("pages", table.shape[1], longest)


class Prompts:
    def __init__(self, plain: Any, cubins: Any) -> None:
        self.knows = True

    def fits(self, q: mx.array, k: mx.array, v: mx.array, mask: Any) -> bool:
        return self.knows and q.shape[2] > 1 and not isinstance(mask, mx.array)

    def __call__(self, q: mx.array, k: mx.array, v: mx.array, scale: float, *, causal: bool, first: Any = None) -> Any:
        return ("prompts", causal) if first is None else ("beginning", first[0].shape[2], k.shape[2])


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The attention of a process on a GPU of some architecture; what it computes says by what."""
    monkeypatch.setattr(cuda_attention, "RowAttention", Rows)
    monkeypatch.setattr(cuda_attention, "CausalAttention", Prompts)

    def plain(q: mx.array, k: mx.array, v: mx.array, *, scale: float, mask: Any = None, **options: Any) -> Any:
        return mx.zeros(1) if q.shape[2] == cuda_attention.SMALL else ("mlx", k.shape[2], mask, options)

    def made(architecture: str = "sm_90a") -> CudaAttention:
        monkeypatch.setattr(mx, "device_info", lambda: {"architecture": architecture})
        return CudaAttention(plain)

    yield made


def shaped(rows: int, queries: int, keys: int, width: int = 64) -> tuple[mx.array, mx.array, mx.array]:
    """Never computed."""
    return mx.zeros((rows, 4, queries, width)), *(mx.zeros((rows, 2, keys, width)) for _ in range(2))


def load(cuda: CudaAttention) -> None:
    """And plan nothing, for no prompt is as long as a chunk."""
    list(cuda.plans(8, 0, None))


def counted(*lengths: int) -> Ragged:
    return Ragged(mx.array(lengths), lengths, lambda: mx.ones((len(lengths), 1, 1, max(lengths))))


def test_rows_are_counted(own: Any) -> None:
    """Whole buffers go to the kernel. What it does not know is cut to what the mask is for, and where all rows are
    as long MLX has no mask."""
    cuda = own()
    assert cuda(*shaped(4, 1, 256), scale=1.0, mask=counted(3, 9)) == ("rows", 256, 9)
    for knows, options in ((False, {}), (True, {"sinks": mx.zeros(4)})):
        cuda._rows.knows = knows
        name, columns, mask, given = cuda(*shaped(4, 1, 256), scale=1.0, mask=counted(3, 9), **options)
        assert (name, columns, mask.shape, given) == ("mlx", 9, (2, 1, 1, 9), options)
        assert cuda(*shaped(4, 1, 256), scale=1.0, mask=counted(9, 9), **options)[:3] == ("mlx", 9, None)
    assert cuda(*shaped(1, 1, 256), scale=1.0)[0] == "mlx", "nothing is known of how long the rows are"


def test_rows_have_pages_where_the_kernel_reads_them(own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """On NVIDIA GPUs, where every layer keeps every token in heads that it knows, and the compiler works."""

    def held(width: int = 64, kind: type = KVCache) -> Any:
        cache = kind() if kind is KVCache else kind(max_size=8)
        cache.keys, cache.values, cache.offset = mx.zeros((1, 2, 4, width)), mx.zeros((1, 2, 4, width)), 4
        return cache

    assert not attention.pageable([held()]), "no GPU"
    cuda = own()
    monkeypatch.setattr(mx.fast, "scaled_dot_product_attention", cuda)
    assert attention.pageable([held(), held(128)])
    assert not attention.pageable([held(), held(kind=RotatingKVCache)])
    assert not attention.pageable([held(), held(80)])
    table = mx.array([[1, 2], [3, 0]], dtype=mx.int32)
    mask = Ragged(mx.array([300, 5]), (300, 5), lambda: mx.ones((2, 1, 1, 300)), table)
    assert cuda(*shaped(2, 1, 256), scale=1.0, mask=mask) == ("pages", 2, 300)
    cuda._rows.broken = True
    assert not attention.pageable([held()])


def test_what_no_kernel_reads_is_gathered(own: Any) -> None:
    """Sinks, for one: keys and values of each row as they stand in its pages, with the mask."""
    cuda = own()
    q, *_ = shaped(2, 1, 8)
    pages = mx.broadcast_to(mx.arange(4.0)[:, None, None, None], (4, 2, 256, 64))
    mask = Ragged(mx.array([300, 5]), (300, 5), lambda: mx.ones((2, 1, 1, 300)), mx.array([[1, 3], [2, 0]]))
    seen = []
    cuda._plain = lambda q, k, v, **options: seen.extend([k, v, options["mask"]])
    cuda(q, pages, pages, scale=1.0, mask=mask, sinks=mx.zeros(4))
    keys, values, given = seen
    assert keys.shape == values.shape == (2, 2, 300, 64) and given.shape == (2, 1, 1, 300)
    assert keys[0, 0, :, 0].tolist() == [1.0] * 256 + [3.0] * 44 and set(keys[1, 1, :256, 5].tolist()) == {2.0}


def test_prompts_whose_shapes_are_new_need_no_plan(own: Any) -> None:
    """Ours, with an order of the keys or none; masks as arrays, sinks and what the kernel does not know are MLX's."""
    cuda = own()
    assert cuda(*shaped(2, 63, 300), scale=1.0, mask="causal") == ("prompts", True)
    assert cuda(*shaped(2, 63, 300), scale=1.0) == ("prompts", False)
    assert cuda(*shaped(2, 63, 300), scale=1.0, mask=mx.ones((63, 300)))[0] == "mlx"
    assert cuda(*shaped(2, 63, 300), scale=1.0, mask="causal", sinks=mx.zeros(4))[0] == "mlx"
    cuda._causal.knows = False
    assert cuda(*shaped(2, 63, 300), scale=1.0, mask="causal")[0] == "mlx"
    assert own("sm_75")(*shaped(2, 63, 300), scale=1.0, mask="causal")[0] == "mlx", "too old for the kernel"


def test_a_common_beginning_is_read_where_it_is(own: Any) -> None:
    """And stands before each row's keys where our kernel does not know what is asked."""
    cuda = own()
    q, k, v = shaped(3, 5, 9)
    beginnings = Beginnings()
    beginnings.note(k, (mx.zeros((1, 2, 128, 64)), mx.zeros((1, 2, 128, 64))))
    assert cuda(q, k, v, scale=1.0, mask=beginnings) == ("beginning", 128, 9)
    assert cuda(q, k, v, scale=1.0, mask=beginnings, sinks=mx.zeros(4))[1:3] == (137, "causal")
    cuda._causal.knows = False
    assert cuda(q, k, v, scale=1.0, mask=beginnings)[:3] == ("mlx", 137, "causal")
    assert cuda(q[:, :, :1], k, v, scale=1.0, mask=beginnings)[:3] == ("mlx", 137, None)
    assert cuda.reads_beginnings(128) and not cuda.reads_beginnings(100)
    assert not own("sm_75").reads_beginnings(128)


def test_a_shape_that_comes_often_has_a_plan(own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once ours, with the layers that are to come, takes as much longer as a plan takes, and what makes plans is
    loaded; wide heads have none."""
    cuda = own()
    long = shaped(1, 2048, 4096)
    each = 4 * 4 * 64 * (2048 * 4096 - 2048 * 2047 / 2)
    monkeypatch.setattr(cuda_attention, "PLAN_WORK", (LAYERS + 3) * each)
    for _ in range(5):
        assert cuda(*long, scale=1.0, mask="causal") == ("prompts", True)
    load(cuda)
    assert cuda(*long, scale=1.0, mask="causal")[0] == "mlx"
    assert cuda(*long, scale=1.0)[0] == "mlx", "without an order it is more to compute"
    cuda = own()
    load(cuda)
    found = [cuda(*long, scale=1.0, mask="causal")[0] for _ in range(6)]
    assert found == ["prompts"] * 3 + ["mlx"] * 3
    wide = shaped(1, 2048, 4096, 256)
    assert {cuda(*wide, scale=1.0, mask="causal")[0] for _ in range(9)} == {"prompts"}


def test_what_is_large_is_planned_at_once(own: Any) -> None:
    """A chunk of 8,192 tokens behind 24,576 in heads as those of Qwen3-0.6B takes three times as long with ours as a
    plan and cuDNN do; 500 tokens there, and a whole prompt of 8,192, come a few times first."""

    def heads(queries: int, keys: int) -> tuple[mx.array, mx.array, mx.array]:
        return mx.zeros((1, 16, queries, 128)), *(mx.zeros((1, 8, keys, 128)) for _ in range(2))

    cuda = own()
    load(cuda)
    assert cuda(*heads(8192, 32768), scale=1.0, mask="causal")[0] == "mlx"
    assert cuda(*heads(500, 24576), scale=1.0, mask="causal")[0] == "prompts"
    found = [[cuda(*heads(8192, 8192), scale=1.0, mask="causal")[0] for _ in range(28)] for _ in range(4)]
    assert found[0] == ["prompts"] * 28 and found[3] == ["mlx"] * 28


def test_shapes_that_do_not_come_again_are_forgotten(own: Any) -> None:
    """Their number is bounded; what is used stays."""
    cuda = own()
    for keys in range(70, 70 + 2 * MOST_SHAPES):
        cuda(*shaped(1, 8, 69), scale=1.0, mask="causal")
        cuda(*shaped(1, 8, keys), scale=1.0, mask="causal")
    assert len(cuda._work) == MOST_SHAPES
    assert (1, 4, 8, 64, 2, 69, "causal") in cuda._work


def test_what_makes_plans_is_loaded_once(own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By one small attention; where no kernel of ours stands in its place it is loaded already, and elsewhere there is
    none."""
    cuda, asked = own(), []
    plain = cuda._plain
    monkeypatch.setattr(cuda, "_plain", lambda q, *rest, **options: asked.append(q.shape) or plain(q, *rest, **options))
    monkeypatch.setattr(mx.fast, "scaled_dot_product_attention", cuda)
    assert len(list(attention.plans(8192, 4096, None))) == 1
    assert not list(attention.plans(8192, 4096, None))
    assert asked == [(1, 1, 64, 128)]
    monkeypatch.undo()
    assert not list(attention.plans(8192, 4096, None))


def test_whole_chunks_of_long_prompts_are_planned(own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the heads that prompts have had, one after the other, up to the longest prompt; a prompt finds them, and its
    keys as they were planned. Others of its lengths are ours: of other heads, in another order, of two rows."""
    cuda, asked = own(), []

    def plain(q: mx.array, k: mx.array, v: mx.array, *, scale: float, mask: Any = None) -> Any:
        asked.append((*q.shape, *k.shape, q.dtype))
        assert all(memoryview(part.view(mx.uint16)).c_contiguous for part in (q, k, v)) and mask == "causal"
        return mx.zeros(1)

    cuda._plain = plain
    half = [part.astype(mx.bfloat16) for part in shaped(1, 16, 16)]
    cuda(*half, scale=1.0, mask="causal")
    asked_so_far = [len(asked) for _ in cuda.plans(16, 50, None)]
    assert asked_so_far == [1, 1, 2, 3, 4], "after the first one, copies of scattered pages"
    planned = [(1, 4, 16, 64, 1, 2, keys, 64, mx.bfloat16) for keys in (16, 32, 48)]
    assert asked[1:] == planned
    wide = mx.zeros((1, 2, 64, 64), dtype=mx.bfloat16)[..., :48, :]
    turned = mx.zeros((1, 16, 4, 64), dtype=mx.bfloat16).transpose(0, 2, 1, 3)
    cuda(turned, wide, wide, scale=1.0, mask="causal")
    assert asked[4:] == planned[-1:]
    others = (
        shaped(1, 16, 48),
        (turned, wide[:, :1], wide[:, :1]),
        (mx.repeat(turned, 2, 0), *2 * [mx.repeat(wide, 2, 0)]),
    )
    assert {cuda(*other, scale=1.0, mask="causal") for other in others} == {("prompts", True)}
    assert cuda(turned, wide, wide, scale=1.0) == ("prompts", False)
    assert cuda(half[0][:, :, :15], *half[1:], scale=1.0, mask="causal") == ("prompts", True)


def test_plans_need_no_more_memory_than_there_is(own: Any) -> None:
    """Keys and values of 32 tokens fit, those of 48 do not."""
    cuda = own()
    cuda._plain = lambda *_, **__: mx.zeros(1)
    cuda(*shaped(1, 16, 16), scale=1.0, mask="causal")
    assert len(list(cuda.plans(16, 64, 2 * 2 * 32 * 64 * 4))) == 2 + 2


def test_what_cannot_be_loaded_plans_nothing(own: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """It is tried once, told of, and prompts go on with our kernel."""

    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no libcudnn")

    cuda = own()
    cuda._plain = fail
    load(cuda)
    load(cuda)
    assert capfd.readouterr().err.count("plan attention: no libcudnn") == 1
    large = mx.zeros((1, 16, 8192, 128)), *(mx.zeros((1, 8, 32768, 128)) for _ in range(2))
    assert {cuda(*large, scale=1.0, mask="causal")[0] for _ in range(40)} == {"prompts"}
