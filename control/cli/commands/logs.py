"""logs: the daemon's log, from the daemon, or from the file when none is running."""

from __future__ import annotations

import sys

from ...log_tail import tail
from ..client import NoDaemon
from ..display.terminal import clean, note
from ..session import Session


def logs(session: Session) -> int:
    options = session.options
    try:
        follow = "&follow=1" if options.follow else ""
        for document in session.client().stream("GET", f"/control/v1/logs?n={options.lines}{follow}"):
            _print(session, document["line"])
    except NoDaemon:
        # The log of a daemon that has died is still of interest.
        try:
            lines, _ = tail(session.target.log, options.lines)
        except FileNotFoundError:
            raise NoDaemon from None
        for line in lines:
            _print(session, line)
        sys.stdout.flush()
        note(f"no daemon is running {session.target}; this is the log of the last one")
    return 0


def _print(session: Session, line: str) -> None:
    if session.json:
        session.print_json({"line": line})
    else:
        print(clean(line), flush=True)
