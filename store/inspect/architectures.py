"""Which model types the installed mlx-lm and mlx-vlm support, read from their source: neither is imported.

A model type is a module of `mlx_lm.models` or a package of `mlx_vlm.models` that has a `Model`, after the libraries'
own tables of aliases. Language models run on mlx-lm, vision models on mlx-vlm, embedding models and rerankers on
mlx-lm's decoders, mlx-vlm's encoders or the engine's own.
"""

from __future__ import annotations

import ast
import functools
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from ..disk.manifests import KINDS, Kind
from ..errors import UnsupportedModel

_OWN_ENCODERS = ("bert", "roberta", "xlm-roberta", "camembert", "modernbert")
_parsing = threading.Lock()  # CPython 3.11 counts the depth of all parsers of a process together, and then fails
_VISION_CLASSES = ("VisionModel", "VisionConfig")
SEEING = frozenset(
    {
        *("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe", "gemma3", "gemma4"),
        *("idefics3", "smolvlm", "llava", "pixtral", "mistral3"),
    }
)
"""Of mlx-vlm's architectures those that the engine has code for: a test holds the two together."""


def check(model_type: str, kind: Kind) -> None:
    """Raises UnsupportedModel, naming the model type, when no installed library supports it as that kind."""
    lm, vlm = _mlx_lm(), _mlx_vlm()
    if (lm is None and vlm is None) or known(model_type, kind):
        return
    elsewhere = [other for other in KINDS if other != kind and known(model_type, other)]
    message = (
        f"the model_type {model_type!r} is not supported as {kind} by {_version('mlx-lm')} and {_version('mlx-vlm')}"
    )
    if kind == "vlm" and vlm is not None and vlm.has(model_type, *_VISION_CLASSES):
        message = f"this version of mlx-serve has no code for what the model_type {model_type!r} does with pictures"
    raise UnsupportedModel(
        message,
        hint=f"it is supported as {' or '.join(elsewhere)}; if the model is one, pull it with --type"
        if elsewhere
        else "choose a model of another architecture, or upgrade mlx-serve",
    )


def known(model_type: str, kind: Kind) -> bool:
    """Whether an installed library supports models of that type as that kind."""
    if kind in ("embedding", "reranker") and model_type in _OWN_ENCODERS:
        return True
    lm, vlm = _mlx_lm(), _mlx_vlm()
    text = lm is not None and lm.has(model_type)
    if kind == "llm":
        return text
    if vlm is None:
        return text and kind != "vlm"
    sees = vlm.has(model_type, *_VISION_CLASSES)
    if kind == "vlm":
        return sees and model_type in SEEING
    if kind == "embedding":
        return text or vlm.has(model_type)
    return text or sees or vlm.has(model_type, "SequenceClassificationModel")


@dataclass(frozen=True)
class _ModelPackage:
    """`folder` has a module or a package for each model type; `renamed` maps aliases to them."""

    folder: Path
    renamed: Mapping[str, str]
    packages: bool

    def has(self, model_type: str, *names: str) -> bool:
        """Whether the type's module has a `Model`, and any of `names` where some are given."""
        wanted = model_type.lower() if self.packages else model_type
        found = _names(self.folder, self.renamed.get(wanted, wanted), self.packages)
        return "Model" in found and (not names or not found.isdisjoint(names))


@functools.cache
def _mlx_lm() -> _ModelPackage | None:
    root = _root("mlx_lm")
    return _ModelPackage(root / "models", _tables(root / "utils.py", "MODEL_REMAPPING"), False) if root else None


@functools.cache
def _mlx_vlm() -> _ModelPackage | None:
    root = _root("mlx_vlm")
    if root is None:
        return None
    renamed = {"xlm-roberta": "xlm_roberta"} | _tables(root / "utils.py", "MODEL_REMAPPING")
    return _ModelPackage(root / "models", renamed, True)


def _root(package: str) -> Path | None:
    spec = util.find_spec(package)
    places = spec.submodule_search_locations if spec is not None else None
    return Path(next(iter(places))) if places else None


@functools.cache
def _names(folder: Path, module: str, package: bool) -> frozenset[str]:
    """The names that a module defines or imports at its top level; none when there is no such module."""
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
    """A dict literal of a module; {} when there is none of that name."""
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
        with _parsing:
            return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None


def _version(distribution: str) -> str:
    try:
        return f"{distribution} {metadata.version(distribution)}"
    except metadata.PackageNotFoundError:
        return f"no {distribution}"
