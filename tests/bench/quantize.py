"""Quantizing beside `mlx_lm.convert`: time and peak memory on the same checkpoint, in pairs, each in a new process.

Ours is everything that `mlx-serve quantize` makes the daemon do: the job's process, the hashes, and the files synced
into a store. mlx-lm's is its `convert` with the same settings and the same low priority. Both count their imports.

usage: quantize.py [FOLDER] [--shape 0.6b] [--dtype bfloat16] [--bits 4] [--group-size 64] [--mode affine] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
NICE = 10

CONVERT = """
import sys, resource, warnings
resource.setrlimit = lambda *_: None
warnings.simplefilter("ignore")
from mlx_lm.convert import convert
source, target, bits, group_size, mode = sys.argv[1:]
convert(source, target, quantize=True, q_bits=int(bits), q_group_size=int(group_size), q_mode=mode)
"""
COMPARE = """
import glob, sys, mlx.core as mx
def weights(folder):
    return {k: v for f in glob.glob(folder + "/*.safetensors") for k, v in mx.load(f).items()}
a, b = weights(sys.argv[1]), weights(sys.argv[2])
same = a.keys() == b.keys() and all(
    a[k].dtype == b[k].dtype and a[k].shape == b[k].shape
    and mx.array_equal(a.pop(k).reshape(-1).view(mx.uint8), b.pop(k).reshape(-1).view(mx.uint8)).item() for k in list(a)
)
print("yes" if same else "NO")
"""


@dataclass(frozen=True)
class Run:
    """Seconds from start to end, and the largest process's peak of resident memory in bytes."""

    seconds: float
    memory: int


def run(command: Sequence[str]) -> Run:
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=_step_back
    ) as child:
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"{command[0]} failed with status {child.returncode}")
    return Run(time.perf_counter() - began, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))


def _step_back() -> None:
    os.nice(NICE)


async def ours(models: Path, arguments: argparse.Namespace) -> None:
    """In a process of its own, with the result in a store; prints what the job's process took."""
    from mlx_serve.daemon.tasks.quantizing import QuantizeOrder, Quantizer
    from mlx_serve.store.store import Store

    store = Store.open(models)
    order = QuantizeOrder("bench/model", arguments.bits, arguments.group_size, arguments.mode, "bench/result")
    await Quantizer(None, store).run(order, lambda _: None)  # type: ignore[arg-type]
    usage = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    (models / "job.json").write_text(json.dumps({"memory": usage}))


def compare(folder: Path, arguments: argparse.Namespace, scratch: Path) -> None:
    from mlx_serve.daemon.tasks.quantizing import check
    from mlx_serve.store.store import Store

    settings = check(arguments.bits, arguments.group_size, arguments.mode)
    arguments.bits, arguments.group_size = settings.bits, settings.group_size
    options = ("--bits", str(settings.bits), "--group-size", str(settings.group_size), "--mode", settings.mode)
    models = scratch / "models"
    store = Store.open(models)
    source = store.pull_folder(folder, name="bench/model", kind="llm")
    weights = sum(layer.size for layer in source.manifest.layers if layer.path.endswith(".safetensors"))
    print(f"{source.manifest.architecture}, {weights / 1e6:.0f} MB of weights, {settings.bits} bits, groups of "
          f"{settings.group_size}, {settings.mode}; {os.cpu_count()} cores")  # fmt: skip
    theirs: list[Run] = []
    mine: list[Run] = []

    def convert() -> None:
        shutil.rmtree(scratch / "theirs", ignore_errors=True)
        how = (str(settings.bits), str(settings.group_size), settings.mode)
        theirs.append(run(["-c", CONVERT, str(store.view(source)), str(scratch / "theirs"), *how]))

    def serve() -> None:
        if mine:
            store.remove("bench/result")
        whole = run([str(HERE / "quantize.py"), str(folder), "--ours", str(models), *options])
        job = json.loads((models / "job.json").read_text())["memory"]
        mine.append(Run(whole.seconds, max(whole.memory, job)))

    for number in range(arguments.rounds):
        for one in (convert, serve) if number % 2 == 0 else (serve, convert):
            one()
        left, right = mine[-1], theirs[-1]
        print(f"  mlx-serve {left.seconds:6.1f} s {left.memory / 1e6:6.0f} MB    mlx_lm.convert {right.seconds:6.1f} s "
              f"{right.memory / 1e6:6.0f} MB    ratio {left.seconds / right.seconds:.2f}", flush=True)  # fmt: skip
    ratio = statistics.median(a.seconds / b.seconds for a, b in zip(mine, theirs, strict=True))
    print(f"median ratio of times {ratio:.2f}, of memory "
          f"{max(one.memory for one in mine) / max(one.memory for one in theirs):.2f}")  # fmt: skip
    view = store.view(store.find("bench/result"))
    same = subprocess.run(
        [sys.executable, "-c", COMPARE, str(view), str(scratch / "theirs")], capture_output=True, text=True, check=True
    )
    print(f"the same bits: {same.stdout.strip()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="a checkpoint in full precision; made when left out")
    parser.add_argument("--shape", default="0.6b")
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float16", "float32"))
    parser.add_argument("--bits", type=int)
    parser.add_argument("--group-size", type=int)
    parser.add_argument("--mode", default="affine")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scratch", type=Path, help="where the files go; twice the checkpoint and the results")
    parser.add_argument("--ours", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ours:
        asyncio.run(ours(arguments.ours, arguments))
        return
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
        folder = arguments.folder
        if folder is None:
            folder = Path(scratch) / "source"
            made = [str(HERE / "make_model.py"), str(folder), arguments.shape, "--dtype", arguments.dtype]
            subprocess.run([sys.executable, *made], check=True, stdout=subprocess.DEVNULL)
        compare(folder, arguments, Path(scratch))


if __name__ == "__main__":
    main()
