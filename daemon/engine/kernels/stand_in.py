"""What MLX finds as `g++` in the process of a model: it hands over kernels that are compiled already, and notes others.

So no step ever waits for a compiler: for a kernel that is missing, the call fails at once and MLX raises RuntimeError.
`python -m mlx_serve.daemon.engine.kernels.stand_in ROOT NAME WANTED FLAGS… SOURCE -o LIBRARY`
"""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import sys
from pathlib import Path

from .compiler_call import CompilerCall
from .kernel_files import KernelFiles

SECONDS = 10
"""After which it is ended, for the model waits: as where the home's disk does not answer."""
_SCRIPT = """#!/bin/sh
[ "$1" = --version ] && exit 0
exec {command} "$@"
"""


def install(folder: Path, files: KernelFiles, wanted: Path) -> None:
    """Put a `g++` into `folder`, which then is the PATH. Into `wanted` it notes what is missing. Raises OSError."""
    command = [sys.executable, "-m", __spec__.name, str(files.folder.parent), files.folder.name, str(wanted)]
    path = folder / "g++"
    path.write_text(_SCRIPT.format(command=shlex.join(command)))
    path.chmod(0o700)


def main() -> int:
    signal.alarm(SECONDS)
    root, name, wanted = sys.argv[1:4]
    call = CompilerCall.parse(sys.argv[4:])
    key = call.key()
    library = KernelFiles(Path(root), name).read(key)
    if library is not None:
        call.library.write_bytes(library)
        return 0
    shutil.copyfile(call.source, Path(wanted, f"{key}.cpp"))
    Path(wanted, f"{key}.json").write_text(json.dumps(call.flags))
    return 1


if __name__ == "__main__":
    sys.exit(main())
