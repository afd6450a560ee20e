"""verify, gc: the store's own health."""

from __future__ import annotations

import sys

from ..progress import Progress
from ..session import Session
from ..tables import size
from ..terminal import note

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def verify(session: Session) -> int:
    """Exit status 1 when a file is not what it was."""
    name = session.options.name
    stream = session.daemon().stream("POST", "/control/v1/verify", {} if name is None else {"name": name})
    progress = None if session.json else Progress(sys.stderr)
    last: dict[str, Any] = {}
    bad = []
    for last in stream:
        if progress is None:
            session.print_json(last)
        elif last["status"] != "done":
            # Bytes count over the whole run: one bar.
            progress.show({**last, "path": "files"})
            if not last.get("ok", True):
                bad.append(last)
    if progress is not None:
        progress.close()
        for each in bad:
            print(f"{each.get('name') or 'unnamed'}: {each.get('path')}: {each.get('problem')}")
        print(f"{_files(last.get('files', 0))} checked, {last.get('bad', 0)} bad")
        if bad:
            note("pull the damaged models again")
    return 1 if last.get("bad") else 0


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"


def gc(session: Session) -> int:
    done = session.daemon().post("/control/v1/gc", {"dry_run": bool(session.options.dry_run)})
    if session.json:
        session.print_json(done)
        return 0
    verb = "would free" if done["dry_run"] else "freed"
    partials = done["partials"]
    also = f" and {_files(partials)} of unfinished pulls" if partials else ""
    print(f"{verb} {size(done['bytes'])} in {_files(done['blobs'])}{also}")
    return 0
