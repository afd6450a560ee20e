"""pytest under Mac-like conditions, for `make test-mac-like`: `run.py [ARGUMENTS OF PYTEST]`.

Besides what `mac_like_conditions` does in every process: TMPDIR is as long as macOS' own and lies behind a symbolic
link, as /var does there, and a process may have 256 files open until it asks for more.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
OPEN_FILES = 256
"""What launchd gives a program at first."""


def make_temporary(base: Path) -> Path:
    """Like /var/folders/zz/zyxvpxvq6csfxvn_n0000000000000/T, where /var is a link to /private/var."""
    (base / "private/var/folders/zz/zyxvpxvq6csfxvn_n0000000000000/T").mkdir(parents=True)
    (base / "var").symlink_to("private/var")
    return base / "var/folders/zz/zyxvpxvq6csfxvn_n0000000000000/T"


def surroundings(temporary: Path) -> dict[str, str]:
    paths = [str(HERE), str(ROOT / "packaging" / "python"), os.environ.get("PYTHONPATH", "")]
    return os.environ | {
        "MLX_SERVE_MAC_LIKE": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "TMPDIR": str(temporary),
    }


def main(arguments: list[str]) -> int:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, hard))
    base = Path(tempfile.mkdtemp(prefix="mac-"))
    try:
        command = [sys.executable, "-m", "pytest", "-p", "mac_like_plugin", *arguments]
        return subprocess.run(command, env=surroundings(make_temporary(base)), cwd=ROOT, check=False).returncode
    finally:
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
