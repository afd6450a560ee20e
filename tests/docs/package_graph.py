"""The packages and what each imports, drawn as text from the source; a package stands above what it uses."""

from __future__ import annotations

from functools import cache

from support.imports import inner, is_package, modules, package_of

_EVERY = dict(modules())


def drawing() -> str:
    """One line a package, the top of the house first."""
    uses: dict[str, set[str]] = {}
    for name, path in _EVERY.items():
        package = package_of(name, path)
        found = {_package(target) for target in inner(name, path, typing=True)}
        uses.setdefault(package, set()).update(found - {package, ""})
    order = sorted(uses, key=lambda package: (-_floor(package), package))
    width = max(map(len, uses))
    return "".join(f"{package:<{width}}  ->  {_list(package, uses[package])}\n" for package in order)


def _package(target: str) -> str:
    return target if is_package(target) else target.rpartition(".")[0]


def _list(package: str, used: set[str]) -> str:
    """Neighbours of the same area by the rest of their names."""
    area = package.partition(".")[0]
    near = sorted(name.removeprefix(area) or area for name in used if name.partition(".")[0] == area)
    far = sorted(name for name in used if name.partition(".")[0] != area)
    return "  ".join([*far, *near]) or "(nothing)"


def _floor(package: str) -> int:
    """That of its highest module."""
    return max(_height(name) for name, path in _EVERY.items() if package_of(name, path) == package)


@cache
def _height(module: str) -> int:
    targets = {target for target in inner(module, _EVERY[module], typing=True) if target in _EVERY}
    return 1 + max(map(_height, targets - {module}), default=0)
