"""While a model rests, a process of its own finds out what Transformers makes of its tokenizer, once for a machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ..kernels.known_tokenizers import KnownTokenizers

MODULE = "mlx_serve.daemon.engine.tokenize.learn_tokenizer"
POLL_SECONDS = 1.0


class Learning:
    """Called with each rest; gives after how many seconds it wants to be called again, None: not before the next one.
    What fails is told once, and the next load opens the tokenizer as this one did. `known` None: nothing is kept."""

    def __init__(self, folder: Path, known: KnownTokenizers | None) -> None:
        self._folder = folder
        self._known = known
        self._process: subprocess.Popen[str] | None = None

    def __call__(self) -> float | None:
        if self._process is not None:
            return self._ended(self._process)
        if self._known is None:
            return None
        known, self._known = self._known, None
        try:
            if not known.wants(self._folder):
                return None
            self._process = subprocess.Popen(
                [sys.executable, "-m", MODULE, str(self._folder), str(known.root)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        except OSError as error:
            _tell(error.strerror or str(error))
            return None
        return POLL_SECONDS

    def _ended(self, process: subprocess.Popen[str]) -> float | None:
        if process.poll() is None:
            return POLL_SECONDS
        _, said = process.communicate()
        self._process = None
        if process.returncode:
            _tell(said.strip().rpartition("\n")[2] or f"status {process.returncode}")
        return None


def _tell(reason: str) -> None:
    sys.stderr.write(f"learn tokenizer: {' '.join(reason.split())[:300]}\n")
    sys.stderr.flush()
