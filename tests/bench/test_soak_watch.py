"""What the soak calls wrong: a leak, a limit that is passed, descriptors that are not closed, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from bench.soak_watch import Growth, Sample, faults, file_bytes

LIMIT = 4 << 20
FINE = Sample(0, 50_000_000, 120_000_000, 110_000_000, 700_000_000, LIMIT, LIMIT - 5, 24, 9)
WARM = 60.0


def samples(**slopes: float) -> list[Sample]:
    """Ten minutes of them; each field grows by so much a second, after a beginning that is not warm yet."""
    cold = replace(FINE, runner=400_000_000, daemon_descriptors=60)
    late = [
        replace(
            FINE,
            seconds=seconds,
            **{name: int(getattr(FINE, name) + slope * seconds) for name, slope in slopes.items()},
        )
        for seconds in range(60, 660, 5)
    ]
    return [cold, *late]


def test_nothing_is_wrong_with_what_only_warms_up() -> None:
    assert faults(samples(), LIMIT, LIMIT, WARM) == []
    assert faults(samples(runner=5000, daemon=1000), LIMIT, LIMIT, WARM) == []  # less than noise


@pytest.mark.parametrize(
    ("slopes", "word"),
    [
        ({"runner": 50_000}, "runner grew"),
        ({"daemon": 20_000}, "daemon grew"),
        ({"daemon_descriptors": 0.01}, "daemon_descriptors went"),
        ({"runner_descriptors": 0.02}, "runner_descriptors went"),
        ({"prefixes": 1}, "the cache held"),
        ({"files": 1}, "files had"),
        ({"held": 1_000_000}, "the model's process held"),
    ],
)
def test_what_grows_is_named(slopes: dict[str, float], word: str) -> None:
    (fault,) = faults(samples(**slopes), LIMIT, LIMIT, WARM)
    assert fault.startswith(word)


def test_growth_is_told_as_it_is() -> None:
    """First and last tenth, the slope an hour, and the most."""
    seconds = [float(one) for one in range(100)]
    growth = Growth.of(seconds, [10.0 + one / 2 for one in seconds])
    assert (growth.first, growth.last, growth.most) == (12.25, 57.25, 59.5)
    assert growth.an_hour == pytest.approx(1800) and Growth.of([1.0], [5.0]) == Growth(5, 5, 0, 5)


def test_files_are_counted_with_those_under_way(tmp_path: Path) -> None:
    """Of all models; the lock and the count beside them are none."""
    root = tmp_path / "prompts"
    assert file_bytes(root) == 0
    for name, size in (("a/1.block", 10), ("a/2.partial", 5), ("b/1.end", 7)):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x" * size)
    (root / "usage").write_text("22")
    assert file_bytes(root) == 22
