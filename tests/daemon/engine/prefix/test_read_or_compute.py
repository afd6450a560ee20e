"""A disk is judged by what it has brought, and only where nobody else waits."""

from __future__ import annotations

import pytest

from mlx_serve.daemon.engine.prefix.read_or_compute import MARGIN, PROBE_BYTES, Coming


@pytest.mark.parametrize(("rate", "slow"), [(1000 * MARGIN - 1, False), (1000 * MARGIN + 1, True), (0.0, False)])
def test_computing_has_to_be_faster_by_a_margin(rate: float, slow: bool) -> None:
    """2,000 tokens came in two seconds."""
    coming = Coming(10.0)
    coming.note(1500, PROBE_BYTES, decoding=False)
    coming.note(500, 1, decoding=False)
    assert coming.too_slow(12.0, rate) == slow


def test_little_says_nothing() -> None:
    coming = Coming(0.0)
    coming.note(1, PROBE_BYTES - 1, decoding=False)
    assert not coming.too_slow(1000.0, 1e9)
    coming.note(1, 1, decoding=False)
    assert coming.too_slow(1000.0, 1e9)


def test_beside_others_nothing_is_said() -> None:
    coming = Coming(0.0)
    coming.note(1, PROBE_BYTES, decoding=False)
    coming.note(1, PROBE_BYTES, decoding=True)
    coming.note(1, PROBE_BYTES, decoding=False)
    assert not coming.too_slow(1000.0, 1e9)
