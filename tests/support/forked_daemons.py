"""Starts the real daemon in a tenth of a second: one process imports everything, and every daemon is a fork of it.

For tests that start it hundreds of times. The children of such a daemon are real as well, except that no warm spare is
begun, for that would keep a processor busy all the time. Run as a script without arguments it is the process that
forks: a JSON line asks for something on stdin, one answers on stdout. Run with a daemon's flags it is one such daemon:
so it is started where a fork has to be followed by exec.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.forking import MAY_FORK
from support.live_daemon import LiveDaemon

JOB = "TEST_JOB"
"""In a daemon's environment: the script that takes the place of the job which quantizes."""
SYNCS = "TEST_SYNCS"
"""In a daemon's environment: "no" leaves the syncs out. What a process has written survives its death without them."""
PING = "TEST_PING_SECONDS"
"""In a daemon's environment: how soon a stream says that it is alive."""


class ForkedProcess:
    """A forked daemon; what LiveDaemon uses of a Popen."""

    def __init__(self, forks: ForkedDaemons, pid: int) -> None:
        self._forks = forks
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._forks.ask({"poll": self.pid})
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"daemon {self.pid}", timeout or 0.0)
            time.sleep(0.002)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkedDaemons:
    """`with ForkedDaemons() as forks: forks.daemon(home=…)`."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        if MAY_FORK:
            self._process = subprocess.Popen(
                [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )

    def daemon(self, *flags: str, **options: Any) -> LiveDaemon:
        """Started, perhaps not ready yet."""
        forks = self

        class Forked(LiveDaemon):
            def _launch(self, flags: list[str]) -> Any:
                if forks._process is None:
                    return spawn(flags, self.environ, self._complaints)
                order = {"flags": flags, "environ": self.environ, "output": str(self._complaints)}
                return ForkedProcess(forks, forks.ask(order))

        return Forked(None, *flags, **options)

    def ask(self, order: dict[str, Any]) -> Any:
        if self._process is None or self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("the process that forks has no pipes")
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def __enter__(self) -> ForkedDaemons:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(10)
        if self._process.stdout is not None:
            self._process.stdout.close()


def spawn(flags: list[str], environ: dict[str, str], output: Path) -> subprocess.Popen[bytes]:
    """The same daemon as a process that imports everything itself."""
    with open(output, "wb") as written:
        return subprocess.Popen(
            [sys.executable, __file__, *flags],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=written,
            start_new_session=True,
        )


def fork(flags: list[str], environ: dict[str, str], output: str) -> int:
    """The pid of a new daemon."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setsid()
        os.environ.clear()
        os.environ.update(environ)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        written = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(written, 1)
        os.dup2(written, 2)
        code = main.main(flags, make=without_spare)
    finally:
        os._exit(code)


def without_spare(settings: Any, started: float) -> Any:
    context = main.compose(settings, started)
    context.residency.start = nothing
    if job := os.environ.get(JOB):
        context.quantizing._command = (job,)
    if os.environ.get(SYNCS) == "no":
        os.fsync = os.fdatasync = os.fstat  # type: ignore[assignment]
    if seconds := os.environ.get(PING):
        stream.PING_SECONDS = float(seconds)
    return context


async def nothing() -> None:
    """In place of beginning a spare at once; the first model begins one."""


def poll(pid: int) -> int | None:
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def run() -> None:
    # What a daemon does once for its first pull: reading mlx_vlm's list of models, and everybody's certificates.
    for kind in ("llm", "vlm"):
        architectures.known("llama", kind)
    get_session()
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(poll(order["poll"]) if "poll" in order else fork(**order)), flush=True)


if __name__ == "__main__":
    import prometheus_client  # noqa: F401
    from huggingface_hub import get_session

    from mlx_serve.control.server import api  # noqa: F401
    from mlx_serve.daemon import drain, main, notify  # noqa: F401
    from mlx_serve.daemon.http import app as http  # noqa: F401
    from mlx_serve.daemon.residency import residency  # noqa: F401
    from mlx_serve.handlers import routes, stream  # noqa: F401
    from mlx_serve.store import store  # noqa: F401
    from mlx_serve.store.hub import hub_library  # noqa: F401
    from mlx_serve.store.ingest import hub_pull  # noqa: F401
    from mlx_serve.store.inspect import architectures

    with contextlib.suppress(ImportError):
        import uvloop  # noqa: F401

    if sys.argv[1:]:
        sys.exit(main.main(sys.argv[1:], make=without_spare))
    run()
