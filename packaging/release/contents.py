"""What a wheel and an sdist of mlx-serve have in them: exactly the program, the starters and the packaging files."""

from __future__ import annotations

from collections.abc import Iterable

PARTS = ("control", "daemon", "handlers", "store")
_PACKAGE = "packaging/python/mlx_serve/"
_SHARED = {
    "share/man/man1/mlx-serve.1",
    "share/bash-completion/completions/mlx-serve.bash",
    "share/zsh/site-functions/_mlx-serve",
    "share/fish/vendor_completions.d/mlx-serve.fish",
    "share/mlx-serve/grafana/mlx-serve.json",
    "share/mlx-serve/prometheus/alerts.yaml",
}
_ABOUT = {"METADATA", "WHEEL", "entry_points.txt", "top_level.txt", "RECORD", "licenses/LICENSE"}
_BESIDE = (
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    "MANIFEST.in",
    "constraints.txt",
    "pyproject.toml",
    "PKG-INFO",
    "setup.cfg",
)
_PACKAGING = (
    "packaging/man/",
    "packaging/completion/",
    "packaging/grafana/",
    "packaging/prometheus/",
    "packaging/homebrew/",
)


def program(tracked: Iterable[str]) -> set[str]:
    """The names in a wheel of every file of the program, from the tracked ones of the sources."""
    found = set()
    for name in tracked:
        if name.startswith(_PACKAGE) and name.removeprefix(_PACKAGE) not in PARTS:
            found.add(f"mlx_serve/{name.removeprefix(_PACKAGE)}")
        elif name.split("/")[0] in PARTS:
            found.add(f"mlx_serve/{name}")
    return found


def of_wheel(names: Iterable[str], tracked: Iterable[str], version: str) -> list[str]:
    """What is wrong with the names in a wheel, one sentence each."""
    expected = program(tracked)
    expected |= {f"mlx_serve-{version}.data/data/{name}" for name in _SHARED}
    expected |= {f"mlx_serve-{version}.dist-info/{name}" for name in _ABOUT}
    return _compared("the wheel", set(names), expected)


def of_sdist(names: Iterable[str], tracked: Iterable[str], version: str) -> list[str]:
    """The same for the files of an sdist."""
    head = f"mlx_serve-{version}/"
    found = {name.removeprefix(head) for name in names}
    egg = "packaging/python/mlx_serve.egg-info/"
    kept = {name for name in found if not name.startswith((egg, *_PACKAGING)) and name not in _BESIDE}
    expected = {f"packaging/python/{name}" for name in program(tracked)}
    missing = [name for name in _BESIDE if name not in found]
    return [*_compared("the sdist", kept, expected), *(f"the sdist lacks {name}" for name in missing)]


def _compared(what: str, found: set[str], expected: set[str]) -> list[str]:
    return [
        *(f"{what} lacks {name}" for name in sorted(expected - found)),
        *(f"{what} has {name}, which is not part of the program" for name in sorted(found - expected)),
    ]
