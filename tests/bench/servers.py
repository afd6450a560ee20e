"""Starts and stops the servers to measure: our daemon in a temporary home, and mlx_lm.server, on free local ports."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import openblas

START_SECONDS = 120.0
STOP_SECONDS = 20.0
KERNEL_SECONDS = 180.0
MODEL = "local/bench"


@dataclass(frozen=True)
class Server:
    """A running server: `name` for tables, `model` for requests. `home` is our daemon's home folder."""

    name: str
    url: str
    port: int
    model: str
    process: subprocess.Popen[bytes]
    home: Path | None = None
    ready_seconds: float = 0.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def halted(server: Server) -> Iterator[None]:
    """Keep mlx_lm.server from running for a while: idle, it polls its queue and uses some 4 % of a core."""
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


def command(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the mlx-serve command against our daemon. Raises RuntimeError with what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "mlx_serve", *arguments, "--port", str(server.port)],
        env=os.environ | {"MLX_SERVE_HOME": str(server.home), "MLX_SERVE_NO_AUTOSTART": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"mlx-serve {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
    return done


def processor_seconds(server: Server) -> dict[str, float]:
    """Of the server's process, of prompt processes, and of all others below it, so far; nothing but on Linux."""
    ticks, parents, seconds, kinds = os.sysconf("SC_CLK_TCK"), {}, {}, {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            parents[int(path.name)] = int(fields[1])
            seconds[int(path.name)] = (int(fields[11]) + int(fields[12])) / ticks
            kinds[int(path.name)] = "prompts" if b"engine.prompt" in (path / "cmdline").read_bytes() else "models"
    found: dict[str, float] = {}
    for pid in seconds:
        above = pid
        while above in parents and above != server.process.pid:
            above = parents[above]
        if above == server.process.pid:
            kind = "server" if pid == above else kinds[pid]
            found[kind] = found.get(kind, 0.0) + seconds[pid]
    return found


def rested(server: Server) -> str:
    """Wait until our daemon's model, on a CPU, has the kernels that it wants; gives what it has said of them, so that a
    figure tells what it was measured with. An earlier version says nothing."""
    if server.home is None or " cpu" not in command(server, "ps").stdout:
        return "nothing to compile"
    began = time.monotonic()
    while time.monotonic() - began < KERNEL_SECONDS:
        lines = [line for path in server.home.glob("logs/*.log") for line in path.read_text("utf-8").splitlines()]
        said = [line for line in lines if "fuse decode steps" in line or "compile kernels" in line]
        if said:
            return str(json.loads(said[-1])["message"])
        time.sleep(0.2)
    return f"no word of kernels in {KERNEL_SECONDS:.0f} s"


@contextlib.contextmanager
def ours(
    folder: Path | None,
    *,
    max_batch: int = 32,
    environ: dict[str, str] | None = None,
    tree: Path | None = None,
    home: str | None = None,
) -> Iterator[Server]:
    """Our daemon, with the checkpoint pulled into its store; nothing is pulled when `folder` is None. `tree`: the
    daemon of another checkout. `home`: its home folder, which stays; None: one of its own."""
    with contextlib.nullcontext(home) if home else tempfile.TemporaryDirectory(prefix="mlx-serve-bench-") as home:
        port = free_port()
        settings = {
            "MLX_SERVE_HOME": home,
            "MLX_SERVE_ENGINE_MAX_BATCH": str(max_batch),
            "MLX_SERVE_SERVER_MAX_QUEUE": "1024",
        }
        arguments = [sys.executable, "-m", "mlx_serve.daemon.main", "--host", "127.0.0.1", "--port", str(port)]
        everything = os.environ | settings | (environ or {})
        if tree is not None:
            paths = [str(tree.resolve() / "packaging" / "python"), os.environ.get("PYTHONPATH", "")]
            everything |= {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
        name = "mlx-serve" if tree is None else tree.resolve().name
        with _running(name, arguments, port, "/healthz", everything, home) as server:
            if folder is not None:
                command(server, "pull", str(folder), "--name", MODEL)
            yield server


@contextlib.contextmanager
def peer(folder: Path, *, max_batch: int = 32) -> Iterator[Server]:
    """mlx_lm.server on the same checkpoint, with OpenBLAS where our own children would load it."""
    port = free_port()
    arguments = [sys.executable, "-m", "mlx_lm", "server", "--model", str(folder), "--port", str(port)]
    arguments += ["--log-level", "WARNING", "--decode-concurrency", str(max_batch)]
    with _running("mlx_lm.server", arguments, port, "/v1/models", openblas.environment(), None, str(folder)) as server:
        yield server


@contextlib.contextmanager
def vision_peer(folder: Path) -> Iterator[Server]:
    """mlx_vlm.server on the same checkpoint, as `peer`."""
    port = free_port()
    arguments = [sys.executable, "-m", "mlx_vlm", "server", "--model", str(folder), "--port", str(port)]
    arguments += ["--host", "127.0.0.1"]
    environ = openblas.environment() | {"HF_HUB_OFFLINE": "1"}
    with _running("mlx_vlm.server", arguments, port, "/health", environ, None, str(folder)) as server:
        yield server


@contextlib.contextmanager
def _running(
    name: str,
    arguments: list[str],
    port: int,
    path: str,
    environ: dict[str, str],
    home: str | None,
    model: str = MODEL,
) -> Iterator[Server]:
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(arguments, env=environ, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            _wait(name, url + path, process, output)
            ready = time.perf_counter() - started
            yield Server(name, url, port, model, process, Path(home) if home else None, ready)
        finally:
            _stop(process)


def _wait(name: str, url: str, process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            output.seek(0)
            said = output.read().decode(errors="replace")[-2000:]
            raise RuntimeError(f"{name} ended with status {process.returncode}: {said}")
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.01)
    raise RuntimeError(f"{name} does not answer at {url}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
