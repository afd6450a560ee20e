"""The real daemon as a process, for tests: a home of its own, a free port on the loopback address, real children.

`LiveDaemon` starts and always ends it. Its HTTP calls use a connection each and wait with deadlines only.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import psutil
from support.live_http import Answer, SocketConnection, Streamed, exchange, user
from support.process_use import gone
from support.waiting import GUARD, wait_until

from mlx_serve.control.socket import log_path, socket_path
from mlx_serve.store.ingest.builtin import BUILTINS

T = TypeVar("T")
ORPHANS_SECONDS = 5.0
SPARELESS = Path(__file__).with_name("spareless_daemon.py")

_GAUGE = re.compile(r"^(mlx_serve_\w+(?:\{[^}]*\})?) (\S+)$", re.MULTILINE)


def together(calls: Iterable[Callable[[], T]]) -> list[T]:
    """The results of calls that all run at the same time, in their order."""
    calls = list(calls)
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(4 * GUARD) for future in [pool.submit(call) for call in calls]]


def clean_environment() -> dict[str, str]:
    """This process's environment without settings of a daemon, proxies or tokens that a developer may have; which event
    loop to use is left to MLX_SERVE_LOOP, so that every test can be run on each. Layers are not replayed, which a
    model's process would try first at each load: tests/daemon/engine does that."""
    private = ("MLX_SERVE_", "HF_", "OPENAI_", "OLLAMA_")
    return {"MLX_DISABLE_COMPILE": "1"} | {
        name: value
        for name, value in os.environ.items()
        if name == "MLX_SERVE_LOOP" or (not name.startswith(private) and not name.lower().endswith("_proxy"))
    }


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def _with_owner(name: str) -> str:
    """Listings leave our own owners out."""
    if "/" in name:
        return name
    return f"{'mlx-serve' if name in BUILTINS else 'local'}/{name}"


class LiveDaemon:
    """`models` is copied and becomes its store; settings are named as in the environment, `engine_max_batch=2`.
    `environ`: more of its environment, which the commands get too. `spare`: it keeps a process warm for the next model,
    as it does outside of tests."""

    def __init__(
        self,
        models: Path | None = None,
        *flags: str,
        home: Path | None = None,
        port: int = 0,
        environ: Mapping[str, str] | None = None,
        spare: bool = False,
        **settings: object,
    ) -> None:
        self._command = ["-m", "mlx_serve.daemon.main"] if spare else [str(SPARELESS)]
        # Short, for a Unix socket's path has 103 bytes.
        self._folder = tempfile.TemporaryDirectory(prefix="mlxs-", ignore_cleanup_errors=True)
        self.home = home or Path(self._folder.name, "home")
        self.temporary = Path(self._folder.name, "tmp")
        self.temporary.mkdir()
        self._store(models)
        self._port = port
        self._before = set((self.home / "run").glob("*.sock"))
        self._notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notify = Path(self._folder.name, "notify")
        self._notices.bind(str(notify))
        self.environ = clean_environment() | {
            "MLX_SERVE_HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "NOTIFY_SOCKET": str(notify),
        }
        self.environ |= {f"MLX_SERVE_{name.upper()}": str(value) for name, value in settings.items()}
        self.environ |= environ or {}
        self._complaints = Path(self._folder.name, "stderr")
        self.process = self._launch(["--host", "127.0.0.1", "--port", str(port), *flags])

    def _launch(self, flags: list[str]) -> subprocess.Popen[bytes]:
        with open(self._complaints, "wb") as stderr:
            return subprocess.Popen(
                [sys.executable, *self._command, *flags],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
            )

    def _store(self, models: Path | None) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        if models is not None:
            shutil.copytree(models, self.home / "models", symlinks=True)

    # its life

    @property
    def pid(self) -> int:
        return self.process.pid

    def ready(self) -> LiveDaemon:
        """Wait until it says so. AssertionError with its own words when it ends instead."""
        self._notices.settimeout(0.2)
        deadline = time.monotonic() + GUARD
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(TimeoutError):
                if self._notices.recv(1000).startswith(b"READY=1"):
                    break
        else:
            logged = "".join(path.read_text()[-2000:] for path in (self.home / "logs").glob("*.log"))
            raise AssertionError(f"not up, status {self.process.poll()}: {self.complaints()} {logged}")
        if not self._port:
            (made,) = set((self.home / "run").glob("*.sock")) - self._before
            self._port = int(made.stem)
        return self

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def ended(self, seconds: float = GUARD) -> int:
        """Its exit status."""
        return self.process.wait(seconds)

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.ended()

    def close(self) -> None:
        """End the daemon, and whatever it left behind."""
        family = []
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(self.pid).children(recursive=True)
        deadline = time.monotonic() + GUARD
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                self.process.kill()
            self.signal(signal.SIGTERM)  # the second one means at once
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.3)
        deadline = time.monotonic() + ORPHANS_SECONDS
        # Whoever inherits them may take seconds to ask for their status.
        while (orphans := [one for one in family if not gone(one)]) and time.monotonic() < deadline:
            time.sleep(0.01)
        for orphan in orphans:
            with contextlib.suppress(psutil.NoSuchProcess):
                orphan.kill()
        self._notices.close()
        self._folder.cleanup()

    def __enter__(self) -> LiveDaemon:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # what it leaves on disk

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def socket_path(self) -> Path:
        return socket_path(self.home, self.port)

    def complaints(self) -> str:
        """What it wrote to stderr that is no line of its log."""
        lines = self._complaints.read_text(errors="replace").splitlines()
        return "\n".join(line for line in lines if not line.startswith("{"))

    def log(self, begins: str = "") -> list[str]:
        """The messages of its log that begin so."""
        text = log_path(self.home, self.port).read_text()
        messages = [json.loads(line)["message"] for line in text.splitlines() if line.startswith("{")]
        return [message for message in messages if message.startswith(begins)]

    def logged(self, begins: str, count: int = 1) -> list[str]:
        """The same once there are so many: the thread that writes them may be behind."""
        return wait_until(lambda: found if len(found := self.log(begins)) >= count else None, f"{count} x {begins!r}")

    # its processes

    def children(self) -> list[psutil.Process]:
        """The processes of its models, and the spare."""
        return psutil.Process(self.pid).children()

    def family(self) -> list[psutil.Process]:
        """Its children and all of theirs: a model's child has processes for its prompts."""
        return psutil.Process(self.pid).children(recursive=True)

    def descriptors(self) -> int:
        return psutil.Process(self.pid).num_fds()

    def runners(self) -> dict[str, int]:
        """The process of each loaded model, by the model's name with its owner."""
        rows = self.control("GET", "/ps")["models"]
        return {_with_owner(row["name"]): row["pid"] for row in rows}

    def runner(self, name: str) -> int:
        return self.runners()[name]

    # HTTP

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=2 * GUARD)

    def request(self, method: str, path: str, body: Any = None) -> Answer:
        return exchange(self.connect(), method, path, body)

    def get(self, path: str) -> Answer:
        return self.request("GET", path)

    def post(self, path: str, **body: Any) -> Answer:
        return self.request("POST", path, body)

    def chat(self, model: str, text: str, **more: Any) -> Answer:
        """One whole answer of OpenAI's chat."""
        return self.post("/v1/chat/completions", model=model, messages=[user(text)], **more)

    def complete(self, model: str, prompt: Any, **more: Any) -> Answer:
        return self.post("/v1/completions", model=model, prompt=prompt, **more)

    def stream(self, path: str, **body: Any) -> Streamed:
        connection = self.connect()
        connection.request("POST", path, json.dumps(body | {"stream": True}), {"Content-Type": "application/json"})
        return Streamed(connection)

    def chat_stream(self, model: str, text: str, **more: Any) -> Streamed:
        return self.stream("/v1/chat/completions", model=model, messages=[user(text)], **more)

    def ollama_stream(self, model: str, text: str, **more: Any) -> Streamed:
        return self.stream("/api/chat", model=model, messages=[user(text)], **more)

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """The control API on the Unix socket."""
        answer = exchange(SocketConnection(self.socket_path), method, f"/control/v1{path}", body)
        if answer.status != 200:
            raise AssertionError(f"{method} {path}: {answer.status} {answer.body!r}")
        return answer.json

    def gauge(self, name: str) -> float:
        """A figure of /metrics; 0 when there is none of that name."""
        figures = dict(_GAUGE.findall(self.get("/metrics").body.decode()))
        return float(figures.get(f"mlx_serve_{name}", 0))

    def at_rest(self) -> bool:
        """Nobody holds a model, nobody waits."""
        figures = dict(_GAUGE.findall(self.get("/metrics").body.decode()))
        return float(figures["mlx_serve_queue_running"]) == float(figures["mlx_serve_queue_waiting"]) == 0

    def wait_for_rest(self, seconds: float = GUARD) -> None:
        wait_until(self.at_rest, "no request holds a model", seconds)

    # the command

    def command(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return run_command(*arguments, "--port", str(self.port), environ=self.environ | environ)

    def begin(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        """`mlx-serve ARGUMENTS` under way."""
        return subprocess.Popen(
            [sys.executable, "-m", "mlx_serve", *arguments, "--port", str(self.port)],
            env=self.environ | environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def run_command(*arguments: str, environ: dict[str, str], stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """`mlx-serve ARGUMENTS`, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "mlx_serve", *arguments],
        env=environ,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=2 * GUARD,
        check=False,
    )
