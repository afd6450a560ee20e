"""What of a machine models may use, and what of a share is for what: every number by hand."""

from __future__ import annotations

import pytest

from mlx_serve.daemon.engine.shares import Division, divide, usable

GIB = 1 << 30


@pytest.mark.parametrize(("host", "free"), [(64, 48), (16, 12), (8, 6), (6, 4), (4, 2), (2, 1)])
def test_a_quarter_of_the_host_is_the_systems(host: int, free: int) -> None:
    """On small machines 2 GiB, which is more, and never more than half."""
    assert usable("cpu", host * GIB, 0) == free * GIB


def test_metals_recommendation_counts_where_it_is_less() -> None:
    assert usable("metal", 16 * GIB, 11 * GIB) == 11 * GIB
    assert usable("metal", 8 * GIB, 7 * GIB) == 6 * GIB


def test_a_gpu_keeps_a_twentieth() -> None:
    """Or 1 GiB, which is more on small ones; the host's memory is another."""
    assert usable("cuda", 4 * GIB, 80 * GIB) == 76 * GIB
    assert usable("cuda", 4 * GIB, 8 * GIB) == 7 * GIB


def test_a_share_is_for_weights_steps_free_buffers_and_caches() -> None:
    """A tenth of what the weights leave is for what a step computes, an eighth of the rest for free buffers, and those
    have a bound; the parts sum to less than the share."""
    assert divide(1_000, 200) == Division(pool=90, caches=630)
    assert divide(100 * GIB, 0) == Division(pool=2 * GIB, caches=88 * GIB)
    assert divide(100, 200) == Division(pool=0, caches=0)
