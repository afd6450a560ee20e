"""The report of a check, in Markdown, to paste into an issue."""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Sequence
from pathlib import Path

from mac.step import Outcome, Result

LONGEST = 4000
"""Characters of one step's output, its end."""
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


def private(text: str) -> str:
    """Without the user's name, home and host, and without escape sequences."""
    text = _CONTROL.sub("", text).replace(str(Path.home()), "~")
    for word, instead in ((getpass.getuser(), "USER"), (socket.gethostname(), "HOST")):
        text = re.sub(rf"(?<![\w-]){re.escape(word)}(?![\w-])", instead, text)
    return text


def report(results: Sequence[Result], about: str) -> str:
    counts = [(outcome, sum(result.outcome is outcome for result in results)) for outcome in Outcome]
    lines = ["# mlx-serve on a Mac", "", private(about), ""]
    lines += [", ".join(f"{count} {outcome.value}" for outcome, count in counts if count), ""]
    lines += ["| step | outcome | seconds |", "| --- | --- | --- |"]
    lines += [f"| {each.step.title} | {each.outcome.value} | {each.seconds:.0f} |" for each in results]
    for result in results:
        lines += ["", *_details(result)]
    return "\n".join(lines) + "\n"


def _details(result: Result) -> list[str]:
    step = result.step
    lines = [f"## {step.title}: {result.outcome.value}", "", f"Expected: {step.expect}.", ""]
    lines += _fenced(step.command, "sh")
    if step.question:
        lines += ["", step.question]
    output = private(result.output).strip()
    if output:
        cut = f"[…] {output[-LONGEST:]}" if len(output) > LONGEST else output
        lines += ["", *_fenced(cut, "")]
    return lines


def _fenced(text: str, language: str) -> list[str]:
    """A fence longer than any in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", text, fence]
