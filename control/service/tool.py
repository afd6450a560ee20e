"""Runs a service manager's command, for a limited time."""

from __future__ import annotations

from dataclasses import dataclass

from .service_error import ServiceError

QUICK_SECONDS = 20.0
START_SECONDS = 100.0
STOP_SECONDS = 3700.0
"""Running requests may take as long as `server.drain_seconds` allows, an hour at most."""


@dataclass(frozen=True)
class Outcome:
    code: int
    output: str
    error: str

    @property
    def last(self) -> str:
        """The first line of what it printed as an error, else of its output."""
        lines = [line.strip() for line in (self.error or self.output).splitlines() if line.strip()]
        return lines[0] if lines else f"exit status {self.code}"


def call(program: str, *arguments: str, seconds: float = QUICK_SECONDS) -> Outcome:
    """Raises ServiceError where the program is missing or does not end in time."""
    import os
    import subprocess

    # Its messages are read, so they must be the untranslated ones.
    environment = {**os.environ, "LC_ALL": "C", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}
    try:
        done = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment,
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError:
        raise ServiceError(
            f"there is no {program} on PATH, so this system has no services that mlx-serve can install",
            "run the daemon with: mlx-serve start",
        ) from None
    except subprocess.TimeoutExpired:
        words = " ".join((program, *arguments))
        raise ServiceError(
            f"`{words}` did not end within {seconds:.0f} s", "run it by hand, and see what it waits for"
        ) from None
    return Outcome(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def sentence(text: str) -> str | None:
    """The last line that is an error of the command or of the daemon, without its name."""
    lines = [line for line in text.splitlines() if line.startswith("mlx-serve: ")]
    return lines[-1].removeprefix("mlx-serve: ") if lines else None
