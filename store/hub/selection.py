"""Which files of a repository serving needs: configs, tokenizer, templates, licence, card, and one set of weights."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from .. import allowlist
from ..errors import HubUnreachable, SourceError, UnsupportedModel, size_text
from ..inspect.weightsets import INDEX, WEIGHTS, chosen
from .hub_errors import offline_error
from .repository import HubFile, Repository

_FORMATS = {
    ".gguf": "GGUF", ".bin": "PyTorch", ".pt": "PyTorch", ".pth": "PyTorch", ".ckpt": "PyTorch", ".onnx": "ONNX",
    ".h5": "TensorFlow", ".msgpack": "Flax", ".npz": "NumPy", ".tflite": "TFLite", ".mlmodel": "Core ML",
    ".mlpackage": "Core ML", ".nemo": "NeMo", ".pkl": "pickle", ".ot": "Rust",
}  # fmt: skip
_EMPTY_SIZE = 8
_WHERE = "the repository"
_BROKEN = "the repository is incomplete or its upload is not finished; tell its owner, or choose another repository"


@dataclass(frozen=True)
class Selection:
    """`small` files are fetched first and describe the model; `weights` may hold several sets, see `model_files`."""

    repository: Repository
    small: tuple[HubFile, ...]
    weights: tuple[HubFile, ...]

    @property
    def has_index(self) -> bool:
        """Whether `model_files` needs the content of `INDEX`."""
        return any(file.path == INDEX for file in self.small)

    def model_files(self, index: Any | None) -> tuple[HubFile, ...]:
        """All files of the model by path; `index` is the content of `INDEX`, None without one.

        Raises SourceError, DamagedModel; HubUnreachable where the repository is only partly cached.
        """
        own = [file.path for file in self.weights if "/" not in file.path]
        try:
            kept = chosen(own, index, where=_WHERE, hint=_BROKEN)
        except SourceError as error:
            if self.repository.cached:
                raise _partly_cached(self.repository) from error
            raise
        files = [file for file in self.small if file.path != INDEX or INDEX in kept]
        files += [file for file in self.weights if "/" in file.path or file.path in kept]
        return tuple(sorted(files, key=lambda file: file.path))


def select(repository: Repository) -> Selection:
    """Raises UnsupportedModel for weights in other formats, SourceError for what is not a model or cannot be checked.

    For a repository from the hub's cache, where files may be missing: HubUnreachable.
    """
    kept = [file for file in repository.files if allowlist.is_wanted(file.path)]
    weights = tuple(file for file in kept if file.path.endswith(WEIGHTS))
    small = tuple(file for file in kept if not file.path.endswith(WEIGHTS))
    if not any(file.path == "config.json" for file in small) or not any("/" not in file.path for file in weights):
        if repository.cached:
            raise _partly_cached(repository)
        raise _not_a_model(repository)
    for file in kept:
        _check(repository, file)
    return Selection(repository, small, weights)


def _check(repository: Repository, file: HubFile) -> None:
    if file.sha256 is None and file.git_id is None:
        raise SourceError(f"the hub states no digest for {file.path} of {repository.id}, so it could not be verified")
    limit = allowlist.size_limit(file.path)
    if limit is not None and file.size > limit:
        most = size_text(limit)
        raise SourceError(f"{file.path} of {repository.id} is too large: {size_text(file.size)}; the limit is {most}")
    if file.path.endswith(WEIGHTS) and file.size <= _EMPTY_SIZE:
        raise SourceError(f"{file.path} of {repository.id} is empty", hint=_BROKEN)


def _partly_cached(repository: Repository) -> HubUnreachable:
    return offline_error(f"the hub's cache has only part of {repository.id}, and nothing is downloaded")


def _not_a_model(repository: Repository) -> SourceError | UnsupportedModel:
    name = repository.id
    names = {file.path.rsplit("/", 1)[-1] for file in repository.files}
    elsewhere = f"look for a conversion at https://huggingface.co/models?library=mlx&search={name.split('/')[1]}"
    if "model_index.json" in names:
        return UnsupportedModel(f"{name} is a diffusion pipeline, which is not supported")
    if "adapter_config.json" in names or "adapters.safetensors" in names:
        return UnsupportedModel(
            f"{name} is an adapter, not a complete model", hint="fuse it with its base model first: `mlx_lm.fuse`"
        )
    if not any(path.endswith(WEIGHTS) for path in names):
        formats = Counter(form for path in names for ending, form in _FORMATS.items() if path.lower().endswith(ending))
        if formats:
            found = " and ".join(sorted(formats, key=lambda form: (-formats[form], form)))
            return UnsupportedModel(f"{name} has no weights in safetensors format, only {found}", hint=elsewhere)
        return SourceError(f"{name} has no .safetensors files, so it holds no weights", hint=elsewhere)
    if "config.json" not in {file.path for file in repository.files}:
        return SourceError(
            f"{name} has no config.json, so it is not a model in Hugging Face or MLX layout", hint=elsewhere
        )
    return SourceError(f"{name} has no .safetensors files beside its config.json", hint=elsewhere)
