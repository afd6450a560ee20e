"""SIGKILL at random moments of pulls, quantizes, copies, removes and gc, two hundred times.

Each time the daemon comes back, every listed model verifies, nothing that was there is gone, and an interrupted pull
has kept its bytes. A failure names its seed; `MLX_SERVE_CRASH_SEED=N` draws the same operations again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.kill_sweep import SLACK, KillSweep, seed_of_the_day
from e2e.operations import PulledRepository
from e2e.pulling_daemon import model
from e2e.scripted_model import write_scripted
from fakes.hub.server import Hub
from support.extent import extent
from support.forked_daemons import ForkedDaemons

ROUNDS = extent(24, 96)
REAL_ROUNDS = extent(2, 8)
QUICK_JOB = str(Path(__file__).resolve().parents[1] / "fakes" / "quick_job.py")


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub(send_buffer=64 << 10) as running:
        yield running


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mlxs-") as folder:
        yield Path(folder)


@pytest.mark.timeout(300)
def test_nothing_is_lost_whenever_the_daemon_is_killed(hub: Hub, home: Path, forks: ForkedDaemons) -> None:
    contents = [model(400_000), model(3_000_000, 2_000_000, seed=1), model(4_000_000, seed=2)]
    contents.append(contents[1] | {"README.md": b"# Shares its weights with another", "generation_config.json": b"{}"})
    repositories = [PulledRepository(hub.add(f"acme/m{number}", files), files) for number, files in enumerate(contents)]
    sweep = KillSweep(home, hub, forks, repositories, seed_of_the_day(), job=QUICK_JOB)
    sweep.run(ROUNDS)
    # Some got through, and most were cut short.
    assert 0 < sweep.finished < ROUNDS
    # Of what had been begun, most was used, where more was begun than what one kill may cost.
    assert sweep.twice <= max(SLACK, 0.4 * sweep.begun), (sweep.twice, sweep.begun)


@pytest.mark.timeout(300)
def test_nothing_is_lost_when_mlx_itself_is_at_work(hub: Hub, home: Path, forks: ForkedDaemons, tmp_path: Path) -> None:
    """The same with the job that really quantizes."""
    folder = write_scripted(tmp_path / "scripted")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    pulled = PulledRepository(hub.add("acme/scripted", files), files)
    KillSweep(home, hub, forks, [pulled], seed_of_the_day(), weights=(5, 85, 0, 0, 10), longest=3.0).run(REAL_ROUNDS)
