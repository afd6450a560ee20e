"""Which files of a repository serving needs: configs, tokenizer, templates, licence, card, and one set of weights."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from .. import allowlist
from ..errors import HubUnreachable, SourceError, UnsupportedModel, size_text
from ..inspect.weightsets import INDEX, WEIGHTS, chosen
from .refusals import offline
from .repository import HubFile, Repository

_FORMATS = {
    ".gguf": "GGUF", ".bin": "PyTorch", ".pt": "PyTorch", ".pth": "PyTorch", ".ckpt": "PyTorch", ".onnx": "ONNX",
    ".h5": "TensorFlow", ".msgpack": "Flax", ".npz": "NumPy", ".tflite": "TFLite", ".mlmodel": "Core ML",
    ".mlpackage": "Core ML", ".nemo": "NeMo", ".pkl": "pickle", ".ot": "Rust",
}  # fmt: skip
_EMPTY = 8
_WHERE = "the repository"
_BROKEN = "the repository is incomplete or its upload is not finished; tell its owner, or pick another one"


@dataclass(frozen=True)
class Selection:
    """`small` files come first and say what the model is; `weights` may hold more sets than one until `settled`."""

    repository: Repository
    small: tuple[HubFile, ...]
    weights: tuple[HubFile, ...]

    @property
    def has_index(self) -> bool:
        """Whether `settled` wants what `INDEX` holds."""
        return any(file.path == INDEX for file in self.small)

    def settled(self, index: Any | None) -> tuple[HubFile, ...]:
        """All files of the model by path, once the index of the weights is known (None: there is none).

        Raises SourceError, DamagedModel; HubUnreachable where the repository is only what a cache has of it.
        """
        own = [file.path for file in self.weights if "/" not in file.path]
        try:
            kept = chosen(own, index, where=_WHERE, hint=_BROKEN)
        except SourceError as error:
            if self.repository.cached:
                raise _part_only(self.repository) from error
            raise
        files = [file for file in self.small if file.path != INDEX or INDEX in kept]
        files += [file for file in self.weights if "/" in file.path or file.path in kept]
        return tuple(sorted(files, key=lambda file: file.path))


def select(repository: Repository) -> Selection:
    """Raises UnsupportedModel for weights in other formats only, SourceError for what is no model or cannot be checked.

    Of a repository out of the hub's cache, where files may be missing: HubUnreachable.
    """
    kept = [file for file in repository.files if allowlist.is_wanted(file.path)]
    weights = tuple(file for file in kept if file.path.endswith(WEIGHTS))
    small = tuple(file for file in kept if not file.path.endswith(WEIGHTS))
    if not any(file.path == "config.json" for file in small) or not any("/" not in file.path for file in weights):
        if repository.cached:
            raise _part_only(repository)
        raise _no_model(repository)
    for file in kept:
        _check(repository, file)
    return Selection(repository, small, weights)


def _check(repository: Repository, file: HubFile) -> None:
    if file.sha256 is None and file.git_id is None:
        raise SourceError(f"the hub states no digest for {file.path} of {repository.id}, so it could not be checked")
    limit = allowlist.size_limit(file.path)
    if limit is not None and file.size > limit:
        most = size_text(limit)
        raise SourceError(f"{file.path} of {repository.id} has {size_text(file.size)}; such a file may have {most}")
    if file.path.endswith(WEIGHTS) and file.size <= _EMPTY:
        raise SourceError(f"{file.path} of {repository.id} is empty", hint=_BROKEN)


def _part_only(repository: Repository) -> HubUnreachable:
    return offline(f"the hub's cache has only a part of {repository.id}, and nothing is fetched")


def _no_model(repository: Repository) -> SourceError | UnsupportedModel:
    name = repository.id
    names = {file.path.rsplit("/", 1)[-1] for file in repository.files}
    elsewhere = f"look for a conversion at https://huggingface.co/models?library=mlx&search={name.split('/')[1]}"
    if "model_index.json" in names:
        return UnsupportedModel(f"{name} is a diffusion pipeline, which cannot be served here")
    if "adapter_config.json" in names or "adapters.safetensors" in names:
        return UnsupportedModel(
            f"{name} is an adapter and no model of its own", hint="fuse it with its model first: `mlx_lm.fuse`"
        )
    if not any(path.endswith(WEIGHTS) for path in names):
        formats = Counter(form for path in names for ending, form in _FORMATS.items() if path.lower().endswith(ending))
        if formats:
            found = " and ".join(sorted(formats, key=lambda form: (-formats[form], form)))
            return UnsupportedModel(f"{name} has no weights in safetensors format, only {found}", hint=elsewhere)
        return SourceError(f"{name} has no .safetensors files, so it holds no weights", hint=elsewhere)
    if "config.json" not in {file.path for file in repository.files}:
        return SourceError(
            f"{name} has no config.json, so it is no model in Hugging Face or MLX layout", hint=elsewhere
        )
    return SourceError(f"{name} has no .safetensors files beside its config.json", hint=elsewhere)
