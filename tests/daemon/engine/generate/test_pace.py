"""How much prefill a device takes beside decoding before the others feel it: step times in, a factor out."""

from __future__ import annotations

from mlx_serve.daemon.engine.generate.pace import LONGEST_STRETCH, STALL_SECONDS, Pace

PLAIN = 0.010


def paced(*steps: tuple[float, int], budget: int = 100) -> int:
    """The stretch after these steps: seconds beyond a plain decode step, and tokens of prefill beside it."""
    pace = Pace()
    pace.note(PLAIN, prefilled=0, budget=budget)
    for extra, prefilled in steps:
        pace.note(PLAIN + extra, prefilled=prefilled, budget=budget)
    return pace.stretch


def test_a_fast_device_gets_more() -> None:
    """Twice as much for each full chunk that hardly shows, up to a limit."""
    assert paced() == 1
    assert paced((0.001, 100)) == 2
    assert paced(*[(0.001, 100)] * 3) == 8
    assert paced(*[(0.001, 100)] * 30) == LONGEST_STRETCH


def test_a_slow_device_gets_what_is_configured() -> None:
    assert paced(*[(10 * STALL_SECONDS, 100)] * 5) == 1


def test_a_stall_takes_it_back() -> None:
    """Half, until the others do not feel it; in between nothing changes."""
    assert paced(*[(0.001, 100)] * 3, (2 * STALL_SECONDS, 100)) == 4
    assert paced(*[(0.001, 100)] * 3, (0.75 * STALL_SECONDS, 100)) == 8


def test_a_small_chunk_proves_nothing() -> None:
    """The end of a prompt is quick on any device."""
    assert paced((0.001, 10)) == 1


def test_nothing_is_known_before_a_plain_step() -> None:
    pace = Pace()
    pace.note(0.001, prefilled=100, budget=100)
    assert pace.stretch == 1
