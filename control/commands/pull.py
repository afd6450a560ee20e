"""pull: bring a model into the store, with bars."""

from __future__ import annotations

import os
import sys

from ..client import DaemonGone
from ..progress import Progress
from ..session import Failure, Session
from ..tables import size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..client import Client


def pull(session: Session) -> int:
    options = session.options
    wanted = {"type": options.type, "name": options.name, "revision": options.revision}
    body = {"source": _source(options.source), **{key: value for key, value in wanted.items() if value is not None}}
    client = session.daemon()
    if session.json:
        for document in client.stream("POST", "/control/v1/pull", body):
            session.print_json(document)
        return 0
    done = fetch(client, body)
    print(f"pulled {done['name']} ({size(done['size'])})")
    return 0


def fetch(client: Client, body: dict[str, Any]) -> dict[str, Any]:
    """Run one pull with its progress on stderr; the last line, which names the model."""
    progress = Progress(sys.stderr)
    last: dict[str, Any] = {}
    try:
        for last in client.stream("POST", "/control/v1/pull", body):
            if last.get("status") != "success":
                progress.show(last)
    finally:
        progress.close()
    if last.get("status") != "success":
        raise DaemonGone("the pull did not end")
    return last


def _source(text: str) -> str:
    """A folder's absolute path, for the daemon runs elsewhere; any other source as it is."""
    path = os.path.expanduser(text)  # noqa: PTH111 (Path would take the trailing slash away, which says "folder")
    looks_like_path = text.startswith(("/", "./", "../", "~")) or text in (".", "..") or text.endswith("/")
    if os.path.isdir(path):  # noqa: PTH112
        # A bare word that is also a folder here means the folder only when a model lies in it.
        if looks_like_path or "/" in text or os.path.isfile(os.path.join(path, "config.json")):  # noqa: PTH113, PTH118
            return os.path.abspath(path)  # noqa: PTH100
    elif looks_like_path:
        raise Failure(f"there is no folder {text}", "give a folder with config.json and *.safetensors in it")
    return text
