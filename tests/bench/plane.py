"""The HTTP plane alone: a daemon whose engine emits at will, and clients that only read.

usage: plane.py [--streams 1000] [--rate 20] [--seconds 10] [--idle 0] [--path openai|ollama]

Every stream gets `rate` tokens a second. Prints what came of them, how late a token was at its client after the engine
had emitted it (percentiles, ms), and what the daemon took of a processor and of memory. The reading process, the daemon
and the engine share the machine's processors.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import psutil

BENCH = Path(__file__).resolve().parent
MOMENT = re.compile(rb'"content": ?"([0-9.]+) ')
PATHS = {"openai": "/v1/chat/completions", "ollama": "/api/chat"}


def daemon(flags: list[str], rate: str) -> None:
    """The daemon with that engine, in this process."""
    from mlx_serve.daemon import main
    from mlx_serve.daemon.residency import residency
    from mlx_serve.daemon.workers.runner import Runner

    engine = (str(BENCH / "plane_engine.py"), rate)
    residency.Runner = SimpleNamespace(spawn=partial(Runner.spawn, engine))  # type: ignore[misc,assignment]
    sys.argv = ["mlx-serve-daemon", *flags]
    main.main()


def request(path: str, tokens: int) -> bytes:
    body = json.dumps(
        {
            "model": "starter",
            "messages": [{"role": "user", "content": "go"}],
            "stream": True,
            "max_tokens": tokens,
            "options": {"num_predict": tokens},
        }
    ).encode()
    return b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        path.encode(),
        len(body),
        body,
    )


def read(port: int, streams: int, tokens: int, path: str, seconds: float) -> list[float]:
    """Open so many streams and read them to their ends; how late each token was, in seconds."""
    late: list[float] = []
    ask = request(path, tokens)
    with selectors.DefaultSelector() as ready:
        for _ in range(streams):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.sendall(ask)
            ready.register(connection, selectors.EVENT_READ)
        until = time.monotonic() + 3 * seconds + 20
        while ready.get_map() and time.monotonic() < until:
            for key, _ in ready.select(1.0):
                connection = key.fileobj  # type: ignore[assignment]
                data = connection.recv(1 << 16)
                now = time.monotonic()
                late += [now - float(moment) for moment in MOMENT.findall(data)]
                if not data or data.endswith(b"0\r\n\r\n"):
                    ready.unregister(connection)
                    connection.close()
    return late


def main() -> None:
    if sys.argv[1:2] == ["--daemon"]:
        daemon(sys.argv[3:], sys.argv[2])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=20)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--idle", type=int, default=0)
    parser.add_argument("--path", choices=PATHS, default="openai")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mlxs-") as folder:
        environ = os.environ | {"MLX_SERVE_HOME": str(Path(folder, "home")), "MLX_SERVE_SERVER_MAX_QUEUE": "4096"}
        environ |= {"MLX_SERVE_ENGINE_MAX_BATCH": "4096", "MLX_SERVE_LOG_LEVEL": "warning"}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        from mlx_serve.store.store import Store

        Store.open(Path(folder, "home", "models")).pull("starter")
        command = [sys.executable, __file__, "--daemon", str(options.rate), "--host", "127.0.0.1", "--port", str(port)]
        with subprocess.Popen(command, env=environ) as process:
            try:
                measure(psutil.Process(process.pid), port, options)
            finally:
                process.terminate()


def measure(process: psutil.Process, port: int, options: argparse.Namespace) -> None:
    for _ in range(200):
        try:
            read(port, 1, 2, PATHS[options.path], 1)
            break
        except OSError:
            time.sleep(0.1)
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(options.idle)]
    tokens = int(options.rate * options.seconds)
    before, began = process.cpu_times(), time.monotonic()
    late = sorted(read(port, options.streams, tokens, PATHS[options.path], options.seconds))
    took, after = time.monotonic() - began, process.cpu_times()
    used = after.user + after.system - before.user - before.system
    at = {share: late[int(share * (len(late) - 1))] * 1e3 for share in (0.5, 0.95, 0.99)} if late else {}
    print(
        json.dumps(
            {
                "streams": options.streams,
                "tokens": len(late),
                "wanted": options.streams * tokens,
                "seconds": round(took, 2),
                "tokens_s": round(len(late) / took),
                "late_ms": {str(share): round(ms, 1) for share, ms in at.items()},
                "daemon_cpu": round(used / took, 2),
                "us_a_token": round(used / max(1, len(late)) * 1e6, 1),
                "daemon_mb": round(process.memory_info().rss / 1e6),
            }
        )
    )
    for connection in idle:
        connection.close()


if __name__ == "__main__":
    main()
