"""Measures a pull from a hub on the loopback address beside the speed of sha256 and of the disk on the same bytes.

usage: pull.py [--gb 5] [--files 1] [--pairs 3] [--folder DIR] [--library] [--json FILE]
Each round hashes the source, writes and syncs as many bytes, and pulls, one after the other; ratios are of one round.
`--library` adds huggingface_hub's own snapshot_download, which checks nothing. Then: what a second pull of the same
model fetches, what one fetches that shares files with it, and the most memory that the daemon ever held.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import servers

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fakes.hub.checkpoints import checkpoint

_BLOCK = 64 << 20
_ROW = 128
_SNAPSHOT = "import sys, huggingface_hub as h; h.snapshot_download(sys.argv[1], cache_dir=sys.argv[2])"


class Hub:
    """The test hub in a process of its own; `sent` counts bytes of files."""

    def __init__(self, folder: Path) -> None:
        main = Path(__file__).resolve().parents[1] / "fakes" / "hub" / "main.py"
        self._process = subprocess.Popen(
            [sys.executable, str(main), "--folder", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.url = self._read()

    def _read(self) -> str:
        if self._process.stdout is None or not (line := self._process.stdout.readline()):
            raise RuntimeError("the hub does not run")
        return line.strip()

    def sent(self) -> int:
        if self._process.stdin is not None:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        return int(self._read())

    def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(30)
        if self._process.stdout is not None:
            self._process.stdout.close()


def make_repositories(folder: Path, size: int, files: int) -> tuple[Path, int]:
    """`bench/large`, and `bench/sharing` that differs from it in a small shard; the bytes that differ."""
    large, sharing = folder / "bench" / "large", folder / "bench" / "sharing"
    shards = checkpoint(*[_ROW] * (files + 1))
    for place in (large, sharing):
        place.mkdir(parents=True)
        for path, content in shards.items():
            (place / path).write_bytes(content)
    names = sorted(path for path in shards if path.endswith(".safetensors"))
    for at, name in enumerate(names[:-1]):
        write_shard(large / name, f"model.layers.{at}.weight", size // files)
        (sharing / name).unlink()
        (sharing / name).hardlink_to(large / name)
    write_shard(large / names[-1], f"model.layers.{files}.weight", 10_000_000)
    write_shard(sharing / names[-1], f"model.layers.{files}.weight", 20_000_000)
    return large, (sharing / names[-1]).stat().st_size


def write_shard(path: Path, tensor: str, size: int) -> None:
    rows = size // _ROW
    header = json.dumps({tensor: {"dtype": "F16", "shape": [rows, 64], "data_offsets": [0, rows * _ROW]}}).encode()
    block, left = os.urandom(min(_BLOCK, rows * _ROW)), rows * _ROW
    with open(path, "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        while left:
            left -= file.write(block[: min(left, len(block))])


def size_of(folder: Path) -> int:
    """What a pull keeps of it."""
    return sum(path.stat().st_size for path in folder.iterdir() if not path.name.startswith("."))


def hash_seconds(folder: Path) -> float:
    began = time.perf_counter()
    for path in folder.iterdir():
        with open(path, "rb") as file:
            hashlib.file_digest(file, "sha256")
    return time.perf_counter() - began


def disk_seconds(place: Path, size: int) -> float:
    """To write so many bytes to a new file and sync it."""
    block, path = os.urandom(8 << 20), place / "disk-speed"
    began = time.perf_counter()
    try:
        with open(path, "wb", buffering=0) as file:
            for _ in range(size // len(block)):
                file.write(block)
            os.fsync(file.fileno())
        return time.perf_counter() - began
    finally:
        path.unlink(missing_ok=True)


def library_seconds(hub: Hub, place: Path) -> float:
    environ = os.environ | {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    cache = place / "library"
    began = time.perf_counter()
    try:
        subprocess.run([sys.executable, "-c", _SNAPSHOT, "bench/large", str(cache)], env=environ, check=True)
        return time.perf_counter() - began
    finally:
        shutil.rmtree(cache, ignore_errors=True)


def pull_seconds(server: servers.Server, source: str) -> float:
    """The command's own cost, a tenth of a second, is in it."""
    began = time.perf_counter()
    servers.command(server, "pull", source)
    return time.perf_counter() - began


def processor_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def peak_memory(pid: int) -> int:
    """Bytes that the process held at most, ever; the present ones where the system keeps no such figure."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    return int(psutil.Process(pid).memory_info().rss)


@contextlib.contextmanager
def workplace(parent: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mlx-serve-bench-pull-", dir=parent) as folder:
        yield Path(folder)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    with workplace(arguments.folder) as place:
        large, difference = make_repositories(place / "hub", int(arguments.gb * 1e9), arguments.files)
        size = size_of(large)
        hub = Hub(place / "hub")
        environ = {
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(place / "hf"),
            "MLX_SERVE_MODELS_DIR": str(place / "models"),
        }
        try:
            with servers.ours(None, environ=environ) as server:
                idle = peak_memory(server.process.pid)
                rounds = [measure_round(server, hub, large, place, size, arguments) for _ in range(arguments.pairs)]
                fetched = {}
                for name, source in (("repeated", "bench/large"), ("sharing", "bench/sharing")):
                    before, seconds = hub.sent(), pull_seconds(server, source)
                    fetched[name] = {"bytes": hub.sent() - before, "seconds": seconds}
                peak = peak_memory(server.process.pid)
        finally:
            hub.close()
    return {
        "bytes": size,
        "rounds": rounds,
        "fetched": fetched,
        "difference": difference,
        "idle_memory": idle,
        "peak_memory": peak,
    }


def measure_round(
    server: servers.Server, hub: Hub, large: Path, place: Path, size: int, arguments: argparse.Namespace
) -> dict[str, float]:
    with contextlib.suppress(RuntimeError):
        servers.command(server, "remove", "bench/large")
    seconds = {"sha256": hash_seconds(large), "disk": disk_seconds(place, size)}
    before, worked = hub.sent(), processor_seconds(server.process.pid)
    seconds["pull"] = pull_seconds(server, "bench/large")
    fetched, worked = hub.sent() - before, processor_seconds(server.process.pid) - worked
    if arguments.library:
        seconds["library"] = library_seconds(hub, place)
    speeds = {name: size / taken / 1e9 for name, taken in seconds.items()}
    ratio = speeds["pull"] / min(speeds["sha256"], speeds["disk"])
    return speeds | {"fetched": fetched, "ratio": ratio, "processor": worked / size * 1e9}


def show(result: dict[str, Any]) -> None:
    rounds = result["rounds"]
    print(f"{result['bytes'] / 1e9:.2f} GB, {len(rounds)} rounds, medians in GB/s")
    for name in ("sha256", "disk", "pull", "library"):
        if name in rounds[0]:
            print(f"  {name:8} {statistics.median(each[name] for each in rounds):6.2f}")
    ratios = sorted(each["ratio"] for each in rounds)
    print(f"pull / slower of sha256 and disk: {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    worked = statistics.median(each["processor"] for each in rounds)
    hashed = 1 / statistics.median(each["sha256"] for each in rounds)
    print(f"the daemon works {worked:.2f} s for a GB, {hashed:.2f} s of it for sha256; {os.cpu_count()} processors")
    for name, each in result["fetched"].items():
        print(f"{name} pull: {each['bytes']} bytes fetched in {each['seconds']:.2f} s")
    print(f"(the sharing model differs by {result['difference']} bytes of weights)")
    print(f"daemon: {result['idle_memory'] / 1e6:.0f} MB before, {result['peak_memory'] / 1e6:.0f} MB at most")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gb", type=float, default=5.0, help="size of the model in GB")
    parser.add_argument("--files", type=int, default=1, help="in so many large files")
    parser.add_argument("--pairs", type=int, default=3, help="rounds")
    parser.add_argument("--folder", type=Path, help="on the disk to measure; needs four times the size")
    parser.add_argument("--library", action="store_true", help="measure huggingface_hub's own download too")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    result = measure(arguments)
    show(result)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
