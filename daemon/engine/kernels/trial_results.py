"""What was found out of a network by running it, on disk: `<home>/cache/trials/<MLX, machine, C library>/<key>.txt`.

A key is made from all that the results depend on, so that nothing needs to be checked again. Files are whole, private
and bounded as kernels are. The whole may be deleted at any time: then it is found out again.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

import mlx.core as mx

from .kernel_files import KernelFiles, folder_name

_LIBRARIES = ("mlx-lm", "mlx-vlm", "nvidia-cudnn-cu12", "nvidia-cudnn-cu13")


class TrialResults:
    """`root`: where those of this home are."""

    def __init__(self, root: Path) -> None:
        self._files = KernelFiles(root, folder_name(mx.__version__), ".txt")  # type: ignore[attr-defined]

    def read(self, key: str) -> frozenset[str]:
        """The words that were kept; none where there is no whole file."""
        return frozenset((self._files.read(key) or b"").decode().split())

    def keep(self, key: str, words: Iterable[str]) -> None:
        """Where the disk does not take it, or another process is at it, the next load finds it out again."""
        with contextlib.suppress(OSError), self._files.alone(wait=False):
            self._files.publish(key, " ".join(sorted(words)).encode())


def key(facts: Collection[str]) -> str:
    """Of everything that is known of a network in advance, of the libraries' versions and of the engine's own code."""
    digest = hashlib.sha256(_code())
    for fact in (*_versions(), *facts):
        digest.update(hashlib.sha256(fact.encode()).digest())
    return digest.hexdigest()


@cache
def _code() -> bytes:
    """A digest of the engine's own modules that a decode step goes through."""
    engine = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for folder in ("cache", "cpu", "cuda", "kernels", "model", "vision"):
        for path in sorted(engine.joinpath(folder).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.digest()


def _versions() -> list[str]:
    versions = []
    for name in _LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions.append(f"{name} {metadata.version(name)}")
    return versions
