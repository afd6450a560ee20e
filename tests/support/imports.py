"""What every module of the program imports of it and of others, read from the source without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
AREAS = ("daemon", "control", "handlers", "store")


def modules() -> Iterator[tuple[str, Path]]:
    for area in AREAS:
        for path in sorted((ROOT / area).rglob("*.py")):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path


@dataclass(frozen=True)
class Import:
    """The absolute name of what is imported; whether for types only."""

    target: str
    for_types: bool


@cache
def imports(name: str, path: Path) -> tuple[Import, ...]:
    """Of a module, wherever the statement stands."""
    package = package_of(name, path)
    nodes = list(ast.walk(ast.parse(path.read_text())))
    for_types = {
        id(inner)
        for node in nodes
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for child in node.body
        for inner in ast.walk(child)
    }
    return tuple(Import(target, id(node) in for_types) for node in nodes for target in _targets(node, package))


def _targets(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        if not node.level:
            yield str(node.module)
            return
        parts = package.split(".")
        base = ["mlx_serve", *parts[: len(parts) - node.level + 1]] if node.level <= len(parts) else ["mlx_serve"]
        base += [node.module] if node.module else []
        for alias in node.names:
            whole = ".".join([*base, alias.name])
            yield whole if is_module(whole) else ".".join(base)


def imported(name: str, path: Path, *, typing: bool) -> Iterator[str]:
    """Absolute names of what a module imports; `typing` counts those for types only."""
    return (one.target for one in imports(name, path) if typing or not one.for_types)


def inner(name: str, path: Path, *, typing: bool) -> Iterator[str]:
    """What a module imports of this program, without `mlx_serve`."""
    for target in imported(name, path, typing=typing):
        if within(target, "mlx_serve"):
            yield target.removeprefix("mlx_serve").removeprefix(".")


@cache
def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split(".")[1:])
    return path.is_dir() or path.with_suffix(".py").is_file()


@cache
def is_package(name: str) -> bool:
    return ROOT.joinpath(*name.split(".")).is_dir()


def package_of(name: str, path: Path) -> str:
    return name if path.name == "__init__.py" else name.rpartition(".")[0]


def within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")
