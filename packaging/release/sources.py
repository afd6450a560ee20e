"""What a release is made from: the tracked files, in a folder of their own, with nothing of this machine about them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_BUILT = ("build", "dist", "packaging/python/mlx_serve.egg-info")


def epoch() -> int:
    """Seconds since 1970 that every file of the release has: SOURCE_DATE_EPOCH, else the last commit's time
    (https://reproducible-builds.org/specs/source-date-epoch/)."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    if (ROOT / ".git").exists():
        command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return int((ROOT / "pyproject.toml").stat().st_mtime)  # an unpacked sdist


def copy(target: Path, seconds: int) -> None:
    """Links stay links; modes are 755 and 644 whatever they are here."""
    for name in tracked():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        source = ROOT / name
        if source.is_symlink():
            path.symlink_to(source.readlink())
            continue
        shutil.copyfile(source, path)
        path.chmod(0o755 if os.access(source, os.X_OK) else 0o644)
        os.utime(path, (seconds, seconds))


def tracked() -> list[str]:
    """Sorted, by their paths from the root."""
    if (ROOT / ".git").exists():
        command = ["git", "-C", str(ROOT), "ls-files", "-z", "--", ":!tests", ":!docs"]
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
        return sorted(name for name in found if name and (ROOT / name).exists())
    return sorted(_walk())


def _walk() -> list[str]:
    """Of a folder without git."""
    found = []
    for folder, folders, files in os.walk(ROOT):
        here = Path(folder).relative_to(ROOT)
        folders[:] = [
            each
            for each in folders
            if each != "__pycache__" and not each.startswith(".") and str(here / each) not in _BUILT
        ]
        found += [str(here / each) for each in files]
    return found
