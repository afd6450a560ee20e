"""`make mac-check` as far as Linux can show it: each step is listed, a failing one stops none, the report is whole."""

from __future__ import annotations

import getpass
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from mac import check
from mac.report import private, report
from mac.step import Outcome, Result, Step
from mac.steps import STEPS
from support.waiting import GUARD, wait_until

SCRIPT = Path(check.__file__)
HERE = Path(__file__).parent


def step(command: str, **more: object) -> Step:
    return Step("name", "A title", command, "something", **more)  # type: ignore[arg-type]


def test_a_dry_run_lists_every_step_and_runs_none(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--dry-run", "--report", str(tmp_path / "report.md")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "report.md").read_text()
    for each in STEPS:
        assert f"| {each.title} | listed | 0 |" in text and each.command in text and each.expect in text
    assert len(done.stdout.splitlines()) == len(STEPS) + 2


def test_every_step_says_what_it_does_and_has_a_command_that_bash_can_read() -> None:
    """Portable sh is what bash 3.2 reads: dash and bash parse each, and no word of a later bash is in it."""
    assert len({each.name for each in STEPS}) == len(STEPS)
    for each in STEPS:
        assert each.title and each.expect and each.command and each.seconds > 0
        for shell in filter(shutil.which, ("bash", "dash")):
            subprocess.run([shell, "-n", "-c", each.command], check=True)
        assert not any(word in each.command for word in ("declare -A", "mapfile", "<(", "|&", "&>>", "${MAKE,,", "[["))


@pytest.mark.parametrize("probe", [each.name for each in HERE.glob("probe_*.py")])
def test_every_probe_belongs_to_a_step_and_can_be_started_by_itself(probe: str) -> None:
    assert any(f"tests/mac/{probe}" in each.command for each in STEPS)
    code = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='not main')"
    subprocess.run([sys.executable, "-c", code, str(HERE / probe)], check=True, cwd=HERE.parents[1])


def test_a_step_that_fails_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = (
        Step("bad", "Bad", "echo before; exit 3", "no end", portable=True),
        Step("mac", "Mac", "exit 3", "is not run here"),
        Step("good", "Good", "echo $MODEL", "the model's name", portable=True),
    )
    monkeypatch.setattr(check, "STEPS", steps)
    monkeypatch.setattr(sys, "platform", "linux")
    path = tmp_path / "report.md"
    assert check.main(["--report", str(path), "--model", "acme/a", "--no-questions"]) == 1
    text = path.read_text()
    assert "| Bad | failed | 0 |" in text and "| Mac | needs macOS | 0 |" in text and "| Good | passed | 0 |" in text
    assert "acme/a" in text and "before" in text
    assert check.main(["--report", str(path), "--only", "good"]) == 0
    assert "Bad" not in path.read_text()


def test_a_step_that_takes_too_long_is_ended_with_what_it_started() -> None:
    result = check.run(step("sleep 3600 & echo $!; wait", seconds=0.5), {})
    assert result.outcome is Outcome.HUNG and result.bad
    left = int(result.output)
    wait_until(lambda: not psutil.pid_exists(left) or psutil.Process(left).status() == "zombie", "sleep has ended")


def test_ctrl_c_ends_the_step_only(tmp_path: Path) -> None:
    """The user presses it in the terminal, and the next step runs."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from mac import check; from mac.step import Step\n"
        "check.STEPS = (Step('a', 'Long', f'touch {sys.argv[2]}; sleep 3600', '', 3600, True),\n"
        " Step('b', 'Next', 'true', '', 60, True))\n"
        "sys.exit(check.main(['--report', sys.argv[3]]))"
    )
    begun = tmp_path / "begun"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(HERE.parent), str(begun), str(tmp_path / "report.md")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as process:
        wait_until(begun.exists, "the first step runs")
        process.send_signal(signal.SIGINT)
        assert process.wait(GUARD) == 0
    text = (tmp_path / "report.md").read_text()
    assert "| Long | interrupted |" in text and "| Next | passed |" in text


def test_a_step_by_hand_asks_and_its_answer_is_in_the_report() -> None:
    asked: list[str] = []

    def ask(text: str) -> str:
        asked.append(text)
        return " it asked "

    by_hand = step("pmset sleepnow", question="What did you see?")
    result = check.perform(by_hand, {}, ask, dry=False, on_mac=True)
    assert (result.outcome, result.output) == (Outcome.ANSWERED, "it asked")
    assert "pmset sleepnow" in asked[0] and "What did you see?" in asked[0]
    assert check.perform(by_hand, {}, None, dry=False, on_mac=True).outcome is Outcome.NOT_DONE
    assert check.perform(by_hand, {}, lambda _: "", dry=False, on_mac=True).outcome is Outcome.NOT_DONE


def test_an_unknown_step_is_refused_with_the_names(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        check.main(["--only", "soap"])
    assert ended.value.code == 2
    assert "no such step: soap; there are machine, " in capsys.readouterr().err


def test_the_report_can_be_pasted() -> None:
    """No name of the user, no colours, a fence that holds, and of a long output the end."""
    hostile = "\x1b[31mred\x1b[0m ```` " + str(Path.home() / "x") + f" by {getpass.getuser()}\n" + "y" * 9000 + "\nend"
    text = report([Result(step("true"), Outcome.PASSED, 1.2, hostile)], "a machine")
    assert "\x1b" not in text and "yyy\nend" in text and len(text) < 6000
    assert text.startswith("# mlx-serve on a Mac\n\na machine\n\n1 passed\n")
    said = private(hostile)
    assert said.startswith("red ```` ~/x by USER\n") and str(Path.home()) not in said
    fenced = report([Result(step("true"), Outcome.PASSED, 0, "```` inside")], "")
    assert "\n`````\n```` inside\n`````\n" in fenced


def test_what_a_step_prints_goes_nowhere_else(capfd: pytest.CaptureFixture[str]) -> None:
    began = threading.active_count()
    result = check.run(step("echo out; echo err >&2; read line; echo $?"), {"PATH": "/usr/bin:/bin"})
    assert (result.outcome, result.output.split()) == (Outcome.PASSED, ["out", "err", "1"])
    assert capfd.readouterr() == ("", "") and threading.active_count() == began
    assert result.seconds < GUARD and time.monotonic() > 0
