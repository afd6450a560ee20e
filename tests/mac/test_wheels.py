"""Which wheels and pins a Mac needs, from requirements as wheels state them."""

from __future__ import annotations

import tomllib

from mac.wheels import LINUX_ONLY, ROOT, Mac, Outcome, needed, pins, roots
from packaging.requirements import Requirement

MAC = Mac(15, "3.12")
REQUIRES = {
    "mlx": ["mlx-metal==0.32.4; sys_platform == 'darwin'", "mlx-cpu; extra == 'cpu'"],
    "sanic": ["uvloop>=0.21; sys_platform != 'win32'", "aiofiles", "pytest; extra == 'test'"],
    "httpx2": ["idna; python_version < '3.12'", "H11>=0.16"],
}


def test_what_is_needed_is_found_through_markers_and_extras() -> None:
    start = [
        Requirement(text) for text in ("mlx; sys_platform == 'darwin'", "mlx[cpu]; sys_platform == 'linux'", "sanic")
    ]
    assert needed(MAC, start, REQUIRES) == {"mlx", "mlx-metal", "sanic", "uvloop", "aiofiles"}
    assert needed(MAC, [Requirement("sanic[test]")], REQUIRES) == {"sanic", "uvloop", "aiofiles", "pytest"}
    assert needed(MAC, [Requirement("httpx2")], REQUIRES) == {"httpx2", "h11"}
    assert needed(Mac(15, "3.11"), [Requirement("httpx2")], REQUIRES) == {"httpx2", "h11", "idna"}


def test_what_is_wrong_is_said() -> None:
    assert (
        Outcome(MAC, {"a": "a.whl"}).sentence()
        == "macOS 15, Python 3.12: 1 pins, each with a wheel; nothing without a pin"
    )
    outcome = Outcome(MAC, {}, ["b"], ["c"])
    assert outcome.sentence() == "macOS 15, Python 3.12: no wheel for ['b'], no pin for ['c']"
    assert MAC.platform == "macosx_15_0_arm64"


def test_the_projects_own_requirements_have_pins() -> None:
    """All that pyproject.toml names, and nothing but MLX's part for CPUs is left out for Macs."""
    known = pins((ROOT / "constraints.txt").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = needed(MAC, roots(project), {})
    assert len(wanted) > 20 and wanted <= set(known)
    assert set(known) >= LINUX_ONLY and not LINUX_ONLY & wanted
