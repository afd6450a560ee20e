"""What `make test-mac-like` runs under is what macOS is like: its names as typeshed has them, in every process."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent / "mac_like"
sys.path.insert(0, str(HERE))

from mac_like_names import PATTERNS, is_absent  # noqa: E402
from run import make_temporary, surroundings  # noqa: E402

PYTHONS = ((3, 11), (3, 12), (3, 13))
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="on macOS it is macOS")


class Platform:
    def __init__(self, platform: str, version: tuple[int, int]) -> None:
        self.platform, self.version_info = platform, version


def defined(body: list[ast.stmt], system: Platform) -> set[str]:
    """The names that a stub defines on a system."""
    found: set[str] = set()
    for node in body:
        if isinstance(node, ast.If):
            code: Any = compile(ast.Expression(node.test), "stub", "eval")
            found |= defined(node.body if eval(code, {"sys": system, "TYPE_CHECKING": True}) else node.orelse, system)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.ImportFrom):
            found |= {each.asname or each.name for each in node.names}
    return {name for name in found if not name.startswith("_")}


@pytest.mark.parametrize("module", [name for name in PATTERNS if name != "_signal"])
def test_names_that_are_removed_are_those_that_typeshed_has_for_linux_only(module: str) -> None:
    stubs = Path(str(find_spec("mypy").origin)).parent / "typeshed" / "stdlib"  # type: ignore[union-attr]
    path = next(path for path in (stubs / f"{module}.pyi", stubs / module / "__init__.pyi") if path.exists())
    body = ast.parse(path.read_text()).body
    known, absent = set[str](), set[str]()
    for version in PYTHONS:
        linux, macos = (defined(body, Platform(name, version)) for name in ("linux", "darwin"))
        known |= linux | macos
        absent |= linux - macos
    assert {name for name in known if is_absent(module, name)} == absent


CHECK = """
import os, selectors, signal, socket, subprocess, sys, tempfile
from pathlib import Path

def refused(what, error, text):
    try:
        what()
    except error as problem:
        assert text in str(problem), problem
    else:
        raise AssertionError(text)

for each in ("pidfd_open", "sched_getaffinity", "memfd_create", "posix_fallocate"):
    assert not hasattr(os, each), each
assert not hasattr(signal, "SIGRTMIN") and not hasattr(socket, "SO_PEERCRED")
assert selectors.DefaultSelector is selectors.PollSelector
refused(lambda: open("/proc/self/stat"), FileNotFoundError, "as on macOS")
refused(lambda: os.listdir("/proc/self/fd"), FileNotFoundError, "as on macOS")
assert not Path("/proc").exists() and not os.access("/dev/full", os.F_OK) and Path("/process").exists() is False
folder = tempfile.mkdtemp(dir="/tmp")
path = os.path.join(folder, "s" * (103 - len(folder) - 1))
with socket.socket(socket.AF_UNIX) as fits:
    fits.bind(path)
with socket.socket(socket.AF_UNIX) as long:
    refused(lambda: long.bind(path + "s"), OSError, "AF_UNIX path too long")
    refused(lambda: long.connect(path + "s"), OSError, "AF_UNIX path too long")
with socket.socket() as other:
    refused(lambda: other.bind(("127.0.0.2", 0)), OSError, "127.0.0.2")
refused(os.fork, RuntimeError, "fork without exec")
assert len(tempfile.gettempdir()) > 60 and os.path.realpath(tempfile.gettempdir()) != tempfile.gettempdir()
import psutil
assert psutil.Process().memory_info().rss > 0
from mlx_serve.daemon.engine.prompt.memory_bound import resident
assert resident(os.getpid()) > 0, "a branch for Linux may look where Linux has it"
if sys.argv[1] == "parent":
    subprocess.run([sys.executable, __file__, "child"], check=True)
print("checked", sys.argv[1])
"""


def test_a_process_and_its_children_meet_what_they_would_meet_on_macos(tmp_path: Path) -> None:
    script = tmp_path / "check.py"
    script.write_text(CHECK)
    base = tmp_path / "base"
    base.mkdir()
    done = subprocess.run(
        [sys.executable, str(script), "parent"],
        env=surroundings(make_temporary(base)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "checked child\nchecked parent\n"


def test_a_run_without_the_conditions_does_not_begin(tmp_path: Path) -> None:
    """Else it would pass and show nothing."""
    path = os.pathsep.join((str(tmp_path), str(HERE)))
    (tmp_path / "sitecustomize.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "mac_like_plugin", str(HERE)],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4 and "make test-mac-like" in done.stderr
