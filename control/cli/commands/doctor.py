"""doctor: what could be wrong on this machine, each with its remedy."""

from __future__ import annotations

import sys

from .... import __version__
from ..display.terminal import clean, colours
from ..doctor.examination import examine
from ..doctor.finding import Finding
from ..session import Session
from ..target import DEFAULT_PORT, SettingsError, Target, home

_COLOURS = {"ok": "32", "note": "36", "warning": "33", "problem": "31"}
_WIDEST = max(map(len, _COLOURS))


def doctor(session: Session) -> int:
    """Exit status 1 when there is a problem; warnings alone leave it at 0."""
    findings = examine(_target(session), __version__)
    counts = {level: sum(finding.level == level for finding in findings) for level in _COLOURS}
    if session.json:
        rows = [
            {"level": each.level, "subject": each.subject, "text": each.text, "remedy": each.remedy}
            for each in findings
        ]
        session.print_json({"version": __version__, "findings": rows, "counts": counts})
        return 1 if counts["problem"] else 0
    for finding in findings:
        _show(finding)
    print(f"\n{_count(counts['problem'], 'problem')}, {_count(counts['warning'], 'warning')}")
    return 1 if counts["problem"] else 0


def _target(session: Session) -> Target:
    """Settings that are refused are one of the findings, so they must not end the command."""
    try:
        return session.target
    except SettingsError:
        return Target(home(), session.options.port or DEFAULT_PORT)


def _show(finding: Finding) -> None:
    level = finding.level.ljust(_WIDEST)
    if colours(sys.stdout):
        level = f"\x1b[{_COLOURS[finding.level]}m{level}\x1b[0m"
    print(f"{level}  {finding.subject}: {clean(finding.text)}")
    if finding.remedy:
        print(f"{' ' * _WIDEST}  -> {clean(finding.remedy)}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
