"""Which model types the installed mlx-lm and mlx-vlm can run, read off their files: neither is imported here.

A model type is a module of `mlx_lm.models` or a package of `mlx_vlm.models` that has a `Model`, after the libraries'
own tables of other names. Text is generated with mlx-lm; images are understood with mlx-vlm; vectors and relevance come
from mlx-lm's decoders or the encoders of mlx-vlm.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from ..disk.manifests import KINDS, Kind
from ..errors import UnsupportedModel

_SIGHT = ("VisionModel", "VisionConfig")


def check(model_type: str, kind: Kind) -> None:
    """Raises UnsupportedModel, which names the model type, when nothing installed here can run it as that kind."""
    lm, vlm = _mlx_lm(), _mlx_vlm()
    if (lm is None and vlm is None) or known(model_type, kind):
        return
    elsewhere = [other for other in KINDS if other != kind and known(model_type, other)]
    raise UnsupportedModel(
        f"the model_type {model_type!r} is not supported as {kind} by {_version('mlx-lm')} and {_version('mlx-vlm')}",
        hint=f"it is as {' or '.join(elsewhere)}: pull it with --type if that is what the model is"
        if elsewhere
        else "look for a model of another architecture, or for a newer mlx-serve",
    )


def known(model_type: str, kind: Kind) -> bool:
    """Whether something installed here runs models of that type as that kind."""
    lm, vlm = _mlx_lm(), _mlx_vlm()
    text = lm is not None and lm.has(model_type)
    if kind == "llm":
        return text
    if vlm is None:
        return text and kind != "vlm"
    sees = vlm.has(model_type, *_SIGHT)
    if kind == "vlm":
        return sees
    if kind == "embedding":
        return text or vlm.has(model_type)
    return text or sees or vlm.has(model_type, "SequenceClassificationModel")


@dataclass(frozen=True)
class _Library:
    """`folder` holds a module or a package for each type; `renamed` are other names for them."""

    folder: Path
    renamed: Mapping[str, str]
    packages: bool

    def has(self, model_type: str, *names: str) -> bool:
        """Whether the type's module has a `Model`, and offers any of these names where there are some."""
        wanted = model_type.lower() if self.packages else model_type
        found = _names(self.folder, self.renamed.get(wanted, wanted), self.packages)
        return "Model" in found and (not names or not found.isdisjoint(names))


@functools.cache
def _mlx_lm() -> _Library | None:
    root = _root("mlx_lm")
    return _Library(root / "models", _tables(root / "utils.py", "MODEL_REMAPPING"), False) if root else None


@functools.cache
def _mlx_vlm() -> _Library | None:
    root = _root("mlx_vlm")
    if root is None:
        return None
    renamed = {"xlm-roberta": "xlm_roberta"} | _tables(root / "utils.py", "MODEL_REMAPPING")
    return _Library(root / "models", renamed, True)


def _root(package: str) -> Path | None:
    spec = util.find_spec(package)
    places = spec.submodule_search_locations if spec is not None else None
    return Path(next(iter(places))) if places else None


@functools.cache
def _names(folder: Path, module: str, package: bool) -> frozenset[str]:
    """What a module defines or imports at its top level; nothing where there is no such module."""
    if not module.replace("-", "_").isidentifier():
        return frozenset()
    tree = _parsed(folder / module / "__init__.py" if package else folder / f"{module}.py")
    return frozenset(_bound(tree.body)) if tree is not None else frozenset()


def _bound(statements: Iterable[ast.stmt]) -> Iterable[str]:
    for statement in statements:
        if isinstance(statement, ast.ClassDef):
            yield statement.name
        elif isinstance(statement, ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in statement.names)
        elif isinstance(statement, ast.Assign):
            yield from (target.id for target in statement.targets if isinstance(target, ast.Name))


def _tables(path: Path, name: str) -> dict[str, str]:
    """A table of names that stands in a module as a literal; {} where it does not."""
    tree = _parsed(path)
    for statement in tree.body if tree is not None else ():
        if isinstance(statement, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == name for t in statement.targets
        ):
            try:
                found = ast.literal_eval(statement.value)
            except ValueError:
                return {}
            return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}
    return {}


def _parsed(path: Path) -> ast.Module | None:
    try:
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None


def _version(distribution: str) -> str:
    try:
        return f"{distribution} {metadata.version(distribution)}"
    except metadata.PackageNotFoundError:
        return f"no {distribution}"
