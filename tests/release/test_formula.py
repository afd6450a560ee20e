"""The Homebrew formula: what its script writes, with the wheels of constraints.txt from PyPI."""

from __future__ import annotations

import hashlib
import importlib
import re
import shutil
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mac.wheels import pins

ROOT = Path(__file__).parents[2]
FORMULA = ROOT / "packaging" / "homebrew" / "mlx-serve.rb"
RESOURCE = re.compile(r'resource "([^"]+)" do\s+url "([^"]+)", using: :nounzip\s+sha256 "([^"]*)"\s+end')


@pytest.fixture(scope="module")
def scripts() -> Iterator[Any]:
    before = list(sys.path)
    sys.path.insert(0, str(FORMULA.parent))
    names = ("wheels", "formula")
    yield types.SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    sys.path[:] = before
    for name in names:
        del sys.modules[name]


@pytest.fixture(scope="module")
def text() -> str:
    return FORMULA.read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("ruby") is None, reason="ruby is not installed")
def test_ruby_reads_it() -> None:
    """Syntax, with every warning."""
    done = subprocess.run(["ruby", "-wc", str(FORMULA)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Syntax OK\n", "")


def test_all_but_the_wheels_is_what_the_script_writes(scripts: Any, text: str) -> None:
    """So that nothing edited by hand is lost by the next `make formula`."""
    first, last = text.index("  resource "), text.index("\n  # MLX comes as its makers' wheels")
    written = scripts.formula.written(**scripts.formula.release(text), resources="  resource @@")
    at = written.index("  resource @@")
    assert text[:first] == written[:at] and written[at:].startswith("  resource @@")
    assert text[last:] == written[at:].removeprefix("  resource @@")


def test_every_wheel_is_the_pinned_one_by_pypis_own_address(text: str) -> None:
    """No mirror's; and a digest each. Those that differ by macOS are there for each of the three."""
    known = pins((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    found = RESOURCE.findall(text)
    assert len(found) == text.count("resource ") > 60
    for name, url, digest in found:
        assert re.fullmatch(r"https://files\.pythonhosted\.org/packages/[^/]+/[^/]+/[^/]+/[^/]+\.whl", url), url
        assert re.fullmatch(r"[0-9a-f]{64}", digest), name
        file = url.rpartition("/")[2]
        assert file.split("-")[1] == known[name], f"{name}: run `make formula`"
        assert "linux" not in file and "x86_64.whl" not in file
    metal = [url for name, url, _ in found if name == "mlx-metal"]
    assert [re.search(r"macosx_(\d+)", url)[1] for url in metal] == ["14", "15", "26"]  # type: ignore[index]
    assert {"mlx-lm", "mlx-vlm", "sanic", "mlx"} <= {name for name, _, _ in found}
    assert not {"pytest", "mypy", "mlx-cpu"} & {name for name, _, _ in found}, (
        "what tests need, and Linux, is not installed"
    )


def test_the_service_of_homebrew_is_ours(text: str) -> None:
    service = text.partition("  service do\n")[2].partition("  end\n")[0]
    assert 'run [opt_bin/"mlx-serve", "start", "--foreground"]' in service and "keep_alive crashed: true" in service
    assert service.count('var/"log/mlx-serve.log"') == 2


def test_a_release_has_its_own_address_and_digest(
    scripts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Given on the command line once, then kept."""
    monkeypatch.setattr(scripts.formula, "FORMULA", tmp_path / "mlx-serve.rb")
    (tmp_path / "mlx-serve.rb").write_text(text)
    (tmp_path / "x.whl").write_bytes(b"wheel")
    wheel = scripts.wheels.Wheel("a", "1", "https://files.pythonhosted.org/a.whl", "0" * 64)
    own = scripts.wheels.Wheel("b", "1", "https://files.pythonhosted.org/b.whl", "1" * 64)
    monkeypatch.setattr(scripts.formula, "by_macos", lambda: ({"a": wheel}, {14: {}, 15: {}, 26: {"b": own}}))
    given = [
        "--homepage",
        "https://x.example",
        "--release",
        "https://x.example/x.whl",
        "--wheel",
        str(tmp_path / "x.whl"),
    ]
    for arguments in (given, []):
        assert scripts.formula.main(arguments) == 0
        about = scripts.formula.release((tmp_path / "mlx-serve.rb").read_text())
        assert about == {
            "homepage": "https://x.example",
            "url": "https://x.example/x.whl",
            "sha256": hashlib.sha256(b"wheel").hexdigest(),
        }
    made = (tmp_path / "mlx-serve.rb").read_text()
    assert made.count('  resource "a" do\n') == 1
    assert '  on_tahoe :or_newer do\n    resource "b" do\n' in made and "on_sequoia" not in made
    assert scripts.formula.main(["--check"]) == 0
    (tmp_path / "mlx-serve.rb").write_text(made.replace('"a"', '"c"'))
    assert scripts.formula.main(["--check"]) == 1


_PATH = f"packages/ab/cd/{'0' * 60}/x-1-py3-none-any.whl"


@pytest.mark.parametrize(
    ("named", "meant"),
    [
        (f"https://mirror.example/pypi/{_PATH}", _PATH),
        (f"https://files.pythonhosted.org/{_PATH}", _PATH),
        ("https://mirror.example/simple/my-x/my_x-1-py3-none-any.whl", "packages/py3/m/my-x/my_x-1-py3-none-any.whl"),
        ("file:///wheels/x-1-py2.py3-none-any.whl", "packages/py2.py3/x/x/x-1-py2.py3-none-any.whl"),
    ],
)
def test_a_mirrors_address_becomes_pypis(scripts: Any, named: str, meant: str) -> None:
    assert scripts.wheels.canonical(named) == f"https://files.pythonhosted.org/{meant}"
