"""Whether Time Machine leaves the store's weights out, and only these. macOS only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mac.trial import Trial


def main() -> int:
    with Trial() as trial:
        trial.pull("starter")
        paths = [trial.home / "models" / name for name in ("blobs", "partial", "refs")]
        done = subprocess.run(["tmutil", "isexcluded", *map(str, paths)], capture_output=True, text=True, check=False)
    print(done.stdout + done.stderr)
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("[")]
    marks = [line[0] for line in lines]
    return int(done.returncode != 0 or marks[:2] != ["[Excluded]", "[Excluded]"] or marks[2:] == ["[Excluded]"])


if __name__ == "__main__":
    sys.exit(main())
