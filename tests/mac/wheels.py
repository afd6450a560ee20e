"""Whether every pin of constraints.txt has a wheel for Macs with Apple silicon, and nothing that they need has no pin.

usage: wheels.py [--macos 14 15 26] [--python 3.11 3.12 3.13]
Asks the package index through pip, which installs nothing; needs the network. Status 1 when something is missing.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
LINUX_ONLY = frozenset({"mlx-cpu"})
"""Pins that no Mac installs: its MLX comes with mlx-metal."""
_MISSING = re.compile(r"No matching distribution found for ([\w.-]+)==")


@dataclass(frozen=True)
class Mac:
    """A kind of Mac that we support, as pip names it."""

    macos: int
    python: str

    @property
    def platform(self) -> str:
        return f"macosx_{self.macos}_0_arm64"

    @property
    def markers(self) -> dict[str, str]:
        """What the markers of a requirement are compared with there."""
        return {
            "sys_platform": "darwin",
            "platform_system": "Darwin",
            "platform_machine": "arm64",
            "os_name": "posix",
            "python_version": self.python,
            "python_full_version": f"{self.python}.0",
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
        }


@dataclass
class Outcome:
    mac: Mac
    wheels: dict[str, str] = field(default_factory=dict)
    """The file of each pin that has one."""
    without_wheel: list[str] = field(default_factory=list)
    without_pin: list[str] = field(default_factory=list)
    trouble: str = ""

    def sentence(self) -> str:
        where = f"macOS {self.mac.macos}, Python {self.mac.python}"
        if self.trouble:
            return f"{where}: pip failed: {self.trouble}"
        if not self.without_wheel and not self.without_pin:
            return f"{where}: {len(self.wheels)} pins, each with a wheel; nothing without a pin"
        return f"{where}: no wheel for {self.without_wheel or 'none'}, no pin for {self.without_pin or 'none'}"


def pins(text: str) -> dict[str, str]:
    """Name -> version of a constraints file."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines if line)}


def roots(project: Mapping[str, Any]) -> list[Requirement]:
    """What `make` installs: the project's own dependencies and those of `dev`."""
    extras = project["optional-dependencies"]
    return [Requirement(text) for text in (*project["dependencies"], *extras["dev"])]


def needed(mac: Mac, start: Iterable[Requirement], requires: Mapping[str, Iterable[str]]) -> set[str]:
    """The names that an installation there needs, from each wheel's own list of requirements."""
    found: set[str] = set()
    seen: set[tuple[str, str]] = set()
    waiting = [(requirement, "") for requirement in start]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate(mac.markers | {"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        found.add(name)
        for wanted in ("", *requirement.extras):
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                waiting += [(Requirement(text), wanted) for text in requires.get(name, ())]
    return found


def ask(mac: Mac, wanted: Mapping[str, str]) -> Outcome:
    """What pip would download there. One pin without a wheel is noted, and the rest asked for again."""
    outcome = Outcome(mac)
    left = dict(wanted)
    requires: dict[str, list[str]] = {}
    while left:
        done = subprocess.run(
            [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--no-deps"]
            + ["--disable-pip-version-check", "--only-binary=:all:", "--report", "-", "--target", "/nonexistent"]
            + ["--platform", mac.platform, "--python-version", mac.python, "--implementation", "cp"]
            + [f"{name}=={version}" for name, version in left.items()],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            for item in json.loads(done.stdout)["install"]:
                name = canonicalize_name(item["metadata"]["name"])
                outcome.wheels[name] = item["download_info"]["url"].rpartition("/")[2]
                requires[name] = item["metadata"].get("requires_dist", [])
            break
        missing = {canonicalize_name(name) for name in _MISSING.findall(done.stderr)} & set(left)
        if not missing:
            outcome.trouble = (done.stderr.strip().splitlines() or ["no message"])[-1]
            return outcome
        outcome.without_wheel += sorted(missing)
        for name in missing:
            del left[name]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    outcome.without_pin = sorted(needed(mac, roots(project), requires) - set(wanted))
    return outcome


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="wheels of all pins for Macs with Apple silicon")
    parser.add_argument("--macos", type=int, nargs="+", default=[14, 15, 26])
    parser.add_argument("--python", nargs="+", default=["3.11", "3.12", "3.13"])
    given = parser.parse_args(arguments)
    known = pins((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    wanted = {name: version for name, version in known.items() if name not in LINUX_ONLY}
    macs = [Mac(macos, python) for macos in given.macos for python in given.python]
    with ThreadPoolExecutor(3) as pool:
        outcomes = list(pool.map(lambda mac: ask(mac, wanted), macs))
    for outcome in outcomes:
        print(outcome.sentence())
    return int(any(outcome.trouble or outcome.without_wheel or outcome.without_pin for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
