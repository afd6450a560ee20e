"""The HTTP plane alone: a daemon whose engine emits at will, and clients that only read.

usage: plane.py [--streams 1000] [--rate 20] [--burst 1] [--seconds 10] [--idle 0] [--path openai|ollama]

Every stream gets `rate` tokens a second, `burst` of them at once. Prints what came of them, in how many records, how
late a token was after the engine had emitted it (percentiles, ms), and what the daemon took of a processor and of
memory. `late_ms` is what a client sees: until the reading process has the token in hand. `arrived_ms` is until the
kernel had it in the client's socket, by its own clock: what is between the two is the reader's lateness. It is taken on
Linux only. The reading process, the daemon and the engine share the machine's processors; `others_cpu` is what all
other programs took of one meanwhile. `steady` is of the tokens that came while all streams were under way (false: one
ended before another began); before, the daemon takes in all requests at once.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import selectors
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import psutil

BENCH = Path(__file__).resolve().parent
MOMENT = re.compile(rb"([0-9]+[.][0-9]{4}) ")
RECORD = re.compile(rb'"content": ?"[0-9]')
STAMPS = 35 if sys.platform == "linux" else None  # SO_TIMESTAMPNS and SCM_TIMESTAMPNS of Linux
PATHS = {"openai": "/v1/chat/completions", "ollama": "/api/chat"}


@dataclass
class Read:
    """How late each token was at the reader and in its socket, in seconds; how many records they came in. `all_there`
    and `one_gone`: how many tokens had come, and what `spent` said, when every stream had begun and when one ended."""

    late: list[float] = field(default_factory=list)
    arrived: list[float] = field(default_factory=list)
    records: int = 0
    all_there: tuple[int, float] = (0, 0.0)
    one_gone: tuple[int, float] = (0, 0.0)


def daemon(flags: list[str], rate: str, burst: str) -> None:
    """The daemon with that engine, in this process."""
    from mlx_serve.daemon import main
    from mlx_serve.daemon.residency import residency
    from mlx_serve.daemon.workers.runner import Runner

    engine = (str(BENCH / "plane_engine.py"), rate, burst)
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


def read(port: int, streams: int, tokens: int, path: str, seconds: float, spent: Callable[[], float]) -> Read:
    """Open so many streams at once and read them to their ends. `spent`: seconds of the daemon's processor so far."""
    came = Read()
    begun: set[int] = set()
    ask = request(path, tokens)
    ahead = time.time() - time.monotonic()
    with selectors.DefaultSelector() as ready:
        for _ in range(streams):
            connection = socket.create_connection(("127.0.0.1", port))
            if STAMPS is not None:
                connection.setsockopt(socket.SOL_SOCKET, STAMPS, 1)
            ready.register(connection, selectors.EVENT_READ)
        for key in ready.get_map().values():
            key.fileobj.sendall(ask)  # type: ignore[union-attr]
        until = time.monotonic() + 3 * seconds + 20
        while ready.get_map() and time.monotonic() < until:
            for key, _ in ready.select(1.0):
                connection = key.fileobj  # type: ignore[assignment]
                data, told, _, _ = connection.recvmsg(1 << 16, 64)
                now = time.monotonic()
                moments = [float(moment) for moment in MOMENT.findall(data)]
                came.late += [now - moment for moment in moments]
                if moments and len(begun) < streams:
                    begun.add(key.fd)
                    if len(begun) == streams:
                        came.all_there = len(came.late), spent()
                came.records += len(RECORD.findall(data))
                if told:
                    seconds_in, nanoseconds = struct.unpack("ll", told[0][2])
                    in_socket = seconds_in + nanoseconds / 1e9 - ahead
                    came.arrived += [in_socket - moment for moment in moments]
                if not data or data.endswith(b"0\r\n\r\n"):
                    if came.one_gone == (0, 0.0):
                        came.one_gone = len(came.late), spent()
                    ready.unregister(connection)
                    connection.close()
    return came


def main() -> None:
    if sys.argv[1:2] == ["--daemon"]:
        daemon(sys.argv[4:], *sys.argv[2:4])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=20)
    parser.add_argument("--burst", type=int, default=1)
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
        command = [sys.executable, __file__, "--daemon", str(options.rate), str(options.burst)]
        command += ["--host", "127.0.0.1", "--port", str(port)]
        with subprocess.Popen(command, env=environ) as process:
            try:
                measure(psutil.Process(process.pid), port, options)
            finally:
                process.terminate()


def shares(seconds: list[float]) -> dict[str, float]:
    """Percentiles in milliseconds."""
    ordered = sorted(seconds)
    return {str(at): round(ordered[int(at * (len(ordered) - 1))] * 1e3, 1) for at in (0.5, 0.95, 0.99) if ordered}


def spent(process: psutil.Process) -> tuple[float, float, float, float]:
    """Seconds of a processor so far: the daemon's, ours, its children's, and everybody's."""
    every = psutil.cpu_times()
    seconds = [sum(one.cpu_times()[:2]) for one in (process, psutil.Process())]
    engines = sum(sum(one.cpu_times()[:2]) for one in process.children())
    return seconds[0], seconds[1], engines, every.user + every.system + every.nice


def measure(process: psutil.Process, port: int, options: argparse.Namespace) -> None:
    for _ in range(200):
        try:
            read(port, 1, 2, PATHS[options.path], 1, lambda: 0.0)
            break
        except OSError:
            time.sleep(0.1)
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(options.idle)]
    tokens = int(options.rate * options.seconds)
    before, began = spent(process), time.monotonic()
    came = read(port, options.streams, tokens, PATHS[options.path], options.seconds, lambda: spent(process)[0])
    took = time.monotonic() - began
    used, own, engines, busy = (now - then for now, then in zip(spent(process), before, strict=True))
    count = max(1, len(came.late))
    (first, then), (last, after) = came.all_there, came.one_gone
    print(
        json.dumps(
            {
                "streams": options.streams,
                "tokens": len(came.late),
                "wanted": options.streams * tokens,
                "seconds": round(took, 2),
                "tokens_s": round(len(came.late) / took),
                "records": came.records,
                "late_ms": shares(came.late),
                "arrived_ms": shares(came.arrived),
                "steady": last > first
                and {
                    "late_ms": shares(came.late[first:last]),
                    "arrived_ms": shares(came.arrived[first:last]),
                    "us_a_token": round((after - then) / (last - first) * 1e6, 1),
                },
                "daemon_cpu": round(used / took, 2),
                "us_a_token": round(used / count * 1e6, 1),
                "reader_us_a_token": round(own / count * 1e6, 1),
                "others_cpu": round(max(0.0, busy - used - own - engines) / took, 2),
                "daemon_mb": round(process.memory_info().rss / 1e6),
            }
        )
    )
    for connection in idle:
        connection.close()


if __name__ == "__main__":
    main()
