"""pull, quantize: with progress bars."""

from __future__ import annotations

import os
import sys

from ..arguments import quantization
from ..arguments.usage_error import UsageError
from ..client import ConnectionBroken
from ..display.progress_bars import ProgressBars
from ..display.tables import size
from ..display.terminal import note
from ..session import CommandFailed, Session

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
    quantization.check(options.mode, options.quantize, options.group_size, "--quantize")
    for flag, given in (("--group-size", options.group_size is not None), ("--keep-source", options.keep_source)):
        if given and not quantized:
            raise UsageError(f"{flag} needs --quantize or --mode")
    body = pull_body(
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
    quantization.check(options.mode, options.bits, options.group_size, "--bits")
    body = _given(
        name=options.name,
        bits=options.bits,
        mode=options.mode,
        group_size=options.group_size,
        target=options.target,
    )
    return _run(session, QUANTIZE, body, "made")


def pull_body(source: str, **options: Any) -> dict[str, Any]:
    """A pull's request body, with the user's token, because the daemon may have been started without it."""
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
    """Run one pull or quantization with progress on stderr; returns the last line, which names the model."""
    last: dict[str, Any] = {}
    try:
        with ProgressBars(sys.stderr) as progress:
            for last in client.stream("POST", route, body):
                if last.get("status") == "success":
                    return last
                progress.show(last)
            raise ConnectionBroken("the stream ended before the pull did")
    except KeyboardInterrupt:
        if last.get("status") == "quantizing":
            note("stopped; the unfinished quantization is not kept")
        else:
            note("stopped; the next pull resumes from here")
        raise SystemExit(INTERRUPTED) from None


def _source(text: str) -> str:
    """A folder's absolute path, because the daemon runs in another folder; any other source unchanged."""
    path = os.path.expanduser(text)  # noqa: PTH111 (Path would drop the trailing slash, which marks a folder)
    looks_like_path = text.startswith(("/", "./", "../", "~")) or text in (".", "..") or text.endswith("/")
    if os.path.isdir(path):  # noqa: PTH112
        # A bare word that is also the name of a folder means the folder only if that contains a model.
        if looks_like_path or "/" in text or os.path.isfile(os.path.join(path, "config.json")):  # noqa: PTH113, PTH118
            return os.path.abspath(path)  # noqa: PTH100
    elif looks_like_path:
        raise CommandFailed(f"there is no folder {text}", "give a folder with config.json and *.safetensors")
    return text
