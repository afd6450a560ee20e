"""Compiles the kernels that a model's process wants, one after the other, at the lowest priority.

It ends, and the compiler with it, when its standard input does: with the model's process, however that ends.
`python -m mlx_serve.daemon.engine.kernels.kernel_process NICE ROOT NAME WANTED`, started as the leader of a session
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from .compiler_call import FASTER
from .kernel_files import KernelFiles

NICE = 19
COMPILER_SECONDS = 300.0
"""After which a compiler hangs: at this priority it may have to wait for others for long."""


def command(files: KernelFiles, wanted: Path) -> list[str]:
    """How the process is started."""
    places = (files.folder.parent, files.folder.name, wanted)
    return [sys.executable, "-m", __spec__.name, str(NICE), *map(str, places)]


def compile_wanted(files: KernelFiles, wanted: Path) -> None:
    """Publish all that is wanted. Raises OSError, subprocess.SubprocessError."""
    for noted in sorted(wanted.glob("*.json")):
        source, library = noted.with_suffix(".cpp"), noted.with_suffix(".so")
        with files.alone():
            if files.read(noted.stem) is None:
                _compile(json.loads(noted.read_text()), source, library)
                files.publish(noted.stem, library.read_bytes())
        for path in (source, library, noted):
            path.unlink(missing_ok=True)


def _compile(flags: list[str], source: Path, library: Path) -> None:
    """Another compiler may go by the name of g++ and not know all of FASTER: then without it."""
    for more in (FASTER, ()):
        try:
            subprocess.run(
                ["g++", *flags, *more, str(source), "-o", str(library)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                check=True,
                timeout=COMPILER_SECONDS,
            )
            return
        except subprocess.CalledProcessError:
            if not more:
                raise


def _reason(error: Exception) -> str:
    match error:
        case subprocess.CalledProcessError():
            lines = error.stderr.decode(errors="replace").splitlines()
            said = next((line for line in lines if "error" in line), lines[0] if lines else "it said nothing")
            ended = f"killed by signal {-error.returncode}" if error.returncode < 0 else f"status {error.returncode}"
            return f"the C++ compiler failed ({ended}): {said}"
        case subprocess.TimeoutExpired():
            return f"the C++ compiler took more than {COMPILER_SECONDS:.0f} s"
        case FileNotFoundError() if error.filename == "g++":
            return "there is no C++ compiler: install g++"
    return f"{type(error).__name__}: {error}"


def _yield_to_others(nice: int) -> None:
    """Where Linux groups processes by session, it weighs a session as a whole, by a niceness of its own (sched(7))."""
    os.nice(nice)
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(nice))


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)


def main() -> int:
    nice, root, name, wanted = sys.argv[1:]
    _yield_to_others(int(nice))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        compile_wanted(KernelFiles(Path(root), name), Path(wanted))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        sys.stdout.write(" ".join(_reason(error).split())[:300])
        return 1
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # the thread waits for the end of the standard input
