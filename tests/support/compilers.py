"""Programs named g++ that compile nothing, and the calls that MLX makes of one."""

from __future__ import annotations

import os
from pathlib import Path

FLAGS = ("-O3", "-shared", "-I", "/usr/share/a folder")
COPIES = 'cp "$source" "$library"'
"""Its library is the source."""


def compiler(folder: Path, body: str) -> str:
    """Make `folder` hold a g++ that runs this shell code, in which `$source` and `$library` are the paths and
    `$arguments` everything; a PATH with it in front."""
    folder.mkdir(exist_ok=True)
    take = 'arguments="$*"; while [ "$#" -gt 3 ]; do shift; done\nsource=$1 library=$3\n'
    (folder / "g++").write_text(f"#!/bin/sh\n{take}{body}\n")
    (folder / "g++").chmod(0o700)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def call(folder: Path, name: str, text: str) -> list[str]:
    """What follows g++ for a source of this text."""
    source = folder / f"tmp_{name}.cpp"
    source.write_text(text)
    return [*FLAGS, str(source), "-o", str(folder / f"tmp_{name}.so")]
