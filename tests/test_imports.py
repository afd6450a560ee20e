"""Imports point one way, and what must start fast or live without MLX does not import what it must not."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
AREAS = ("daemon", "control", "handlers", "store")
HEAVY = ("mlx", "mlx_lm", "mlx_vlm", "transformers", "tokenizers", "huggingface_hub", "numpy", "torch", "llguidance")

# Modules by prefix, the longest that fits; what each may import of the package, by prefix too. A module may always
# import its own neighbours of the same row.
RULES: dict[str, tuple[str, ...]] = {
    "store": (),
    "daemon.protocol": (),
    "daemon.engine": ("daemon.protocol",),
    "daemon.errors": (),
    "daemon.setting": (),
    "daemon.settings_file": ("daemon.setting",),
    "daemon.config": ("daemon.setting", "daemon.settings_file", "daemon.config_command"),
    "daemon.log_line": (),
    "daemon.logs": ("daemon.log_line",),
    "daemon.startup": ("daemon", "control.socket"),
    "daemon.main": ("daemon", "control.api", "control.socket", "handlers", "store", ""),
    "daemon": ("daemon", "store"),
    "handlers": ("daemon", "store"),
    "control.api": ("daemon", "store", "handlers", "control"),
    "control": ("",),  # the package itself, for its version
}
# Doors of the daemon that only the named area opens.
KEPT_TO = {
    "daemon.engine": ("daemon.engine",),
    "daemon.main": (),
    "daemon.runner": ("daemon",),
    "handlers": ("daemon.main", "control.api", "handlers"),
    "control.api": ("daemon.main", "control.api"),
}


def modules() -> Iterator[tuple[str, Path]]:
    for area in AREAS:
        for path in sorted((ROOT / area).rglob("*.py")):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path


def imported(name: str, path: Path, *, typing: bool) -> Iterator[str]:
    """Absolute names of what a module imports, wherever the statement stands; `typing` counts those for types only."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    tree = ast.parse(path.read_text())
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for child in node.body
        for inner in ast.walk(child)
    }
    for node in ast.walk(tree):
        if id(node) in for_types and not typing:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if not node.level:
                yield str(node.module)
                continue
            parts = package.split(".")
            base = ["mlx_serve", *parts[: len(parts) - node.level + 1]] if node.level <= len(parts) else ["mlx_serve"]
            base += [node.module] if node.module else []
            for alias in node.names:
                whole = ".".join([*base, alias.name])
                yield whole if is_module(whole) else ".".join(base)


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split(".")[1:])
    return path.is_dir() or path.with_suffix(".py").is_file()


def within(name: str, prefix: str) -> bool:
    """Whether a module is the prefix, inside it, or (for files cut in several) begins with it and an underscore."""
    return name == prefix or name.startswith((prefix + ".", prefix + "_"))


def row(name: str) -> str:
    return max((prefix for prefix in RULES if within(name, prefix)), key=len)


EVERY = list(modules())


@pytest.mark.parametrize(("name", "path"), EVERY, ids=[name for name, _ in EVERY])
def test_imports_within_the_package_point_one_way(name: str, path: Path) -> None:
    if name in AREAS:
        return
    mine = row(name)
    for target in imported(name, path, typing=False):
        if not within(target, "mlx_serve"):
            continue
        inner = target.removeprefix("mlx_serve").removeprefix(".")
        if row_or_none(inner) == mine:
            continue
        allowed = any(inner == prefix if prefix == "" else within(inner, prefix) for prefix in RULES[mine])
        assert allowed, f"{name} imports {inner}"
        for door, keepers in KEPT_TO.items():
            if within(inner, door):
                assert any(within(name, keeper) for keeper in keepers), f"{name} imports {inner}"


def row_or_none(name: str) -> str | None:
    return row(name) if any(within(name, prefix) for prefix in RULES) else None


@pytest.mark.parametrize(("name", "path"), EVERY, ids=[name for name, _ in EVERY])
def test_only_the_engine_knows_mlx(name: str, path: Path) -> None:
    """Not even inside a function: a lazy import is an import on the day it runs. The hub's library is `store.hub`'s."""
    if within(name, "daemon.engine"):
        return
    exempt = {"store.hub": ("huggingface_hub",), "store.checkpoint": ("numpy",)}
    for prefix, allowed in exempt.items():
        if within(name, prefix):
            banned = tuple(each for each in HEAVY if each not in allowed)
            break
    else:
        banned = HEAVY
    for target in imported(name, path, typing=False):
        assert target.split(".")[0] not in banned, f"{name} imports {target}"


@pytest.mark.parametrize(("name", "path"), EVERY, ids=[name for name, _ in EVERY])
def test_only_the_http_side_knows_sanic(name: str, path: Path) -> None:
    http = ("handlers", "control.api", "daemon.http", "daemon.connection", "daemon.exchange", "daemon.body")
    if any(within(name, each) for each in (*http, "daemon.answer", "daemon.head")):
        return
    assert all(target.split(".")[0] != "sanic" for target in imported(name, path, typing=True))


def loaded_by(module: str) -> set[str]:
    """Every module that a fresh interpreter has after importing one."""
    code = f"import sys; before = set(sys.modules); import {module}; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["daemon.main", "daemon.http", "daemon.residency", "control.api", "handlers.routes"])
def test_the_daemon_starts_without_mlx_and_its_friends(module: str) -> None:
    loaded = {name.split(".")[0] for name in loaded_by(f"mlx_serve.{module}")}
    assert loaded.isdisjoint(HEAVY)


@pytest.mark.parametrize("module", ["control.cli", "control.client", "control.socket"])
def test_the_command_starts_with_the_standard_library_alone(module: str) -> None:
    loaded = loaded_by(f"mlx_serve.{module}")
    foreign = {name for name in loaded if name.split(".")[0] not in sys.stdlib_module_names | {"mlx_serve"}}
    assert not foreign
    ours = {name for name in loaded if within(name, "mlx_serve")}
    assert all(within(name, "mlx_serve.control") for name in ours - {"mlx_serve"})


def test_the_engine_and_the_store_are_strangers() -> None:
    loaded = loaded_by("mlx_serve.store.store")
    assert not any(within(name, "mlx_serve.daemon") for name in loaded)


def test_the_rules_notice_a_breach(tmp_path: Path) -> None:
    """The test of the tests: a relative import two levels up is resolved to its full name."""
    path = tmp_path / "x.py"
    path.write_text("def f():\n    from ..daemon.engine import loop\n    from . import names\nimport mlx.core\n")
    found = set(imported("store.x", path, typing=False))
    assert {"mlx_serve.daemon.engine", "mlx_serve.store.names", "mlx.core"} <= found or {
        "mlx_serve.daemon.engine.loop",
        "mlx_serve.store.names",
        "mlx.core",
    } <= found
