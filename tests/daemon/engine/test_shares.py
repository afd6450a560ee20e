"""What of a machine models may use, and what of a share is for what: every number by hand."""

from __future__ import annotations

import pytest

from mlx_serve.daemon.engine.shares import Division, divide, kept_graphs, usable

GIB = 1 << 30


@pytest.mark.parametrize(("host", "free"), [(64, 48), (16, 12), (8, 6), (6, 4), (4, 2), (2, 1)])
def test_a_quarter_of_the_host_is_the_systems(host: int, free: int) -> None:
    """On small machines 2 GiB, which is more, and never more than half."""
    assert usable("cpu", host * GIB, 0) == free * GIB


@pytest.mark.parametrize(
    ("host", "recommended", "free"),
    [
        (8, 5461.33, 5120),
        (16, 10922.67, 10922),
        (24, 16384, 16384),
        (32, 21845.34, 21845),
        (64, 49152, 49152),
        (128, 110100, 98304),
        (512, 475136, 475136),
    ],
)
def test_a_mac_keeps_memory_for_its_system(host: int, recommended: float, free: int) -> None:
    """Sizes in GiB, what Metal recommends there in MiB (as llama.cpp's and mlx-lm's users report it; of 24 GB two
    thirds), and the MiB that models may use: small ones keep 3 GiB, others a quarter, large ones 32 GiB at least."""
    assert usable("metal", host * GIB, int(recommended * 2**20)) >> 20 == free


@pytest.mark.parametrize(("host", "free"), [(8, 5), (16, 12), (64, 48), (128, 96), (512, 480)])
def test_a_mac_without_a_recommendation_keeps_its_reserve(host: int, free: int) -> None:
    """A virtual machine may have none; and a larger one, by `iogpu.wired_limit_mb`, takes no reserve away."""
    assert usable("metal", host * GIB, 0) == usable("metal", host * GIB, host * GIB) == free * GIB


def test_a_gpu_keeps_a_twentieth() -> None:
    """Or 1 GiB, which is more on small ones; the host's memory is another."""
    assert usable("cuda", 4 * GIB, 80 * GIB) == 76 * GIB
    assert usable("cuda", 4 * GIB, 8 * GIB) == 7 * GIB


def test_a_gpu_has_room_for_as_many_graphs_as_half_of_what_it_keeps() -> None:
    """Each takes 5 MiB of it; never more than MLX would keep, and a few on whatever there is."""
    assert [kept_graphs(size * GIB) for size in (1, 8, 24, 40, 80, 139)] == [51, 102, 122, 204, 400, 400]
    assert kept_graphs(1 << 20) == 32


def test_a_share_is_for_weights_steps_free_buffers_and_caches() -> None:
    """A tenth of what the weights leave is for what a step computes, an eighth of the rest for free buffers, and those
    have a bound; the parts sum to less than the share."""
    assert divide(1_000, 200) == Division(pool=90, caches=630)
    assert divide(100 * GIB, 0) == Division(pool=2 * GIB, caches=88 * GIB)
    assert divide(100, 200) == Division(pool=0, caches=0)


def test_where_memory_is_tight_only_the_pool_shrinks() -> None:
    """What runs keeps the room that it has: an answer that goes on is not cut for it."""
    roomy, tight = divide(100 * GIB, 0), divide(100 * GIB, 0, tight=True)
    assert tight == Division(pool=64 << 20, caches=roomy.caches)
    assert divide(1_000, 200, tight=True) == divide(1_000, 200)
