"""The real daemon, which begins no warm spare: most tests load a model once, and its imports keep a processor busy for
more than a second. Run with a daemon's flags."""

from __future__ import annotations

import sys
from typing import Any

sys.path.pop(0)  # this folder: its modules are those of the tests alone

from mlx_serve.daemon import main


def without_spare(settings: Any, started: float) -> Any:
    context = main.compose(settings, started)
    context.residency.start = nothing
    context.residency._slots.prepare_spare = lambda: None
    return context


async def nothing() -> None:
    """In place of beginning a spare at once; a model that is loaded begins its own process."""


if __name__ == "__main__":
    sys.exit(main.main(sys.argv[1:], make=without_spare))
