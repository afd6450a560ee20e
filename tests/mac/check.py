"""`make mac-check`: what only a Mac can show, step by step, with a report to paste into an issue.

usage: check.py [--dry-run] [--only NAME …] [--skip NAME …] [--model NAME] [--minutes N] [--no-questions]
                [--report FILE]
A step that fails does not stop the others; Ctrl-C ends the step that runs. Elsewhere than on macOS the portable steps
run. Status 1 when a step failed.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from mac.report import report  # noqa: E402
from mac.step import Outcome, Result, Step  # noqa: E402
from mac.steps import STEPS  # noqa: E402

Ask = Callable[[str], str]
_LOOK_SECONDS = 0.1


def chosen(steps: Sequence[Step], only: Sequence[str], skip: Sequence[str]) -> list[Step]:
    """Raises ValueError for a name that no step has."""
    names = {step.name for step in steps}
    if unknown := {*only, *skip} - names:
        known = ", ".join(step.name for step in steps)
        raise ValueError(f"no such step: {', '.join(sorted(unknown))}; there are {known}")
    return [step for step in steps if (not only or step.name in only) and step.name not in skip]


def run(step: Step, environ: dict[str, str]) -> Result:
    """In bash, in a process group of its own, which is ended when the step takes too long or the user interrupts."""
    began = time.monotonic()
    with interrupted() as pressed, tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            ["/bin/bash", "-c", step.command],
            cwd=ROOT,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        outcome = wait(process, step.seconds, pressed)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        output.seek(0)
        text = output.read().decode(errors="replace")
    return Result(step, outcome, time.monotonic() - began, text)


def wait(process: subprocess.Popen[bytes], seconds: float, pressed: Event) -> Outcome:
    deadline = time.monotonic() + seconds
    while not pressed.is_set():
        try:
            return Outcome.PASSED if process.wait(_LOOK_SECONDS) == 0 else Outcome.FAILED
        except subprocess.TimeoutExpired:
            if time.monotonic() > deadline:
                return Outcome.HUNG
    return Outcome.INTERRUPTED


@contextmanager
def interrupted() -> Iterator[Event]:
    """Ctrl-C sets the event instead of ending the program, at whatever moment it comes."""
    pressed = Event()
    before = signal.signal(signal.SIGINT, lambda *_: pressed.set())
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def by_hand(step: Step, ask: Ask | None) -> Result:
    if ask is None:
        return Result(step, Outcome.NOT_DONE)
    shown = (f"By hand: {step.command}", f"Expected: {step.expect}", step.question, "(empty: not done) > ")
    answer = ask("\n  " + "\n  ".join(shown)).strip()
    return Result(step, Outcome.ANSWERED if answer else Outcome.NOT_DONE, output=answer)


def perform(step: Step, environ: dict[str, str], ask: Ask | None, *, dry: bool, on_mac: bool) -> Result:
    if dry:
        return Result(step, Outcome.LISTED)
    if not on_mac and not step.portable:
        return Result(step, Outcome.NOT_HERE)
    return by_hand(step, ask) if step.question else run(step, environ)


def about() -> str:
    command = ["git", "log", "-1", "--format=%h %cs"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return f"{platform.platform()}, Python {platform.python_version()}, commit {done.stdout.strip() or 'unknown'}"


def ask_user(text: str) -> str:
    try:
        return input(text)
    except (EOFError, KeyboardInterrupt):
        return ""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make mac-check", description="what only a Mac can show")
    parser.add_argument("--dry-run", action="store_true", help="list every step in the report and run none")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--skip", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--model", default="mlx-community/Qwen3-8B-4bit", help="pulled for the soak and for the speed")
    parser.add_argument("--minutes", type=float, default=10, help="of the soak")
    parser.add_argument("--no-questions", action="store_true", help="leave out what is done by hand")
    parser.add_argument("--report", type=Path, default=Path("mac-check.md"))
    given = parser.parse_args(arguments)
    try:
        steps = chosen(STEPS, given.only, given.skip)
    except ValueError as error:
        parser.error(str(error))
    environ = os.environ | {"PYTHON": sys.executable, "MODEL": given.model, "MINUTES": str(given.minutes)}
    ask = None if given.no_questions or not sys.stdin.isatty() else ask_user
    results: list[Result] = []
    for number, step in enumerate(steps, 1):
        print(f"[{number}/{len(steps)}] {step.title} …", end=" ", flush=True)
        results.append(perform(step, environ, ask, dry=given.dry_run, on_mac=sys.platform == "darwin"))
        print(f"{results[-1].outcome.value} ({results[-1].seconds:.0f} s)")
        given.report.write_text(report(results, about()), encoding="utf-8")
    print(f"\nThe report is in {given.report}; please paste it into an issue.")
    return int(any(result.bad for result in results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
