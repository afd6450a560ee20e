"""What Transformers makes of tokenizers, on disk: `<home>/cache/tokenizers/<Transformers, tokenizers>/<key>.json`.

A key is made of the content of all files beside the weights, so that nothing needs to be checked again. Files are
whole, private and bounded as kernels are, some KB each. The whole may be deleted at any time: then it is found out
again.
"""

from __future__ import annotations

import contextlib
import hashlib
from importlib import metadata
from pathlib import Path

from .kernel_files import KernelFiles

LEAST_BYTES = 1 << 20
"""Of a tokenizer.json: a smaller one is opened at once by Transformers too."""

_FORM = 1
_ENDINGS = frozenset((".json", ".jinja", ".model", ".txt", ".tiktoken"))
_INDEX = ".index.json"


class KnownTokenizers:
    """`root`: where those of this home are."""

    def __init__(self, root: Path) -> None:
        self.root = root
        versions = "+".join(metadata.version(name) for name in ("transformers", "tokenizers"))
        self._files = KernelFiles(root, f"{versions}+{_FORM}", ".json")

    def read(self, folder: Path) -> bytes | None:
        """What was kept of this folder's tokenizer; None where it is small or nothing is kept."""
        return self._files.read(key(folder)) if large(folder) else None

    def keep(self, folder: Path, facts: bytes) -> None:
        """Raises OSError."""
        with self._files.alone():
            self._files.publish(key(folder), facts)

    def wants(self, folder: Path) -> bool:
        """Whether it should be found out."""
        return large(folder) and self._files.read(key(folder)) is None


def large(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        return (folder / "tokenizer.json").stat().st_size >= LEAST_BYTES
    return False


def key(folder: Path) -> str:
    """Of the content of every file that a tokenizer may be read from. Raises OSError."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in _ENDINGS and not path.name.endswith(_INDEX) and path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(folder)} {content}\n".encode())
    return digest.hexdigest()
