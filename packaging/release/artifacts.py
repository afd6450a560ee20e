"""Builds the sdist and the wheel: `python packaging/release/artifacts.py FOLDER`. The same sources give the same bytes.

The wheel has the times of SOURCE_DATE_EPOCH by setuptools itself; the sdist is packed again with them, for setuptools
writes the times, owners and order of the disk into it.
"""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import sources


def build(target: Path) -> list[Path]:
    """The files that were made. The manual page and the completions are made on the way."""
    target.mkdir(parents=True, exist_ok=True)
    os.umask(0o022)
    seconds = sources.epoch()
    with tempfile.TemporaryDirectory(prefix="mlx-serve-release-") as folder:
        tree, made = Path(folder, "tree"), Path(folder, "made")
        sources.copy(tree, seconds)
        environment = os.environ | {
            "SOURCE_DATE_EPOCH": str(seconds),
            "PIP_CONSTRAINT": str(tree / "constraints.txt"),  # the build's own setuptools
            "PYTHONHASHSEED": "0",
        }
        for words in (
            ["packaging/man/page.py", "packaging/man/mlx-serve.1"],
            ["packaging/completion/scripts.py", "packaging/completion"],
            ["-m", "build", "--outdir", str(made), "."],
        ):
            done = subprocess.run(
                [sys.executable, *words],
                cwd=tree,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                sys.exit(f"{words[-1]} could not be made:\n{done.stdout}")
        (sdist,) = made.glob("*.tar.gz")
        sdist.write_bytes(repacked(sdist.read_bytes(), seconds))
        return [Path(path.replace(target / path.name)) for path in sorted(made.iterdir())]


def repacked(content: bytes, seconds: int) -> bytes:
    """The same files in order, of nobody, at one time."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(content)) as old, tarfile.open(fileobj=packed, mode="w") as new:
        for member in sorted(old.getmembers(), key=lambda each: each.name):
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mtime = seconds
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            new.addfile(member, old.extractfile(member) if member.isreg() else None)
    return gzip.compress(packed.getvalue(), 9, mtime=seconds)


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: artifacts.py FOLDER", file=sys.stderr)
        return 2
    for path in build(Path(arguments[0])):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
