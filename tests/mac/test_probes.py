"""What the probes of `make mac-check` conclude, from texts that macOS prints and from figures."""

from __future__ import annotations

import os
import plistlib
import subprocess
import sys
from pathlib import Path

import pytest
from mac import probe_awake, probe_launchd, probe_soak, probe_speed
from mac.system_memory import Sample, footprint, sample, wired_and_free
from mac.trial import Trial, words
from support.extent import only_long

HERE = Path(__file__).parent
VM_STAT = """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               48723.
Pages active:                            493420.
Pages inactive:                          486951.
Pages speculative:                         4821.
Pages throttled:                              0.
Pages wired down:                        181235.
Pages purgeable:                           8312.
"Translation faults":                 823894283.
"""
GB = 10**9


def at(wired: float, held: float = 1.0, pressure: int = 1) -> Sample:
    return Sample(int(wired * GB), 8 * GB, pressure, int(held * GB))


def test_vm_stat_is_read() -> None:
    assert wired_and_free(VM_STAT) == (181235 * 16384, 48723 * 16384)
    with pytest.raises(ValueError, match="something else"):
        wired_and_free("vm_stat: no\n")


def test_memory_is_seen_on_this_machine() -> None:
    now = sample(os.getpid())
    assert now.held > 1 << 20 and now.free > 0 and footprint(os.getpid()) > 1 << 20
    assert footprint(2**22 - 1) == 0


@pytest.mark.parametrize(
    ("during", "after", "problem"),
    [
        ([at(3), at(5, held=4)], at(2.5), ""),
        ([at(3), at(8, held=4)], at(2), "rose by 6.00 GB while all processes held 4.00 GB"),
        ([at(5, held=4)], at(4), "after unloading, 2.00 GB more are wired"),
        ([at(2), at(2, pressure=4)], at(2), "pressure became critical"),
    ],
)
def test_what_is_wrong_with_the_memory_is_said(during: list[Sample], after: Sample, problem: str) -> None:
    found = probe_soak.verdict(at(2), during, after)
    assert (problem in found[0] and len(found) == 1) if problem else not found
    assert "wired" in probe_soak.table(at(2), during, after)


def test_a_step_in_the_speed_is_said() -> None:
    assert probe_speed.drops({200: 50.0, 500: 45.0, 1000: 41.0}) == []
    (said,) = probe_speed.drops({200: 50.0, 500: 45.0, 1000: 30.0, 1500: 29.0})
    assert said == "from 500 to 1000 tokens the speed falls from 45.0 to 30.0 tokens/s"


def test_assertions_of_caffeinate_are_found() -> None:
    text = (
        "Listed by owning process:\n"
        '   pid 421(powerd): [0x1] 00:00:01 PreventUserIdleSystemSleep named: "Powerd"\n'
        '   pid 977(caffeinate): [0x2] 00:00:03 PreventUserIdleSystemSleep named: "caffeinate command-line tool"\n'
    )
    assert len(probe_awake.assertions(text, [977])) == 1
    assert probe_awake.assertions(text, [978]) == []


def test_an_agent_of_launchd_is_a_property_list() -> None:
    trial = Trial()
    try:
        found = plistlib.loads(probe_launchd.agent(trial))
    finally:
        trial.close()
    assert found["ProgramArguments"][0] == sys.executable and "--foreground" in found["ProgramArguments"]
    assert found["EnvironmentVariables"] == {"MLX_SERVE_HOME": str(trial.home)}
    assert probe_launchd.last_exit("\tstate = not running\n\tlast exit code = 0\n") == "0"
    assert probe_launchd.last_exit("\tstate = running\n") == ""


def test_prompts_of_the_same_length_begin_differently() -> None:
    """Or reused prompts would be measured."""
    made = [words(50, seed) for seed in range(200)]
    assert len({text[:12] for text in made}) == 200 and all(len(text.split()) == 53 for text in made)


@only_long
def test_the_soak_runs_here(tmp_path: Path) -> None:
    """With the built-in model for a moment: answers, some left early, a daemon that lives, memory that comes back."""
    done = subprocess.run(
        [sys.executable, str(HERE / "probe_soak.py"), "--minutes", "0.02"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("starter: ") and "no problem" in done.stdout and "wired" in done.stdout
