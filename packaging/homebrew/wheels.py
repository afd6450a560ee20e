"""The wheels that the formula installs, from constraints.txt: name, version, address and digest for each macOS.

Asks the package index through pip, which installs nothing. What a Mac needs follows from the wheels' own requirements.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from mac.wheels import LINUX_ONLY, ROOT, Mac, needed, pins

MACOS = (14, 15, 26)
PYTHON = "3.13"
_FILES = "https://files.pythonhosted.org"


@dataclass(frozen=True)
class Wheel:
    """One file of the package index."""

    name: str
    version: str
    url: str
    sha256: str


def wheels(macos: int) -> dict[str, Wheel]:
    """By name, what an installation without extras takes there. Exits with pip's words where it fails."""
    mac = Mac(macos, PYTHON)
    known = pins((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    wanted = [f"{name}=={version}" for name, version in known.items() if name not in LINUX_ONLY]
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--no-deps"]
    command += ["--disable-pip-version-check", "--only-binary=:all:", "--report", "-", "--target", "/nonexistent"]
    command += ["--platform", mac.platform, "--python-version", PYTHON, "--implementation", "cp", *wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"pip found no wheels for macOS {macos}:\n{done.stderr}")
    found: dict[str, Wheel] = {}
    requires: dict[str, list[str]] = {}
    for item in json.loads(done.stdout)["install"]:
        about, source = item["metadata"], item["download_info"]
        name = canonicalize_name(about["name"])
        digest = source["archive_info"]["hashes"]["sha256"]
        found[name] = Wheel(name, about["version"], canonical(source["url"]), digest)
        requires[name] = about.get("requires_dist", [])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = needed(mac, [Requirement(text) for text in project["dependencies"]], requires)
    if missing := sorted(names - set(found)):
        sys.exit(f"constraints.txt has no pin for {', '.join(missing)}, which a Mac needs")
    return {name: found[name] for name in sorted(names)}


def canonical(url: str) -> str:
    """PyPI's own address of a file, whichever mirror named it. A mirror that keeps PyPI's paths, `/packages/ab/cd/…`,
    only has another host; for others, PyPI leads on from the address made of tag, initial and name."""
    path = urlsplit(url).path
    parts = path.partition("/packages/")[2].split("/")
    if len(parts) == 4 and [len(part) for part in parts[:3]] == [2, 2, 60]:
        return f"{_FILES}/packages/{'/'.join(parts)}"
    file = path.rpartition("/")[2]
    name, _, _, tags = parse_wheel_filename(file)
    interpreters = ".".join(sorted({tag.interpreter for tag in tags}))
    return f"{_FILES}/packages/{interpreters}/{name[0]}/{name}/{file}"


def by_macos() -> tuple[dict[str, Wheel], Mapping[int, dict[str, Wheel]]]:
    """The wheels that are the same on every macOS, and those that are not."""
    every = {macos: wheels(macos) for macos in MACOS}
    first = every[MACOS[0]]
    same = {name: wheel for name, wheel in first.items() if all(each.get(name) == wheel for each in every.values())}
    return same, {
        macos: {name: wheel for name, wheel in found.items() if name not in same} for macos, found in every.items()
    }
