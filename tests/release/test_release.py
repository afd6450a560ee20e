"""What makes a release the same bytes each time, and what may be in it. `make dist-check` does it for real."""

from __future__ import annotations

import importlib
import io
import sys
import tarfile
import time
import tomllib
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "packaging" / "release"
NAMES = ("sources", "artifacts", "contents")


@pytest.fixture(scope="module")
def release() -> Iterator[Any]:
    """The modules of the scripts, as an object each."""
    before = list(sys.path)
    sys.path.insert(0, str(SCRIPTS))
    yield types.SimpleNamespace(**{name: importlib.import_module(name) for name in NAMES})
    sys.path[:] = before
    for name in NAMES:
        del sys.modules[name]


def sdist(order: list[str], seconds: int, owner: str, mode: int) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in order:
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.uname, member.uid, member.mode = 3, seconds, owner, len(owner), mode
            archive.addfile(member, io.BytesIO(name[-3:].encode()))
    return packed.getvalue()


def test_the_same_files_give_the_same_sdist(release: Any) -> None:
    """Whoever packed them, when, in which order, under which umask."""
    one = sdist(["a-1/one", "a-1/two"], 10, "me", 0o600)
    other = sdist(["a-1/two", "a-1/one"], 20_000_000, "somebody", 0o664)
    assert one != other
    made = release.artifacts.repacked(one, 1_700_000_000)
    assert made == release.artifacts.repacked(other, 1_700_000_000)
    with tarfile.open(fileobj=io.BytesIO(made)) as archive:
        members = archive.getmembers()
        assert [(each.name, each.mtime, each.mode, each.uid, each.uname) for each in members] == [
            ("a-1/one", 1_700_000_000, 0o644, 0, ""),
            ("a-1/two", 1_700_000_000, 0o644, 0, ""),
        ]
        last = archive.extractfile(members[1])
        assert last is not None and last.read() == b"two"
    assert release.artifacts.repacked(one, 1) != made


def test_the_time_of_a_release_is_the_environments_or_the_commits(
    release: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert release.sources.epoch() == 1_700_000_000
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    assert 1_700_000_000 < release.sources.epoch() < time.time() + 1


def test_a_release_is_made_of_tracked_files_alone(release: Any, tmp_path: Path) -> None:
    """No tests, no documents, nothing that lies about; links stay links, and the modes are not this machine's."""
    names = release.sources.tracked()
    assert "daemon/main.py" in names and "store/builtins/starter/model.safetensors" in names
    assert not [name for name in names if name.startswith(("tests/", "docs/")) or "__pycache__" in name]
    few = ["packaging/python/mlx_serve/daemon", "packaging/demo.sh", "pyproject.toml"]
    assert set(few) <= set(names)
    release.sources.tracked, whole = (lambda: few), release.sources.tracked
    try:
        release.sources.copy(tmp_path, 1_700_000_000)
    finally:
        release.sources.tracked = whole
    assert (tmp_path / few[0]).is_symlink()
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in few[1:]] == [0o755, 0o644]
    assert (tmp_path / "pyproject.toml").stat().st_mtime == 1_700_000_000


def test_a_wheel_with_too_much_or_too_little_is_noticed(release: Any) -> None:
    tracked = [
        "daemon/main.py",
        "packaging/python/mlx_serve/py.typed",
        "packaging/python/mlx_serve/daemon",
        "README.md",
    ]
    tracked.append("tests/test_imports.py")
    good = {"mlx_serve/daemon/main.py", "mlx_serve/py.typed"}
    about = {f"mlx_serve-1.dist-info/{name}" for name in release.contents._ABOUT}
    shared = {f"mlx_serve-1.data/data/{name}" for name in release.contents._SHARED}
    assert release.contents.of_wheel(good | about | shared, tracked, "1") == []
    assert release.contents.of_wheel((good | about | shared) - {"mlx_serve/py.typed"}, tracked, "1") == [
        "the wheel lacks mlx_serve/py.typed"
    ]
    assert release.contents.of_wheel(good | about | shared | {"tests/test_imports.py"}, tracked, "1") == [
        "the wheel has tests/test_imports.py, which is not part of the program"
    ]
    head = "mlx_serve-1/"
    files = {f"{head}packaging/python/{name}" for name in good} | {f"{head}{name}" for name in release.contents._BESIDE}
    assert release.contents.of_sdist(files, tracked, "1") == []
    assert len(release.contents.of_sdist(files | {f"{head}tests/x.py"}, tracked, "1")) == 1
    assert release.contents.of_sdist(files - {f"{head}constraints.txt"}, tracked, "1") == [
        "the sdist lacks constraints.txt"
    ]


def test_what_a_wheel_shares_is_what_pyproject_installs(release: Any) -> None:
    """The manual page, completions under the names that shells look for, the dashboard and the alerts."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folders = set(project["tool"]["setuptools"]["data-files"])
    assert {name.rpartition("/")[0] for name in release.contents._SHARED} == folders


def test_every_python_that_we_name_is_installed_with(release: Any) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [
        line.rpartition(" ")[2]
        for line in project["classifiers"]
        if line.startswith("Programming Language :: Python :: 3.")
    ]
    text = (SCRIPTS / "check.py").read_text(encoding="utf-8")
    quoted = [f'"{version}"' for version in named]
    assert f"VERSIONS = ({', '.join(quoted)})" in text
