"""Measures how light the daemon is: the command's cost, the time to be ready, memory and processor time when idle.

usage: cli.py [--pairs 20] [--idle-seconds 10] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import servers


def seconds(arguments: list[str], environ: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(arguments, env=environ, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    return time.perf_counter() - started


def list_cost(server: servers.Server, pairs: int) -> dict[str, float]:
    """`mlx-serve list` beside a bare interpreter, in alternation; medians in milliseconds."""
    script = Path(sys.executable).with_name("mlx-serve")
    command = [str(script)] if script.exists() else [sys.executable, "-m", "mlx_serve"]
    environ = os.environ | {"MLX_SERVE_HOME": str(server.home), "MLX_SERVE_NO_AUTOSTART": "1"}
    listing, bare = [*command, "list", "--port", str(server.port)], [sys.executable, "-c", "pass"]
    runs = [(seconds(listing, environ), seconds(bare, environ)) for _ in range(pairs + 1)][1:]
    listed, passed = (statistics.median(run[part] for run in runs) * 1e3 for part in (0, 1))
    beyond = statistics.median(one - other for one, other in runs) * 1e3
    return {"list_ms": round(listed, 1), "python_pass_ms": round(passed, 1), "beyond_ms": round(beyond, 1)}


def start_cost() -> dict[str, float]:
    """`mlx-serve start` in a fresh home, from the call to its return, when the daemon is ready."""
    with tempfile.TemporaryDirectory(prefix="mlx-serve-bench-") as home:
        port = str(servers.free_port())
        environ = os.environ | {"MLX_SERVE_HOME": home}
        command = [sys.executable, "-m", "mlx_serve"]
        try:
            took = seconds([*command, "start", "--host", "127.0.0.1", "--port", port], environ)
        finally:
            subprocess.run([*command, "stop", "--force", "--port", port], env=environ, capture_output=True, check=False)
    return {"start_ms": round(took * 1e3, 1)}


def idle_cost(server: servers.Server, wait: float) -> dict[str, Any]:
    """Memory in MB and processor time, of the daemon itself and of its children (the warm spare)."""
    daemon = psutil.Process(server.process.pid)
    processes = [daemon, *daemon.children(recursive=True)]
    before = [sum(process.cpu_times()[:2]) for process in processes]
    time.sleep(wait)
    used = [sum(process.cpu_times()[:2]) - first for process, first in zip(processes, before, strict=True)]
    memory = [process.memory_info().rss / 1e6 for process in processes]
    return {
        "daemon_rss_mb": round(memory[0], 1),
        "children_rss_mb": [round(size, 1) for size in memory[1:]],
        "daemon_cpu_seconds": round(used[0], 3),
        "children_cpu_seconds": [round(time, 3) for time in used[1:]],
        "idle_seconds": wait,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--idle-seconds", type=float, default=10.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with servers.ours(None) as server:
        time.sleep(5)  # the warm spare finishes its imports
        result: dict[str, Any] = {"first_answer_ms": round(server.ready_seconds * 1e3, 1)}
        result |= list_cost(server, arguments.pairs)
        result |= idle_cost(server, arguments.idle_seconds)
    result |= start_cost()
    print(f"mlx-serve list:        {result['list_ms']} ms, {result['beyond_ms']} ms beyond python -c pass (goal: 80)")
    print(f"daemon ready:          {result['first_answer_ms']} ms after the process was started (goal: 1000)")
    print(f"mlx-serve start:       {result['start_ms']} ms until it returned")
    print(f"idle daemon:           {result['daemon_rss_mb']} MB (goal: 60), children {result['children_rss_mb']} MB")
    print(
        f"idle for {result['idle_seconds']:.0f} s:         {result['daemon_cpu_seconds']} s of processor time, "
        f"children {result['children_cpu_seconds']} s"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
