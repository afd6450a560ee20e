"""pull, quantize: bring a model into the store, make a smaller one of it; with bars."""

from __future__ import annotations

import os
import sys

from .. import quantization as precision
from ..client import DaemonGone
from ..display.progress_bars import Progress
from ..display.tables import size
from ..display.terminal import note
from ..session import Failure, Session
from ..target import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..client import Client

INTERRUPTED = 130
PULL = "/control/v1/pull"
QUANTIZE = "/control/v1/quantize"


def pull(session: Session) -> int:
    options = session.options
    quantized = options.quantize is not None or options.mode is not None
    precision.check(options.mode, options.quantize, options.group_size, "--quantize")
    for flag, given in (("--group-size", options.group_size is not None), ("--keep-source", options.keep_source)):
        if given and not quantized:
            raise UsageError(f"{flag} goes with --quantize")
    body = wanted(
        _source(options.source),
        type=options.type,
        name=options.name,
        revision=options.revision,
        quantize=options.quantize,
        mode=options.mode,
        group_size=options.group_size,
        keep_source=options.keep_source or None,
    )
    return _run(session, PULL, body, "pulled")


def quantize(session: Session) -> int:
    options = session.options
    precision.check(options.mode, options.bits, options.group_size, "--bits")
    body = _given(
        name=options.name,
        bits=options.bits,
        mode=options.mode,
        group_size=options.group_size,
        target=options.target,
    )
    return _run(session, QUANTIZE, body, "made")


def wanted(source: str, **options: Any) -> dict[str, Any]:
    """A pull's body. The user's own token goes along, for the daemon may have been started without it."""
    return _given(source=source, token=os.environ.get("HF_TOKEN", "").strip() or None, **options)


def _given(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _run(session: Session, route: str, body: dict[str, Any], verb: str) -> int:
    client = session.daemon()
    if session.json:
        for document in client.stream("POST", route, body):
            session.print_json(document)
        return 0
    done = fetch(client, body, route)
    print(f"{verb} {done['name']} ({size(done['size'])})")
    return 0


def fetch(client: Client, body: dict[str, Any], route: str = PULL) -> dict[str, Any]:
    """Run one pull or quantization with its progress on stderr; the last line, which names the model."""
    last: dict[str, Any] = {}
    try:
        with Progress(sys.stderr) as progress:
            for last in client.stream("POST", route, body):
                if last.get("status") == "success":
                    return last
                progress.show(last)
            raise DaemonGone("the pull did not end")
    except KeyboardInterrupt:
        if last.get("status") == "quantizing":
            note("stopped; what is quantized so far is not kept")
        else:
            note("stopped; pulling again goes on from here")
        raise SystemExit(INTERRUPTED) from None


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
